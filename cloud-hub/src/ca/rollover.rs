//! From one authority to the next: the new one signs at once, and who knows only the one before it
//! believes the hub by a cross-signed certificate until that one is retired. Never leaves the folder
//! in a state that does not open: `ca.pem` is the point at which a step counts.

use super::{
    CaError, Files, authority_params, issuer, making, names, read_certificates, read_key, write,
};
use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use std::fs;
use std::path::Path;

/// Makes the next authority. Counts from the hub's next start on.
pub fn rotate(folder: &Path) -> Result<(), CaError> {
    let files = Files::new(folder);
    finish(&files)?;
    let certificates = read_certificates(&files)?;
    let [before] = certificates.as_slice() else {
        return Err(CaError::TwoAlready);
    };
    let old_key = read_key(&files.key)?;
    let old_key_pem = old_key.serialize_pem();
    let old = issuer(before, old_key)?;
    let key = KeyPair::generate().map_err(making)?;
    let params = authority_params()?;
    let cross = params.signed_by(&key, &old).map_err(making)?;
    let certificate = params.self_signed(&key).map_err(making)?;
    write(&files.previous_key, old_key_pem.as_bytes(), 0o600)?;
    write(&files.next_key, key.serialize_pem().as_bytes(), 0o600)?;
    let text = certificate.pem() + &pem(before) + &cross.pem();
    write(&files.certificates, text.as_bytes(), 0o644)?;
    finish(&files)
}

/// The authority before the present one is trusted no longer, from the hub's next start on.
pub fn retire(folder: &Path) -> Result<(), CaError> {
    let files = Files::new(folder);
    finish(&files)?;
    let certificates = read_certificates(&files)?;
    let [present, _, ..] = certificates.as_slice() else {
        return Err(CaError::OnlyOne);
    };
    write(&files.certificates, pem(present).as_bytes(), 0o644)?;
    remove(&files.previous_key)
}

/// Completes a roll-over that was cut off after it counted, or forgets one that was not.
pub(super) fn finish(files: &Files) -> Result<(), CaError> {
    if !files.next_key.exists() {
        return Ok(());
    }
    let next = read_key(&files.next_key)?;
    let certificates = read_certificates(files)?;
    let signs = certificates
        .first()
        .and_then(|present| names::public_key(present));
    if signs.as_deref() != Some(next.der_bytes()) {
        return remove(&files.next_key);
    }
    fs::rename(&files.next_key, &files.key).map_err(|source| CaError::File {
        action: "writing",
        path: files.key.display().to_string(),
        source,
    })
}

fn remove(path: &Path) -> Result<(), CaError> {
    fs::remove_file(path).map_err(|source| CaError::File {
        action: "removing",
        path: path.display().to_string(),
        source,
    })
}

/// A certificate as PEM (RFC 7468).
fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = data_encoding::BASE64.encode(certificate);
    let mut lines = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push('\n');
    }
    lines.push_str("-----END CERTIFICATE-----\n");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Authority;

    #[test]
    fn a_roll_over_keeps_the_secret_and_trusts_both_until_the_old_one_is_retired() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path()).unwrap();
        assert!(matches!(retire(folder.path()), Err(CaError::OnlyOne)));
        rotate(folder.path()).unwrap();
        assert!(matches!(rotate(folder.path()), Err(CaError::TwoAlready)));
        let second = Authority::open(folder.path()).unwrap();
        assert_eq!(second.secret(b"ids"), first.secret(b"ids"));
        assert_eq!(second.previous(), Some(first.certificate()));
        assert_ne!(second.certificate(), first.certificate());
        let (chain, _) = second.server_certificate().unwrap();
        assert_eq!(
            chain.len(),
            3,
            "leaf, new authority, the same signed by the old one"
        );
        let old = super::super::fingerprint(first.certificate());
        let (signer, signature) = second.sign_for(Some(old), b"answer").unwrap();
        assert_eq!(signer, first.certificate());
        assert!(crate::ca::has_signed(signer, b"answer", &signature));
        retire(folder.path()).unwrap();
        let last = Authority::open(folder.path()).unwrap();
        assert_eq!(
            (last.previous(), last.certificate()),
            (None, second.certificate())
        );
        assert_eq!(last.secret(b"ids"), first.secret(b"ids"));
    }

    #[test]
    fn a_roll_over_that_was_cut_off_is_completed_or_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path()).unwrap();
        let files = Files::new(folder.path());
        // Cut off before it counted.
        let other = KeyPair::generate().unwrap();
        write(&files.next_key, other.serialize_pem().as_bytes(), 0o600).unwrap();
        let again = Authority::open(folder.path()).unwrap();
        assert_eq!(again.certificate(), first.certificate());
        assert!(!files.next_key.exists());
        // Cut off after it counted: the key is still beside its place.
        rotate(folder.path()).unwrap();
        let second = Authority::open(folder.path()).unwrap();
        fs::rename(&files.key, &files.next_key).unwrap();
        fs::copy(&files.previous_key, &files.key).unwrap();
        let again = Authority::open(folder.path()).unwrap();
        assert_eq!(again.certificate(), second.certificate());
        assert!(again.sign_for(Some([0; 32]), b"x").is_ok());
        assert!(!files.next_key.exists());
    }
}
