//! The authority vouches for private names only, comes back from its file, and is carried to another
//! box; the door's certificate follows addresses and time. Judged by webpki, as a client would.

use super::*;
use protocol::time::Timestamp;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_795_996_800_000_000);
const DAY_US: i64 = 86_400_000_000;

fn make(folder: &tempfile::TempDir, more: &[Name]) -> SiteAuthority {
    SiteAuthority::make(&file(folder.path()), ("Plant", more), NOW, false).unwrap()
}

/// Whether a client that trusts the authority takes the certificate for this name at this time.
fn is_taken(authority: &SiteAuthority, leaf: &[u8], name: &str, now: Timestamp) -> bool {
    let root = webpki::anchor_from_trusted_cert(authority.certificate()).unwrap();
    let leaf = CertificateDer::from(leaf.to_vec());
    let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_micros(now.0.unsigned_abs()));
    let usage = webpki::KeyUsage::server_auth();
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let roots = [root];
    let chain = leaf.verify_for_usage(algorithms, &roots, &[], at, usage, None, None);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    chain.is_ok() && leaf.verify_is_valid_for_subject_name(&name).is_ok()
}

fn ip(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn an_authority_vouches_for_private_names_and_for_those_it_was_made_for() {
    let folder = tempfile::tempdir().unwrap();
    let authority = make(&folder, &[ip("box.plant.example"), ip("203.0.113.7")]);
    for private in [
        "192.168.1.20",
        "10.1.2.3",
        "127.0.0.1",
        "fd00::7",
        "box-7.local",
        "a.lan",
    ] {
        assert!(authority.may_vouch_for(&ip(private)), "{private}");
    }
    for made_for in ["box.plant.example", "203.0.113.7"] {
        assert!(authority.may_vouch_for(&ip(made_for)), "{made_for}");
    }
    for other in [
        "8.8.8.8",
        "203.0.113.8",
        "example.org",
        "evil-local",
        "2001:db8::1",
        "172.32.0.1",
    ] {
        assert!(!authority.may_vouch_for(&ip(other)), "{other}");
    }
    let names = [ip("192.168.1.20"), ip("8.8.8.8"), ip("box.plant.example")];
    let leaf = authority.issue(&names, NOW).unwrap().cert[0].to_vec();
    assert!(is_taken(&authority, &leaf, "192.168.1.20", NOW));
    assert!(is_taken(&authority, &leaf, "box.plant.example", NOW));
    // What it may not vouch for was left out, so the rest is still good.
    assert!(!is_taken(&authority, &leaf, "8.8.8.8", NOW));
}

#[test]
fn a_client_refuses_what_a_stolen_key_signs_for_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let authority = make(&folder, &[]);
    let text = std::fs::read_to_string(file(folder.path())).unwrap();
    let key = rcgen::KeyPair::from_pem(&text).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(authority.certificate(), key).unwrap();
    let own = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["bank.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let forged = params.signed_by(&own, &issuer).unwrap();
    assert!(!is_taken(&authority, forged.der(), "bank.example", NOW));
}

#[test]
fn an_authority_comes_back_is_not_replaced_by_mistake_and_can_be_carried() {
    let folder = tempfile::tempdir().unwrap();
    let place = file(folder.path());
    assert!(SiteAuthority::read(&place).unwrap().is_none());
    let made = make(&folder, &[]);
    let read = SiteAuthority::read(&place).unwrap().unwrap();
    assert_eq!(read.certificate(), made.certificate());
    assert_eq!(made.fingerprint().len(), 32 * 3 - 1);
    let twice = SiteAuthority::make(&place, ("Plant", &[]), NOW, false).unwrap_err();
    assert!(matches!(twice, TrustError::ThereAlready));
    let other = tempfile::tempdir().unwrap();
    let carried = SiteAuthority::take(&file(other.path()), made.secret_pem(), false).unwrap();
    let leaf = carried.issue(&[ip("10.0.0.9")], NOW).unwrap().cert[0].to_vec();
    assert!(is_taken(&made, &leaf, "10.0.0.9", NOW));
    let half = made.secret_pem().len() / 2;
    for broken in ["", "nothing", made.secret_pem().get(..half).unwrap()] {
        let error = SiteAuthority::take(&file(other.path()), broken, true).unwrap_err();
        assert!(matches!(error, TrustError::Damaged { .. }), "{broken}");
    }
    // The key of another one.
    let third = tempfile::tempdir().unwrap();
    let foreign = make(&third, &[]);
    let key = foreign
        .secret_pem()
        .split("-----BEGIN CERT")
        .next()
        .unwrap();
    let at = made.secret_pem().find("-----BEGIN CERT").unwrap();
    let mixed = format!("{key}{}", made.secret_pem().get(at..).unwrap());
    SiteAuthority::take(&file(other.path()), &mixed, true).unwrap_err();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&place).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn the_door_follows_addresses_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let door = Arc::new(Door::new(make(&folder, &[]), &[ip("10.9.9.9")], NOW).unwrap());
    let address: IpAddr = "192.168.7.7".parse().unwrap();
    let taken = |name: &str, now| is_taken(door.authority(), &door.shown(), name, now);
    assert!(taken("localhost", NOW) && taken("10.9.9.9", NOW));
    assert!(!taken("192.168.7.7", NOW));
    door.cover(address, NOW);
    assert!(taken("192.168.7.7", NOW) && taken("10.9.9.9", NOW));
    let before = door.shown();
    door.cover(address, NOW);
    // A public address is nothing for it.
    door.cover("8.8.8.8".parse().unwrap(), NOW);
    assert_eq!(door.shown(), before);
    let later = NOW.plus_micros(300 * DAY_US);
    door.cover(address, later);
    assert_ne!(door.shown(), before);
    assert!(taken("192.168.7.7", later.plus_micros(390 * DAY_US)));
    // The clock was wrong and is right now.
    door.cover(address, NOW);
    assert!(taken("192.168.7.7", NOW));
    for last in 0..200 {
        door.cover(IpAddr::from([10, 0, 0, last]), NOW);
    }
    assert!(taken("10.0.0.199", NOW) && taken("10.9.9.9", NOW));
    assert!(!taken("10.0.0.1", NOW));
    door.tls().unwrap();
}

#[test]
fn a_code_is_as_large_as_its_standard_says() {
    // 29 x 29 modules (version 3), and a border.
    let picture = svg("http://192.168.1.20:8080/trust").unwrap();
    assert!(picture.contains("viewBox=\"0 0 37 37\""), "{picture}");
    let lines = terminal("http://192.168.1.20:8080/trust").unwrap();
    assert_eq!(lines.lines().count(), 17);
    assert!(lines.lines().all(|line| line.chars().count() == 33));
    assert!(matches!(svg(&"x".repeat(5_000)), Err(TrustError::TooLong)));
}
