//! Enrolment against a hub that loses its answer, refuses, or is another one.

use super::*;
use crate::config::HubConfig;
use protocol::claim::Claim;
use protocol::id::GatewayId;
use protocol::sync::{ALPN_ENROL, ALPN_RENEW};
use protocol::time::Timestamp;
use protocol::wire::FrameReader;
use protocol::wire::v1::{EnrolledV1, Message, ReferenceV1, RefuseV1, RenewedV1};
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
        tls.alpn_protocols = vec![ALPN_ENROL.to_vec(), ALPN_RENEW.to_vec()];
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
            accept_configuration: false,
            configuration_trial: second,
        }
    }

    fn claim(&self) -> Claim {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.authority);
        Claim {
            token: [7; 16],
            authority: digest.as_ref().try_into().unwrap(),
            replaces: false,
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
        let (request, renew) = match Message::decode(&frame).unwrap() {
            Message::Enrol(ask) => (ask.request, false),
            Message::Renew(ask) => (ask.request, true),
            other => panic!("{other:?}"),
        };
        let request = CertificateSigningRequestDer::from(request);
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
            Manner::Answers if renew => {
                let certificate = CertificateParams::default().signed_by(&key, &self.issuer);
                Message::Renewed(RenewedV1 {
                    certificate: certificate.unwrap().der().to_vec(),
                    authorities: vec![self.authority.clone(), self.authority.clone()],
                })
            }
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

async fn enrol(
    folder: &Path,
    hub: &HubConfig,
    claim: &Claim,
    gateway: GatewayId,
) -> Result<Enrolled, IdentityError> {
    ask(folder, hub, claim, gateway).await?.keep()
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
    assert_eq!(identity.authorities[0].as_ref(), hub.authority);
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
    let before = fs::read_to_string(place.path().join("identity.pem")).unwrap();
    let (refused, _) = attempt(&hub, place.path(), Manner::Refuses).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the hub refused the claim: this claim token was used by another box"
    );
    assert_eq!(
        fs::read_to_string(place.path().join("identity.pem")).unwrap(),
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

#[tokio::test]
async fn a_renewal_takes_the_place_of_the_old_identity_in_one_step_or_not_at_all() {
    let hub = FakeHub::start();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    attempt(&hub, folder, Manner::Answers).await.0.unwrap();
    let before = Identity::load(folder).unwrap().unwrap();
    let config = hub.config();
    for manner in [Manner::LosesItsAnswer, Manner::Refuses] {
        let (failed, _) = tokio::join!(renew(folder, &config, &before), hub.serve(manner));
        assert!(failed.is_err());
        let now = Identity::load(folder).unwrap().unwrap();
        assert_eq!(
            (&now.key, &now.certificate),
            (&before.key, &before.certificate)
        );
    }
    let (renewed, _) = tokio::join!(renew(folder, &config, &before), hub.serve(Manner::Answers));
    renewed.unwrap();
    let after = Identity::load(folder).unwrap().unwrap();
    assert!(after.key != before.key && after.certificate != before.certificate);
    // Two authorities are trusted while the hub goes over from one to the other.
    assert_eq!(after.authorities.len(), 2);
    // What a crash leaves beside it changes nothing.
    fs::write(folder.join("identity.new"), "half a").unwrap();
    assert_eq!(Identity::load(folder).unwrap().unwrap().key, after.key);
    let mode = fs::metadata(folder.join("identity.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn boxes_renew_between_a_third_and_a_quarter_of_the_life_before_the_end() {
    let key = KeyPair::generate().unwrap();
    let day_us = 24 * 3_600 * 1_000_000;
    let mut moments = std::collections::BTreeSet::new();
    for serial in 1..40_u64 {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        params.serial_number = Some(serial.into());
        let certificate = params.self_signed(&key).unwrap();
        let at = renew_at(certificate.der()).unwrap();
        let end = Timestamp(params.not_after.unix_timestamp() * 1_000_000);
        let left_days = end.micros_since(at) / day_us;
        assert!((91..=121).contains(&left_days), "{left_days}");
        moments.insert(at);
    }
    assert!(moments.len() > 20, "{}", moments.len());
}

#[test]
fn an_authority_that_is_over_is_trusted_no_longer_and_only_the_older_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        (key.serialize_pem(), der)
    };
    let (key, own) = certificate("box");
    let [(_, new), (_, old), (_, cross), (_, leaf)] =
        ["new", "old", "cross", "leaf"].map(certificate);
    let files = Files::new(folder.path());
    store(&files, &key, &own, &[new.as_ref(), old.as_ref()]).unwrap();
    let before = fs::read_to_string(&files.identity).unwrap();
    // Still changing over; one who has the old key; a hub that shows nothing.
    for shown in [
        &[leaf.clone(), new.clone(), cross][..],
        &[leaf.clone(), old.clone()],
        std::slice::from_ref(&leaf),
    ] {
        assert!(!retire(folder.path(), shown).unwrap());
        assert_eq!(fs::read_to_string(&files.identity).unwrap(), before);
    }
    let shown = [leaf, new.clone()];
    assert!(retire(folder.path(), &shown).unwrap());
    let after = Identity::load(folder.path()).unwrap().unwrap();
    assert_eq!((&after.certificate, &after.authorities), (&own, &vec![new]));
    assert!(before.starts_with(&key));
    assert!(
        fs::read_to_string(&files.identity)
            .unwrap()
            .starts_with(&key)
    );
    assert!(
        !retire(folder.path(), &shown).unwrap(),
        "nothing is left to end"
    );
}
