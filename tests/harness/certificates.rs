//! Certificates for one test: an authority, a server on the loopback and a client, as PEM files.
//! Never used for more than a test: keys stay in its scratch folder.

use crate::Scratch;
use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::path::PathBuf;

/// An authority with what it has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The authority itself.
    pub authority: PathBuf,
    /// Certificate for 127.0.0.1 and localhost, and its key.
    pub server: (PathBuf, PathBuf),
    /// Certificate of a client, and its key.
    pub client: (PathBuf, PathBuf),
}

impl Certificates {
    /// Makes them; `name` tells several authorities of one test apart.
    pub fn make(scratch: &Scratch, name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority {name}"));
        let authority = params.self_signed(&key)?.pem();
        let authority = scratch.write(&format!("{name}/authority.pem"), &authority)?;
        let issuer = Issuer::new(params, key);
        let signed = |role: &str, usage| -> Result<(PathBuf, PathBuf)> {
            let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(names)?;
            params.extended_key_usages = vec![usage];
            params.distinguished_name.push(DnType::CommonName, role);
            let certificate = params
                .signed_by(&key, &issuer)
                .with_context(|| format!("signing the certificate of the {role}"))?;
            Ok((
                scratch.write(&format!("{name}/{role}.pem"), &certificate.pem())?,
                scratch.write(&format!("{name}/{role}.key"), &key.serialize_pem())?,
            ))
        };
        Ok(Self {
            server: signed("server", ExtendedKeyUsagePurpose::ServerAuth)?,
            client: signed("client", ExtendedKeyUsagePurpose::ClientAuth)?,
            authority,
        })
    }
}
