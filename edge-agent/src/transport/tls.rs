//! TLS over a TCP connection (Modbus/TCP Security): 1.2 and 1.3, the other side always checked. Never
//! goes on with a server that the given authority did not sign.

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How TLS is spoken with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// `HOST:PORT`.
    pub endpoint: String,
    /// PEM file with the authority (or the server's own certificate, when it is one).
    pub ca_file: PathBuf,
    /// PEM files with this side's certificate and key, where the server wants one.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Name in the server's certificate; the host of `endpoint` when left out.
    pub server_name: Option<String>,
}

impl TlsSettings {
    fn name(&self) -> &str {
        let host = || self.endpoint.rsplit_once(':').map_or("", |(host, _)| host);
        let name = self.server_name.as_deref().unwrap_or_else(host);
        name.trim_start_matches('[').trim_end_matches(']')
    }
}

/// Speaks TLS over `stream`. The files are read each time: a renewed certificate counts from the
/// next connection on.
pub async fn wrap(settings: &TlsSettings, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let config = client_config(settings)?;
    let name = ServerName::try_from(settings.name().to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

fn client_config(settings: &TlsSettings) -> io::Result<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&settings.ca_file)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(&settings.ca_file, &error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    match &settings.own {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate_file, key_file)) => {
            let key = PrivateKeyDer::from_pem_file(key_file)
                .map_err(|error| unusable(key_file, &error))?;
            builder
                .with_client_auth_cert(certificates(certificate_file)?, key)
                .map_err(|error| unusable(certificate_file, &error))
        }
    }
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    let all = read().map_err(|error| unusable(file, &error))?;
    if all.is_empty() {
        return Err(unusable(file, &"it holds no certificate in PEM form"));
    }
    Ok(all)
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{} cannot be used: {error}", file.display()))
}
