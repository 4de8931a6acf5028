//! What a box is told at the door, over TCP with TLS as a box speaks it.

use super::*;
use crate::ca::GATEWAY_VALID;
use crate::clock;
use crate::store::CertificateRow;
use crate::store::testing::Fixture;
use protocol::id::GatewayId;
use protocol::mux::Mux;
use protocol::sync::{ALPN_ENROL, ALPN_RENEW, ALPN_SYNC, Lane, PROTOCOL, Refusal};
use protocol::time::Timestamp;
use protocol::wire::FrameReader;
use protocol::wire::v1::{Chain, EnrolV1, HelloV1, Message, RenewV1};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

struct Door {
    fixture: Fixture,
    authority: Arc<Authority>,
    address: SocketAddr,
    _stop: watch::Sender<bool>,
}

/// A box's key and certificate.
struct Box1 {
    key: Vec<u8>,
    certificate: Vec<u8>,
}

impl Door {
    async fn open() -> Self {
        let fixture = Fixture::new().await;
        let authority = Arc::new(Authority::open(fixture.folder.path()).unwrap());
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, Some(any), authority.clone(), fixture.store.clone());
        let listener = listener.unwrap();
        let address = listener.addresses().unwrap().1.unwrap();
        let (stop, stopping) = watch::channel(false);
        let limits = Limits {
            connections_max: 2,
            handshakes_per_s: 100,
        };
        tokio::spawn(listener.serve(limits, stopping));
        Self {
            fixture,
            authority,
            address,
            _stop: stop,
        }
    }

    /// A box that is known.
    async fn certified(&self, valid: time::Duration) -> Box1 {
        let (one, row) = self.signed(valid);
        self.fixture.store.add_certificate(row).await.unwrap();
        one
    }

    /// What the hub says to the one message of a box.
    async fn ask(
        &self,
        one: &Box1,
        protocol: &[u8],
        message: &Message,
    ) -> (Option<Refusal>, String) {
        let mut stream = self.connect(one, protocol).await;
        stream.write_all(&message.encode().unwrap()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        match Message::decode(&reader.next_frame().unwrap().unwrap()).unwrap() {
            Message::Refuse(refuse) => (Refusal::from_code(refuse.code), refuse.words),
            other => panic!("{other:?} is no refusal"),
        }
    }

    /// A certificate that the authority signed and the hub does not know yet.
    fn signed(&self, valid: time::Duration) -> (Box1, CertificateRow) {
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let gateway = self.fixture.gateway;
        let issued = self
            .authority
            .sign_gateway(request.der(), gateway, "default", valid);
        let issued = issued.unwrap();
        let row = CertificateRow {
            scope: self.fixture.scope,
            gateway,
            fingerprint: enrol::sha256(&issued.certificate),
            serial: issued.serial,
            not_after: Timestamp::from_millis(issued.not_after_s * 1_000),
            revoked: None,
            authority: None,
        };
        let one = Box1 {
            key: key.serialize_der(),
            certificate: issued.certificate,
        };
        (one, row)
    }

    async fn connect(&self, one: &Box1, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from(one.certificate.clone())],
                PrivateKeyDer::try_from(one.key.clone()).unwrap(),
            )
            .unwrap();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(crate::ca::SERVER_NAME).unwrap();
        TlsConnector::from(Arc::new(tls))
            .connect(name, stream)
            .await
            .unwrap()
    }

    /// What the hub says on lane 0 of a synchronising connection before it ends.
    async fn refusal(&self, one: &Box1) -> (Option<Refusal>, String) {
        refusal(self.connect(one, ALPN_SYNC).await).await
    }

    async fn renewal(&self, one: &Box1, key: &KeyPair) -> Message {
        let request = CertificateParams::default().serialize_request(key).unwrap();
        let ask = Message::Renew(RenewV1 {
            request: request.der().to_vec(),
            build: "test".to_owned(),
        });
        let mut stream = self.connect(one, ALPN_RENEW).await;
        stream.write_all(&ask.encode().unwrap()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        Message::decode(&reader.next_frame().unwrap().unwrap()).unwrap()
    }
}

/// The refusal that ends the connection, whatever comes before it.
async fn refusal(mut stream: TlsStream<TcpStream>) -> (Option<Refusal>, String) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let now = clock::now();
    let mut mux = Mux::new(None, now);
    mux.handle_bytes(&bytes, now);
    while let Some((_, frame)) = mux.poll_frame(now).unwrap() {
        if let Message::Refuse(refuse) = Message::decode(&frame).unwrap() {
            return (Refusal::from_code(refuse.code), refuse.words);
        }
    }
    panic!("no refusal in {} bytes", bytes.len())
}

/// Says hello, as a box does first.
async fn greet(stream: &mut TlsStream<TcpStream>, gateway: GatewayId) {
    greet_in(stream, gateway, PROTOCOL).await;
}

async fn greet_in(stream: &mut TlsStream<TcpStream>, gateway: GatewayId, protocol: u16) {
    let hello = Message::Hello(HelloV1 {
        protocol: (protocol, protocol),
        features: 0,
        gateway: gateway.0,
        build: "test".to_owned(),
        time_us: 0,
        clock: 0,
        catalog_hash: 0,
        incarnation: 1,
        events: Vec::new(),
        down: (0, Chain::default()),
    });
    let now = clock::now();
    let mut mux = Mux::new(None, now);
    mux.push(Lane::Control, &hello.encode().unwrap());
    while let Some(bytes) = mux.poll_transmit(now) {
        stream.write_all(&bytes).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_may_renew_and_nothing_else() {
    let door = Door::open().await;
    let old = door.certified(time::Duration::days(-400)).await;
    let (code, words) = door.refusal(&old).await;
    assert_eq!(code, Some(Refusal::Expired));
    assert!(words.contains("asks for a new one by itself"), "{words}");
    let key = KeyPair::generate().unwrap();
    let Message::Renewed(answer) = door.renewal(&old, &key).await else {
        panic!("not renewed")
    };
    assert_eq!(answer.authorities, [door.authority.certificate().to_vec()]);
    let owner = crate::ca::owner_of(&answer.certificate).unwrap();
    assert_eq!(owner.gateway, door.fixture.gateway);
    // Once the new one is used, the old one counts no more, not even for a renewal.
    let new = Box1 {
        key: key.serialize_der(),
        certificate: answer.certificate,
    };
    let standing = door.connect(&new, ALPN_SYNC).await;
    tokio::time::timeout(Duration::from_secs(20), async {
        while !matches!(door.renewal(&old, &key).await, Message::Refuse(_)) {}
    })
    .await
    .unwrap();
    drop(standing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_gateway_loses_its_connection_and_may_not_renew() {
    let door = Door::open().await;
    let one = door.certified(GATEWAY_VALID).await;
    let standing = door.connect(&one, ALPN_SYNC).await;
    // Another process: not this store's own writer tells the listener.
    let beside = Store::open(door.fixture.folder.path()).unwrap();
    beside
        .revoke_gateway(door.fixture.scope, door.fixture.gateway)
        .await
        .unwrap();
    let told = tokio::time::timeout(Duration::from_secs(20), refusal(standing)).await;
    assert_eq!(told.unwrap().0, Some(Refusal::Revoked));
    let answer = door.renewal(&one, &KeyPair::generate().unwrap()).await;
    assert!(matches!(answer, Message::Refuse(refuse) if refuse.words.contains("new claim")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_of_two_connections_counts_and_a_full_hub_says_so() {
    let door = Door::open().await;
    let one = door.certified(GATEWAY_VALID).await;
    let mut first = door.connect(&one, ALPN_SYNC).await;
    let mut second = door.connect(&one, ALPN_SYNC).await;
    greet(&mut first, door.fixture.gateway).await;
    greet(&mut second, door.fixture.gateway).await;
    let from = second.get_ref().0.local_addr().unwrap();
    // Which of the two the hub saw first is not said: one of them is told of the other.
    let (told, by) = tokio::select! {
        told = refusal(first) => (told, Some(from)),
        told = refusal(second) => (told, None),
    };
    assert_eq!(told.0, Some(Refusal::Replaced));
    assert!(told.1.contains("claim of its own"), "{}", told.1);
    assert!(
        by.is_none_or(|by| told.1.contains(&by.to_string())),
        "{}",
        told.1
    );
    let _third = door.connect(&one, ALPN_SYNC).await;
    let mut standing = Vec::new();
    let busy = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let next = door.connect(&one, ALPN_SYNC).await;
            match tokio::time::timeout(Duration::from_millis(300), refusal(next)).await {
                Ok((Some(Refusal::Busy), words)) => return words,
                _ => standing.push(door.connect(&one, ALPN_SYNC).await),
            }
        }
    });
    assert!(busy.await.unwrap().contains("comes again by itself"));
}

/// Each with its number (PROTOCOL §6.5) and what helps; 4, 8 and 9 stand above.
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_number_and_what_helps() {
    let door = Door::open().await;
    let one = door.certified(GATEWAY_VALID).await;
    let mut told = Vec::new();

    let mut stream = door.connect(&one, ALPN_SYNC).await;
    greet(&mut stream, GatewayId(uuid::Uuid::from_u128(77))).await;
    told.push((refusal(stream).await, 1, "a claim of its own"));

    let unknown = door.signed(GATEWAY_VALID).0;
    told.push((door.refusal(&unknown).await, 2, "enrol it again"));

    let mut stream = door.connect(&one, ALPN_SYNC).await;
    greet_in(&mut stream, door.fixture.gateway, u16::MAX).await;
    told.push((refusal(stream).await, 3, "update the older side"));

    let request = CertificateParams::default()
        .serialize_request(&KeyPair::generate().unwrap())
        .unwrap();
    let enrol = Message::Enrol(EnrolV1 {
        token: vec![9; 16],
        gateway: uuid::Uuid::from_u128(78),
        request: request.der().to_vec(),
        build: "test".to_owned(),
    });
    told.push((door.ask(&one, ALPN_ENROL, &enrol).await, 5, "claim"));
    told.push((
        door.ask(&one, ALPN_RENEW, &enrol).await,
        7,
        "update the program",
    ));
    for ((refusal, words), code, remedy) in told {
        assert_eq!(refusal.map(Refusal::code), Some(code), "{words}");
        assert!(words.contains(remedy), "{code}: {words}");
    }
}
