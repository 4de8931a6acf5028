//! One POST over a connection of its own: `protocol::post` has the bytes. Never follows a redirect.

use crate::transport::{Stream, TlsSettings, wrap_tls};
use protocol::post::{self, ANSWER_BYTES_MAX, Answer, Target};
use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends a request and gives the answer, over TLS where there are settings for it.
///
/// # Errors
/// When the receiver cannot be reached, or what it says is no answer of HTTP.
pub(super) async fn exchange(
    target: &Target,
    tls: Option<&TlsSettings>,
    request: &[u8],
) -> io::Result<Answer> {
    let stream = TcpStream::connect(&target.endpoint).await?;
    stream.set_nodelay(true)?;
    let mut stream: Box<dyn Stream> = match tls {
        Some(settings) => Box::new(wrap_tls(settings, stream).await?),
        None => Box::new(stream),
    };
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut came = Vec::new();
    let mut taken = stream.take(ANSWER_BYTES_MAX);
    while !post::is_whole(&came) {
        match taken.read_buf(&mut came).await {
            Ok(0) => break,
            Ok(_) => {}
            // Some close the connection badly after all was said.
            Err(_) if post::answer(&came).is_some() => break,
            Err(error) => return Err(error),
        }
    }
    post::answer(&came).ok_or_else(|| io::Error::other("what came back is no answer of HTTP"))
}
