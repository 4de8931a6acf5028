//! A message to an MQTT broker (3.1.1, `QoS` 1), and acknowledgements from a topic. The connection comes
//! back by itself. Never counts a message as delivered that the broker did not acknowledge.

use super::matter::{Message, Outcome};
use super::seat::{Channel, News, Order, Seat, Task, until_stop};
use super::secret;
use super::webhook;
use crate::config::{Section, quoted};
use crate::transport::{config, host_and_port};
use protocol::id::AlertId;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// Requests to the client that wait; one message is on its way at a time.
const REQUESTS_MAX: usize = 8;
/// Largest packet in either direction, in bytes.
const PACKET_BYTES_MAX: usize = 64 << 10;
/// Wait before the connection is tried again.
const RECONNECT: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `kind = "mqtt"`
#[derive(Clone, Debug)]
pub(super) struct Mqtt {
    host: String,
    port: u16,
    client_id: String,
    topic: String,
    acknowledge_topic: Option<String>,
    login: Option<(String, PathBuf)>,
}

/// Reads its keys.
pub(super) fn read(section: &mut Section, channel: &str) -> Option<Mqtt> {
    let address = section.required_text("address");
    let endpoint = address.as_deref().and_then(|text| {
        let bare = text.strip_prefix("mqtt://").unwrap_or(text);
        host_and_port(bare, 1_883)
    });
    let parts = endpoint
        .as_deref()
        .and_then(|endpoint| endpoint.rsplit_once(':'));
    let parts = parts.and_then(|(host, port)| {
        Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
    });
    if address.is_some() && parts.is_none() {
        let words = "is not a host and a port; write for example \"broker.plant.lan:1883\"";
        section.problem("address", words);
    }
    let client_id = section
        .text("client_id")
        .unwrap_or_else(|| format!("edge-agent-{channel}"));
    let topic = section
        .text("topic")
        .unwrap_or_else(|| "alerts/{severity}/{asset}".to_owned());
    let acknowledge_topic = section.text("acknowledge_topic");
    for (key, text) in [
        ("topic", Some(&topic)),
        ("acknowledge_topic", acknowledge_topic.as_ref()),
    ] {
        let is_wrong = text.is_some_and(|text| text.is_empty() || text.contains(['#', '+', '\0']));
        if is_wrong {
            section.problem(key, "is no topic to write to; leave out # and +");
        }
    }
    for word in placeholders(&topic) {
        if !PLACEHOLDERS.contains(&word) {
            let words = format!("{} cannot be filled in", quoted(word));
            section.unknown("topic", &words, word, PLACEHOLDERS);
        }
    }
    let user = section.text("user");
    let password = config::file(section, "password_file");
    if section.has("user") != section.has("password_file") {
        section.problem(
            "user",
            "needs password_file beside it, and the other way round",
        );
    }
    let (host, port) = parts?;
    Some(Mqtt {
        host,
        port,
        client_id,
        topic,
        acknowledge_topic,
        login: user.zip(password),
    })
}

const PLACEHOLDERS: [&str; 5] = ["severity", "asset", "rule", "channel", "alert"];

fn placeholders(topic: &str) -> Vec<&str> {
    topic
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(word, _)| word)
        .collect()
}

/// What stands on the acknowledge topic.
#[derive(Debug, Deserialize)]
struct Acknowledged {
    alert: AlertId,
    by: Option<String>,
}

/// The message that is on its way.
struct Sent {
    message: Message,
    waits: Option<oneshot::Sender<Outcome>>,
    until: Instant,
    /// It was handed to the client, which sends it again by itself when the connection comes back.
    is_handed: bool,
    /// The packet id, once the client gave it one.
    packet: Option<u16>,
}

impl Channel for Mqtt {
    fn run(self: Box<Self>, seat: Seat) -> Task<'static> {
        Box::pin(serve(*self, seat))
    }
}

/// What comes from the connection.
type Heard = Result<Event, String>;

async fn serve(mqtt: Mqtt, mut seat: Seat) {
    let (client, events) = loop {
        match mqtt.connection() {
            Ok(connection) => break connection,
            Err(error) => {
                let words = error.to_string();
                seat.set_words(&words, true);
                if refuse_one(&mut seat, &words).await {
                    return;
                }
            }
        }
    };
    let (tell, mut heard) = mpsc::channel(REQUESTS_MAX);
    let pump = tokio::spawn(pump(events, tell));
    let mut stop = seat.stop.clone();
    let mut at_work = Work {
        mqtt,
        client,
        sent: None,
        is_connected: false,
    };
    loop {
        let deadline = at_work.sent.as_ref().map(|sent| sent.until);
        let is_free = at_work.sent.is_none();
        tokio::select! {
            order = seat.next(), if is_free => match order {
                None => break,
                Some(Order::Send(message, waits)) => at_work.take(message, waits, &seat),
                Some(Order::Lamp(_)) => {}
            },
            event = heard.recv() => match event {
                Some(event) => at_work.heard(event, &seat).await,
                None => break,
            },
            () = wait_until(deadline) => {
                if let Some(late) = at_work.sent.take() {
                    let words = if at_work.is_connected {
                        "the broker did not acknowledge it in time".to_owned()
                    } else {
                        seat.queue.status().words
                    };
                    seat.ended(late.message, Outcome::Failed(words), late.waits).await;
                }
            }
            () = until_stop(&mut stop), if !is_free => break,
        }
    }
    drop(at_work.client.try_disconnect());
    pump.abort();
}

/// The connection in a task of its own, so that nothing that it reads is given up half way.
async fn pump(mut events: EventLoop, tell: mpsc::Sender<Heard>) {
    loop {
        let event = events.poll().await;
        let failed = event.is_err();
        if tell
            .send(event.map_err(|error| error.to_string()))
            .await
            .is_err()
        {
            return;
        }
        if failed {
            tokio::time::sleep(RECONNECT).await;
        }
    }
}

/// While there is no password: what is asked for fails; whether the channel ended.
async fn refuse_one(seat: &mut Seat, words: &str) -> bool {
    match tokio::time::timeout(RECONNECT, seat.next()).await {
        Ok(None) => true,
        Ok(Some(Order::Send(message, waits))) => {
            seat.ended(message, Outcome::Failed(words.to_owned()), waits)
                .await;
            false
        }
        _ => false,
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Mqtt {
    fn connection(&self) -> std::io::Result<(AsyncClient, EventLoop)> {
        let mut options = MqttOptions::new(self.client_id.clone(), self.host.clone(), self.port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        options.set_inflight(1);
        options.set_request_channel_capacity(REQUESTS_MAX);
        // So that acknowledgements that came while the box was away are still handed over.
        options.set_clean_session(false);
        if let Some((user, file)) = &self.login {
            options.set_credentials(user.clone(), secret::read(file)?);
        }
        Ok(AsyncClient::new(options, REQUESTS_MAX))
    }

    fn topic_of(&self, message: &Message) -> String {
        let head = message.head();
        let level = |text: &str| text.replace(['/', '#', '+', '\0'], "-");
        let severity = serde_json::to_value(message.severity()).ok();
        let severity = severity.and_then(|value| value.as_str().map(str::to_owned));
        let asset = head
            .and_then(|head| head.asset.as_deref())
            .unwrap_or("none");
        let rule = head.and_then(|head| head.rule.as_deref()).unwrap_or("none");
        let alert = head
            .and_then(|head| head.alert)
            .map(|alert| alert.to_string());
        self.topic
            .replace("{severity}", severity.as_deref().unwrap_or("low"))
            .replace("{asset}", &level(asset))
            .replace("{rule}", &level(rule))
            .replace("{channel}", &level(&message.channel))
            .replace("{alert}", alert.as_deref().unwrap_or("none"))
    }
}

/// The channel at work.
struct Work {
    mqtt: Mqtt,
    client: AsyncClient,
    sent: Option<Sent>,
    is_connected: bool,
}

impl Work {
    /// Takes a message on; it goes out when there is a connection.
    fn take(&mut self, message: Message, waits: Option<oneshot::Sender<Outcome>>, seat: &Seat) {
        self.sent = Some(Sent {
            message,
            waits,
            until: Instant::now() + seat.timeout,
            is_handed: false,
            packet: None,
        });
        self.hand_over(seat);
    }

    fn hand_over(&mut self, seat: &Seat) {
        let Some(sent) = self.sent.as_mut().filter(|sent| !sent.is_handed) else {
            return;
        };
        if !self.is_connected {
            return;
        }
        let topic = self.mqtt.topic_of(&sent.message);
        let body = webhook::body(&sent.message, seat).to_string();
        match self
            .client
            .try_publish(topic, QoS::AtLeastOnce, false, body)
        {
            Ok(()) => sent.is_handed = true,
            // It fails when its time is over.
            Err(error) => tracing::warn!(channel = seat.name, %error, "not handed to the broker"),
        }
    }

    async fn heard(&mut self, event: Heard, seat: &Seat) {
        match event {
            Err(words) => {
                self.is_connected = false;
                seat.set_words(&format!("the broker is away: {words}"), true);
            }
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                self.is_connected = true;
                seat.set_words("connected to the broker", false);
                if let Some(topic) = &self.mqtt.acknowledge_topic
                    && let Err(error) = self.client.try_subscribe(topic, QoS::AtLeastOnce)
                {
                    tracing::warn!(%error, "the topic for acknowledgements could not be asked for");
                }
                self.hand_over(seat);
            }
            Ok(Event::Outgoing(Outgoing::Publish(packet))) => {
                if let Some(sent) = &mut self.sent {
                    sent.packet = Some(packet);
                }
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                let mut done = self.sent.take_if(|sent| sent.packet == Some(ack.pkid));
                if let Some(done) = done.take() {
                    let words = "acknowledged by the broker".to_owned();
                    seat.ended(done.message, Outcome::Delivered(words), done.waits)
                        .await;
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                acknowledged(&publish.topic, &publish.payload, seat).await;
            }
            Ok(_) => {}
        }
    }
}

async fn acknowledged(topic: &str, payload: &[u8], seat: &Seat) {
    match serde_json::from_slice::<Acknowledged>(payload) {
        Ok(acknowledged) => {
            let by = acknowledged.by.filter(|by| !by.trim().is_empty());
            seat.tell(News::Acknowledged {
                alert: acknowledged.alert,
                by: by.unwrap_or_else(|| seat.name.clone()),
                channel: seat.name.clone(),
            })
            .await;
        }
        Err(error) => tracing::warn!(
            topic, %error,
            "not an acknowledgement; write {{\"alert\": \"…\", \"by\": \"…\"}}"
        ),
    }
}
