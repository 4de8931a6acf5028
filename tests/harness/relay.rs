//! A relay between agent and hub that can cut, delay, drop and limit rate, like a mobile modem on a
//! bad day. UDP and TCP go through the same bottleneck. Keeps one upstream socket per client
//! address, as a NAT does, and can forget them. Never looks into what it forwards.

use crate::link::{Counted, Link, Shape, Waits};
use crate::relay_tcp::{Flows, Piece};
use anyhow::{Context as _, Result};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

/// Largest UDP payload.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Clients that are kept apart; beyond, all mappings are forgotten, as a small NAT would.
const CLIENTS_MAX: usize = 256;
/// Answers waiting to enter the way down; more wait in the sockets of the kernel.
const ANSWERS_MAX: usize = 1_024;
/// How often a TCP connection that found the queue full looks for room.
const ROOM_LOOK: Duration = Duration::from_millis(2);

/// The running relay; stops when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    settings: Arc<Settings>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What has passed, payload bytes only (IP and UDP headers add 28 bytes per datagram).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// From the clients to the upstream.
    pub up: Counted,
    /// From the upstream to the clients.
    pub down: Counted,
}

impl Counters {
    /// What has passed since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let part = |now: Counted, then: Counted| Counted {
            datagrams: now.datagrams - then.datagrams,
            bytes: now.bytes - then.bytes,
            dropped: now.dropped - then.dropped,
        };
        Self {
            up: part(self.up, earlier.up),
            down: part(self.down, earlier.down),
        }
    }
}

#[derive(Debug)]
struct Settings {
    shape: Mutex<Shape>,
    counters: Mutex<Counters>,
    /// Up and down.
    waits: Mutex<(Waits, Waits)>,
    cut: AtomicBool,
    udp_blocked: AtomicBool,
    rebinds: AtomicU64,
    changed: tokio::sync::Notify,
}

impl Settings {
    fn shape(&self) -> Shape {
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay {
    /// Starts a relay to `upstream` on a free loopback port, perfect until told otherwise.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        Self::start_seeded(upstream, 1)
    }

    /// The same with a seed for the losses.
    pub fn start_seeded(upstream: SocketAddr, seed: u64) -> Result<Self> {
        Self::start_whole(upstream, None, seed)
    }

    /// A relay that carries TCP to `tcp` too, from the same port.
    pub fn start_with_tcp(upstream: SocketAddr, tcp: SocketAddr) -> Result<Self> {
        Self::start_whole(upstream, Some(tcp), 1)
    }

    fn start_whole(upstream: SocketAddr, tcp: Option<SocketAddr>, seed: u64) -> Result<Self> {
        let address = crate::ports::free()?;
        let socket = std::net::UdpSocket::bind(address).context("binding the relay")?;
        socket
            .set_nonblocking(true)
            .context("preparing the relay's socket")?;
        let settings = Arc::new(Settings {
            shape: Mutex::new(Shape::default()),
            counters: Mutex::default(),
            waits: Mutex::default(),
            cut: AtomicBool::new(false),
            udp_blocked: AtomicBool::new(false),
            rebinds: AtomicU64::new(0),
            changed: tokio::sync::Notify::new(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the relay's runtime")?;
        let (stop, stopped) = oneshot::channel();
        let task_settings = Arc::clone(&settings);
        let thread = std::thread::Builder::new()
            .name("relay".into())
            .spawn(move || {
                runtime.block_on(async {
                    let Ok(front) = UdpSocket::from_std(socket) else {
                        return;
                    };
                    let flows = match tcp {
                        Some(tcp) => Flows::start(address, tcp),
                        None => Ok(Flows::default()),
                    };
                    let Ok(flows) = flows else {
                        return;
                    };
                    tokio::select! {
                        () = Pump::new(front, upstream, flows, task_settings, seed).run() => {}
                        _ = stopped => {}
                    }
                });
            })
            .context("starting the relay's thread")?;
        Ok(Self {
            address,
            settings,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where clients send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing passes any more; what is on its way is lost.
    pub fn cut(&self) {
        self.settings.cut.store(true, Ordering::SeqCst);
        self.settings.changed.notify_one();
    }

    /// A network that lets TCP through but no UDP, or again both.
    pub fn block_udp(&self, blocked: bool) {
        self.settings.udp_blocked.store(blocked, Ordering::SeqCst);
    }

    /// How long packets waited at the bottleneck, up and down, since this was asked for last.
    pub fn take_waits(&self) -> (Waits, Waits) {
        let mut waits = self
            .settings
            .waits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waits)
    }

    /// Everything passes again.
    pub fn restore(&self) {
        self.settings.cut.store(false, Ordering::SeqCst);
        self.settings.changed.notify_one();
    }

    /// Whether the uplink is cut.
    pub fn is_cut(&self) -> bool {
        self.settings.cut.load(Ordering::SeqCst)
    }

    /// Behaves like `shape` from now on.
    pub fn shape(&self, shape: Shape) {
        *self
            .settings
            .shape
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = shape;
    }

    /// [`Relay::shape`] in one line: one-way delay, share of loss, bytes per second, queue.
    pub fn set(
        &self,
        delay: Duration,
        loss: f64,
        rate_bytes_per_s: Option<u64>,
        queue_bytes: usize,
    ) {
        self.shape(Shape {
            delay,
            loss,
            rate_bytes_per_s,
            queue_bytes,
            ..Shape::default()
        });
    }

    /// Forgets which client used which upstream socket: the upstream sees new client addresses,
    /// as after a modem's reconnect.
    pub fn rebind(&self) {
        self.settings.rebinds.fetch_add(1, Ordering::SeqCst);
        self.settings.changed.notify_one();
    }

    /// What has passed so far.
    pub fn counters(&self) -> Counters {
        *self
            .settings
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The other end wakes up when its sender is gone.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The running relay's own state: one task owns it all.
struct Pump {
    front: UdpSocket,
    upstream: SocketAddr,
    settings: Arc<Settings>,
    clients: HashMap<SocketAddr, Client>,
    up: Link<To>,
    down: Link<To>,
    flows: Flows,
    answers_in: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    answers: mpsc::Receiver<(SocketAddr, Vec<u8>)>,
    rebinds_seen: u64,
    was_cut: bool,
}

/// Whom a packet is for, seen from the client's side.
#[derive(Clone, Copy, Debug)]
enum To {
    /// A client of UDP, or its upstream socket.
    Client(SocketAddr),
    /// An end of a TCP connection.
    Flow(u64),
}

struct Client {
    socket: Arc<UdpSocket>,
    reader: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Pump {
    fn new(
        front: UdpSocket,
        upstream: SocketAddr,
        flows: Flows,
        settings: Arc<Settings>,
        seed: u64,
    ) -> Self {
        let (answers_in, answers) = mpsc::channel(ANSWERS_MAX);
        Self {
            front,
            upstream,
            settings,
            clients: HashMap::new(),
            up: Link::new(seed),
            down: Link::new(seed.wrapping_add(1)),
            flows,
            answers_in,
            answers,
            rebinds_seen: 0,
            was_cut: false,
        }
    }

    async fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let settings = Arc::clone(&self.settings);
        loop {
            let far = Instant::now() + Duration::from_secs(3_600);
            let due = [self.up.next_due(), self.down.next_due()];
            let due = due.into_iter().flatten().min().unwrap_or(far);
            // A piece of a TCP connection that found the queue full looks again soon.
            let due = if self.flows.any_waits() {
                due.min(Instant::now() + ROOM_LOOK)
            } else {
                due
            };
            tokio::select! {
                received = self.front.recv_from(&mut buffer) => {
                    // An error here is an ICMP answer to an earlier send: not this datagram's fault.
                    if let Ok((length, client)) = received {
                        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                        self.enter(true, client, bytes);
                    }
                }
                Some((client, bytes)) = self.answers.recv() => self.enter(false, client, bytes),
                Some(piece) = self.flows.next() => self.flows.wait(piece),
                () = tokio::time::sleep_until(due.into()) => {}
                () = settings.changed.notified() => {}
            }
            self.apply_settings();
            self.enter_flows();
            self.deliver().await;
            let counters = Counters {
                up: self.up.counted,
                down: self.down.counted,
            };
            let settings = &self.settings;
            *settings
                .counters
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = counters;
            let mut waits = settings
                .waits
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            waits.0.merge(&mut self.up.waits);
            waits.1.merge(&mut self.down.waits);
        }
    }

    fn enter(&mut self, upwards: bool, client: SocketAddr, bytes: Vec<u8>) {
        let link = if upwards {
            &mut self.up
        } else {
            &mut self.down
        };
        let blocked = self.settings.udp_blocked.load(Ordering::SeqCst);
        if blocked || self.settings.cut.load(Ordering::SeqCst) {
            link.lose_one();
            return;
        }
        let shape = self.settings.shape();
        link.send(Instant::now(), &shape, To::Client(client), bytes);
    }

    /// Lets pieces of TCP connections into the queue while there is room: TCP slows down instead
    /// of losing. Nothing gets in while the cable is cut.
    fn enter_flows(&mut self) {
        if self.settings.cut.load(Ordering::SeqCst) {
            return;
        }
        let shape = Shape {
            loss: 0.0,
            ..self.settings.shape()
        };
        let now = Instant::now();
        let (up, down) = (&mut self.up, &mut self.down);
        self.flows.enter(|piece: &mut Piece| {
            let link = if piece.upwards { &mut *up } else { &mut *down };
            let room = link.has_room(now, &shape, piece.bytes.len());
            if room {
                let bytes = std::mem::take(&mut piece.bytes);
                link.send(now, &shape, To::Flow(piece.flow), bytes);
            }
            room
        });
    }

    fn apply_settings(&mut self) {
        if self.settings.cut.load(Ordering::SeqCst) {
            self.up.lose_all();
            self.down.lose_all();
            self.was_cut = true;
        } else if std::mem::take(&mut self.was_cut) {
            // TCP is not told of the cut; what it had under way is gone, so that it ends now.
            self.flows.end_all();
        }
        let rebinds = self.settings.rebinds.load(Ordering::SeqCst);
        if rebinds != self.rebinds_seen {
            self.rebinds_seen = rebinds;
            self.clients.clear();
        }
    }

    async fn deliver(&mut self) {
        let now = Instant::now();
        while let Some((to, bytes)) = self.up.receive(now) {
            match to {
                // A refused datagram is a lost one, which is what UDP promises.
                To::Client(client) => {
                    if let Some(socket) = self.upstream_of(client).await {
                        drop(socket.send(&bytes).await);
                    }
                }
                To::Flow(flow) => self.flows.deliver(flow, true, bytes),
            }
        }
        while let Some((to, bytes)) = self.down.receive(now) {
            match to {
                To::Client(client) => drop(self.front.send_to(&bytes, client).await),
                To::Flow(flow) => self.flows.deliver(flow, false, bytes),
            }
        }
    }

    async fn upstream_of(&mut self, client: SocketAddr) -> Option<Arc<UdpSocket>> {
        if let Some(known) = self.clients.get(&client) {
            return Some(Arc::clone(&known.socket));
        }
        if self.clients.len() >= CLIENTS_MAX {
            self.clients.clear();
        }
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.ok()?);
        socket.connect(self.upstream).await.ok()?;
        let reader = tokio::spawn(read_answers(
            Arc::clone(&socket),
            client,
            self.answers_in.clone(),
        ));
        self.clients.insert(
            client,
            Client {
                socket: Arc::clone(&socket),
                reader,
            },
        );
        Some(socket)
    }
}

/// Hands what the upstream answers to one client to the pump.
async fn read_answers(
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    answers: mpsc::Sender<(SocketAddr, Vec<u8>)>,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // An error is an upstream that is not there (yet): the next datagram may find it.
        let Ok(length) = socket.recv(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
        if answers.send((client, bytes)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream, UdpSocket as Socket};

    const DEADLINE: Duration = Duration::from_secs(10);

    fn socket() -> Socket {
        let socket = Socket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    }

    /// Sends `text` through the relay and gives the address that the upstream saw; the upstream
    /// answers with the same text, which must reach the client.
    fn round_trip(client: &Socket, relay: &Relay, upstream: &Socket, text: &[u8]) -> SocketAddr {
        let mut buffer = [0; 100];
        client.send_to(text, relay.address()).unwrap();
        let (length, seen) = upstream.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], text);
        upstream.send_to(text, seen).unwrap();
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (text, relay.address()));
        seen
    }

    #[test]
    fn keeps_clients_apart_and_counts() {
        let upstream = socket();
        let relay = Relay::start(upstream.local_addr().unwrap()).unwrap();
        let (one, two) = (socket(), socket());
        let seen_one = round_trip(&one, &relay, &upstream, b"one");
        let seen_two = round_trip(&two, &relay, &upstream, b"three");
        assert_ne!(seen_one, seen_two);
        assert_eq!(round_trip(&one, &relay, &upstream, b"one"), seen_one);
        relay.rebind();
        assert_ne!(round_trip(&one, &relay, &upstream, b"one"), seen_one);
        let expected = Counted {
            datagrams: 4,
            bytes: 14,
            dropped: 0,
        };
        crate::wait_for("the counters", DEADLINE, || {
            Ok((relay.counters()
                == Counters {
                    up: expected,
                    down: expected,
                })
            .then_some(()))
        })
        .unwrap();
    }

    #[test]
    fn udp_and_tcp_share_one_bottleneck_and_udp_can_be_blocked() {
        let upstream = socket();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay =
            Relay::start_with_tcp(upstream.local_addr().unwrap(), tcp.local_addr().unwrap());
        let relay = relay.unwrap();
        let client = socket();
        round_trip(&client, &relay, &upstream, b"open");
        relay.shape(Shape {
            rate_bytes_per_s: Some(100_000),
            queue_bytes: 20_000,
            header_bytes: 28,
            ..Shape::default()
        });
        let mut sender = TcpStream::connect(relay.address()).unwrap();
        let (mut receiver, _) = tcp.accept().unwrap();
        let begun = Instant::now();
        let sent: Vec<u8> = (0..60_000_u32).map(|at| at.to_be_bytes()[3]).collect();
        let bytes = sent.clone();
        let writer = std::thread::spawn(move || sender.write_all(&bytes).unwrap());
        // A datagram waits behind what the connection has in the queue, and not behind all of it.
        crate::wait_for("the queue to fill", DEADLINE, || {
            Ok((relay.counters().up.bytes > 5_000).then_some(()))
        })
        .unwrap();
        let asked = Instant::now();
        round_trip(&client, &relay, &upstream, b"behind");
        let waited = asked.elapsed();
        let mut got = vec![0; sent.len()];
        receiver.read_exact(&mut got).unwrap();
        writer.join().unwrap();
        let took = begun.elapsed();
        assert!(got == sent, "the bytes came through in another order");
        assert!(
            took >= Duration::from_millis(500),
            "faster than its rate: {took:?}"
        );
        assert!(waited >= Duration::from_millis(100), "no queue: {waited:?}");
        let longest = relay.take_waits().0.at_most(1_000);
        assert!(
            longest <= Duration::from_millis(210),
            "{longest:?} in the queue"
        );
        assert_eq!(relay.counters().up.dropped, 0);
        relay.block_udp(true);
        client.send_to(b"lost", relay.address()).unwrap();
        crate::wait_for("the loss", DEADLINE, || {
            Ok((relay.counters().up.dropped == 1).then_some(()))
        })
        .unwrap();
    }

    #[test]
    fn a_cut_loses_and_a_restored_uplink_passes() {
        let upstream = socket();
        let relay = Relay::start(upstream.local_addr().unwrap()).unwrap();
        let client = socket();
        round_trip(&client, &relay, &upstream, b"before");
        relay.cut();
        assert!(relay.is_cut());
        client.send_to(b"lost", relay.address()).unwrap();
        crate::wait_for("the loss", DEADLINE, || {
            Ok((relay.counters().up.dropped == 1).then_some(()))
        })
        .unwrap();
        relay.restore();
        round_trip(&client, &relay, &upstream, b"after");
    }

    #[test]
    fn delay_is_felt_both_ways_and_an_absent_upstream_is_survived() {
        let upstream = socket();
        let address = upstream.local_addr().unwrap();
        drop(upstream);
        let relay = Relay::start(address).unwrap();
        let client = socket();
        client.send_to(b"nobody", relay.address()).unwrap();
        crate::wait_for("it to pass", DEADLINE, || {
            Ok((relay.counters().up.datagrams == 1).then_some(()))
        })
        .unwrap();
        let upstream = Socket::bind(address).unwrap();
        upstream.set_read_timeout(Some(DEADLINE)).unwrap();
        relay.set(Duration::from_millis(100), 0.0, None, 1 << 20);
        let started = Instant::now();
        round_trip(&client, &relay, &upstream, b"slow");
        assert!(started.elapsed() >= Duration::from_millis(200));
    }
}
