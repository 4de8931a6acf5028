//! Memory of the hub that holds ten thousand idle gateways: the real process, each gateway with a
//! certificate and a QUIC connection of its own, all lanes open, welcomed, then silent.
//! Never measures readings: `ingest` does.

use crate::report::Report;
use anyhow::{Context as _, Result, ensure};
use cloud_hub::ca::{Authority, GATEWAY_VALID, SERVER_NAME};
use cloud_hub::store::{CertificateRow, NewClaim, Store};
use harness::{Program, Scratch, places, ports};
use protocol::catalog::Catalog;
use protocol::id::GatewayId;
use protocol::sync::{ALPN_SYNC, EdgeAction, EdgeSession, EdgeStart, Lane};
use protocol::time::Timestamp;
use protocol::wire::FrameReader;
use protocol::wire::v1::HelloV1;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, SendStream, TransportConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

const GATEWAYS: u32 = 10_000;
const MEMORY_MIB_MAX: f64 = 512.0;
/// Gateways that are made ready, and that connect, at the same time.
const TOGETHER: usize = 64;
/// They stay silent for this long before memory is looked at the last time; it covers two
/// keep-alives.
const SILENCE: Duration = Duration::from_secs(60);
const KEEP_ALIVE: Duration = Duration::from_secs(25);
const CONNECT_TRIES: u32 = 5;

/// What a gateway shows to the hub.
struct Identity {
    gateway: GatewayId,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

/// A connected gateway; the streams stay open as long as it lives.
struct Idle {
    connection: Connection,
    _lanes: Vec<SendStream>,
}

/// Enrols, connects, waits, measures.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-fleet")?;
    let (quic, tcp, web) = (ports::free()?, ports::free()?, ports::free()?);
    let data = scratch.file("data");
    let config = format!(
        "data_dir = \"{}\"\n[quic]\nlisten = \"{quic}\"\nconnections_max = 20000\n\
         handshakes_per_s = 10000\n[tcp]\nlisten = \"{tcp}\"\n[web]\nlisten = \"{web}\"\n",
        data.display()
    );
    let config = scratch.write("hub.toml", &config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let identities = runtime.block_on(enrol_all(&data))?;
    let authority = Authority::open(&data)?.certificate().clone();

    let mut command = Command::new(places::program("cloud-hub")?);
    command.args(["run", "--json", "--config"]).arg(config);
    command.env("RUST_LOG", "warn");
    let mut hub = Program::start("hub", command, scratch.path())?;
    hub.wait_until("the hub to listen", Duration::from_secs(60), || {
        Ok(std::net::TcpStream::connect(web).is_ok().then_some(()))
    })?;
    let empty = mib(hub.resident_bytes()?)?;
    let started = Instant::now();
    let idle = runtime.block_on(connect_all(quic, &authority, identities))?;
    let connecting_s = started.elapsed().as_secs_f64();
    harness::wait::pause(SILENCE);
    let alive = idle
        .iter()
        .filter(|idle| idle.connection.close_reason().is_none());
    let held = u32::try_from(alive.count())?;
    let full = mib(hub.resident_bytes()?)?;
    drop(idle);
    drop(hub);
    scratch.passed();

    ensure!(held > 0, "no gateway stayed connected");
    let per_gateway_kib = (full - empty) * 1024.0 / f64::from(held);
    // Said as such where fewer were held than were asked for.
    let of_all = empty + per_gateway_kib * f64::from(GATEWAYS) / 1024.0;
    let limit = ("the bound", MEMORY_MIB_MAX);
    report.row("memory with 10,000 idle gateways", of_all, "MiB", limit);
    report.row("memory with none", empty, "MiB", limit);
    let limit = ("the bound", MEMORY_MIB_MAX * 1024.0 / f64::from(GATEWAYS));
    report.row("memory per idle gateway", per_gateway_kib, "KiB", limit);
    let words = format!(
        "{held} of {GATEWAYS} idle gateways held in {full:.0} MiB ({per_gateway_kib:.1} KiB each, \
         {empty:.0} MiB with none), connected in {connecting_s:.0} s"
    );
    report.promise(held == GATEWAYS && full <= MEMORY_MIB_MAX, words);
    Ok(())
}

fn mib(bytes: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(bytes / 1024)?) / 1024.0)
}

/// Makes every gateway known to a hub that does not run yet.
async fn enrol_all(data: &Path) -> Result<Vec<Identity>> {
    let store = Store::open(data)?;
    let authority = Arc::new(Authority::open(data)?);
    let mut identities = Vec::new();
    let mut making = JoinSet::new();
    for number in 0..GATEWAYS {
        making.spawn(enrol(store.clone(), Arc::clone(&authority), number));
        if making.len() >= TOGETHER
            && let Some(made) = making.join_next().await
        {
            identities.push(made??);
        }
    }
    while let Some(made) = making.join_next().await {
        identities.push(made??);
    }
    Ok(identities)
}

async fn enrol(store: Store, authority: Arc<Authority>, number: u32) -> Result<Identity> {
    let scope = store.default_tenant();
    let gateway = GatewayId(Uuid::from_u128(0x0F00_0000 + u128::from(number)));
    let now = cloud_hub::clock::now();
    let token_sha256 = sha256(number.to_le_bytes().as_slice());
    let claim = NewClaim {
        token_sha256,
        site: "Plant".to_owned(),
        gateway_name: format!("Box {number}"),
        gateway_code: format!("B{number}"),
        expires: now.plus_micros(600_000_000),
    };
    store.add_claim(scope, claim).await?;
    store.redeem(token_sha256, gateway, [9; 32], now).await?;
    let key = rcgen::KeyPair::generate()?;
    let request = rcgen::CertificateParams::default().serialize_request(&key)?;
    let issued = authority.sign_gateway(request.der(), gateway, "default", GATEWAY_VALID)?;
    let row = CertificateRow {
        scope,
        gateway,
        fingerprint: sha256(&issued.certificate),
        serial: issued.serial,
        not_after: Timestamp(issued.not_after_s * 1_000_000),
        revoked: None,
        authority: None,
    };
    store.add_certificate(row).await?;
    Ok(Identity {
        gateway,
        certificate: CertificateDer::from(issued.certificate),
        key: key.serialize_der(),
    })
}

/// SHA-256, as the hub names certificates and tokens.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}

async fn connect_all(
    hub: SocketAddr,
    authority: &CertificateDer<'static>,
    identities: Vec<Identity>,
) -> Result<Vec<Idle>> {
    let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let mut idle = Vec::new();
    let mut connecting = JoinSet::new();
    for identity in identities {
        let config = client_config(authority, &identity)?;
        connecting.spawn(connect(endpoint.clone(), hub, config, identity.gateway));
        if connecting.len() >= TOGETHER
            && let Some(connected) = connecting.join_next().await
        {
            idle.extend(connected?.ok());
        }
    }
    while let Some(connected) = connecting.join_next().await {
        idle.extend(connected?.ok());
    }
    Ok(idle)
}

fn client_config(authority: &CertificateDer<'static>, identity: &Identity) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.clone())?;
    let key = PrivateKeyDer::try_from(identity.key.clone()).map_err(anyhow::Error::msg)?;
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![identity.certificate.clone()], key)?;
    config.alpn_protocols = vec![ALPN_SYNC.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?));
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

async fn connect(
    endpoint: Endpoint,
    hub: SocketAddr,
    config: ClientConfig,
    gateway: GatewayId,
) -> Result<Idle> {
    let mut tries = 0;
    loop {
        tries += 1;
        match connect_once(&endpoint, hub, config.clone(), gateway).await {
            Ok(idle) => return Ok(idle),
            Err(error) if tries >= CONNECT_TRIES => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Until the hub has said welcome.
async fn connect_once(
    endpoint: &Endpoint,
    hub: SocketAddr,
    config: ClientConfig,
    gateway: GatewayId,
) -> Result<Idle> {
    let connection = endpoint.connect_with(config, hub, SERVER_NAME)?.await?;
    let mut session = EdgeSession::new(start(gateway)?, cloud_hub::clock::now())?;
    let mut lanes = Vec::new();
    let mut control = None;
    for lane in Lane::ALL {
        let (mut send, receive) = connection.open_bi().await?;
        send.write_all(&[lane.number()]).await?;
        if lane == Lane::Control {
            control = Some(receive);
        }
        lanes.push(send);
    }
    let mut control = control.context("there is a lane for control")?;
    let mut reader = FrameReader::default();
    loop {
        while let Some(action) = session.poll_action() {
            match action {
                EdgeAction::Send(lane, bytes) => {
                    let at = Lane::ALL.iter().position(|one| *one == lane);
                    let stream = at.and_then(|at| lanes.get_mut(at));
                    stream
                        .context("every lane is open")?
                        .write_all(&bytes)
                        .await?;
                }
                EdgeAction::Connected { .. } => {
                    return Ok(Idle {
                        connection,
                        _lanes: lanes,
                    });
                }
                _ => {}
            }
        }
        let chunk = control.read_chunk(16 << 10, true).await?;
        reader.push(&chunk.context("the hub closed the lane")?.bytes);
        while let Some(frame) = reader.next_frame()? {
            session.handle_frame(Lane::Control, &frame, cloud_hub::clock::now())?;
        }
    }
}

/// A box that holds nothing.
fn start(gateway: GatewayId) -> Result<EdgeStart> {
    let catalog = protocol::wire::encode_catalog(&Catalog::default())?;
    Ok(EdgeStart {
        hello: HelloV1 {
            protocol: (1, 1),
            features: 0,
            gateway: gateway.0,
            build: "bench".to_owned(),
            time_us: cloud_hub::clock::now().0,
            clock: 0,
            catalog_hash: protocol::wire::hash(&catalog),
            incarnation: 1,
            events: vec![(1, 0)],
            down: (0, Default::default()),
        },
        streams: Vec::new(),
        catalog,
        contents: Vec::new(),
    })
}
