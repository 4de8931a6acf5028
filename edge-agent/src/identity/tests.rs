//! Enrolment against a hub that loses its answer, refuses, or is another one.

use super::*;
use crate::config::HubConfig;
use protocol::claim::Claim;
use protocol::id::GatewayId;
use protocol::sync::ALPN_ENROL;
use protocol::wire::FrameReader;
use protocol::wire::v1::{EnrolledV1, Message, ReferenceV1, RefuseV1};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, ServerConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
    PublicKeyData as _,
};
use rustls_pki_types::CertificateSigningRequestDer;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

/// What the hub does with one request.
#[derive(Clone, Copy)]
enum Manner {
    LosesItsAnswer,
    Refuses,
    Answers,
}

struct FakeHub {
    endpoint: Endpoint,
    issuer: Issuer<'static, KeyPair>,
    authority: Vec<u8>,
}

impl FakeHub {
    fn start() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().der().to_vec();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec![crate::dial::SERVER_NAME.to_owned()]).unwrap();
        let server = server.signed_by(&own, &issuer).unwrap();
        let chain = vec![server.der().clone(), authority.clone().into()];
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, own.serialize_der().try_into().unwrap())
        .unwrap();
        tls.alpn_protocols = vec![ALPN_ENROL.to_vec()];
        let crypto = QuicServerConfig::try_from(tls).unwrap();
        let config = ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            endpoint,
            issuer,
            authority,
        }
    }

    fn config(&self) -> HubConfig {
        let second = std::time::Duration::from_secs(1);
        let address = self.endpoint.local_addr().unwrap();
        HubConfig {
            host: address.ip().to_string(),
            port: address.port(),
            tcp_port: 1,
            proxy: None,
            keep_alive: second,
            reconnect_max: second,
            live_every: second,
        }
    }

    fn claim(&self) -> Claim {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.authority);
        Claim {
            token: [7; 16],
            authority: digest.as_ref().try_into().unwrap(),
        }
    }

    /// Takes one request; gives the public key that it asked a certificate for.
    async fn serve(&self, manner: Manner) -> Vec<u8> {
        let connection = self.endpoint.accept().await.unwrap().await.unwrap();
        let (mut send, mut receive) = connection.accept_bi().await.unwrap();
        let bytes = receive.read_to_end(1 << 20).await.unwrap();
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        let frame = reader.next_frame().unwrap().unwrap();
        let Message::Enrol(ask) = Message::decode(&frame).unwrap() else {
            panic!("no enrolment")
        };
        let request = CertificateSigningRequestDer::from(ask.request);
        let key = CertificateSigningRequestParams::from_der(&request)
            .unwrap()
            .public_key;
        let answer = match manner {
            Manner::LosesItsAnswer => {
                connection.close(1_u32.into(), b"the line is cut");
                return key.der_bytes().to_vec();
            }
            Manner::Refuses => Message::Refuse(RefuseV1 {
                code: 1,
                words: "this claim token was used by another box".to_owned(),
                retry_after_s: None,
            }),
            Manner::Answers => {
                let certificate = CertificateParams::default().signed_by(&key, &self.issuer);
                Message::Enrolled(EnrolledV1 {
                    certificate: certificate.unwrap().der().to_vec(),
                    authority: self.authority.clone(),
                    reference: ReferenceV1 {
                        gateway_name: "Box 1".to_owned(),
                        gateway_code: "B1".to_owned(),
                        site: uuid::Uuid::nil(),
                        site_name: "Plant 1".to_owned(),
                        people: Vec::new(),
                    },
                })
            }
        };
        send.write_all(&answer.encode().unwrap()).await.unwrap();
        send.finish().unwrap();
        connection.closed().await;
        key.der_bytes().to_vec()
    }
}

async fn attempt(
    hub: &FakeHub,
    folder: &Path,
    manner: Manner,
) -> (Result<Enrolled, IdentityError>, Vec<u8>) {
    let gateway = GatewayId(uuid::Uuid::from_u128(1));
    let (claim, config) = (hub.claim(), hub.config());
    tokio::join!(enrol(folder, &config, &claim, gateway), hub.serve(manner))
}

#[tokio::test]
async fn an_enrolment_whose_answer_was_lost_is_completed_with_the_same_key() {
    let hub = FakeHub::start();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("identity");
    let (lost, first) = attempt(&hub, &folder, Manner::LosesItsAnswer).await;
    assert!(
        matches!(lost, Err(IdentityError::Connect { .. })),
        "{lost:?}"
    );
    let pending = folder.join("pending.key");
    let mode = fs::metadata(&pending).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(Identity::load(&folder).unwrap().is_none());
    let (enrolled, second) = attempt(&hub, &folder, Manner::Answers).await;
    assert_eq!(enrolled.unwrap().reference.site_name, "Plant 1");
    assert_eq!(first, second);
    let identity = Identity::load(&folder).unwrap().unwrap();
    assert_eq!(identity.authority.as_ref(), hub.authority);
    assert!(!pending.exists());
    // The next enrolment is a new one, with a new key.
    let (again, third) = attempt(&hub, &folder, Manner::Answers).await;
    again.unwrap();
    assert_ne!(second, third);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_hubs_words_and_changes_nothing() {
    let hub = FakeHub::start();
    let place = tempfile::tempdir().unwrap();
    attempt(&hub, place.path(), Manner::Answers)
        .await
        .0
        .unwrap();
    let before = fs::read_to_string(place.path().join("gateway.key")).unwrap();
    let (refused, _) = attempt(&hub, place.path(), Manner::Refuses).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the hub refused the claim: this claim token was used by another box"
    );
    assert_eq!(
        fs::read_to_string(place.path().join("gateway.key")).unwrap(),
        before
    );
}

#[tokio::test]
async fn a_hub_with_another_authority_than_the_claim_names_is_not_told_the_token() {
    let (hub, other) = (FakeHub::start(), FakeHub::start());
    let place = tempfile::tempdir().unwrap();
    let gateway = GatewayId(uuid::Uuid::from_u128(1));
    let (claim, config) = (other.claim(), hub.config());
    let (result, connected) = tokio::join!(enrol(place.path(), &config, &claim, gateway), async {
        hub.endpoint.accept().await.unwrap().await
    });
    assert!(
        matches!(result, Err(IdentityError::OtherHub { .. })),
        "{result:?}"
    );
    assert!(connected.is_err());
    assert!(Identity::load(place.path()).unwrap().is_none());
}
