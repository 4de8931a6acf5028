//! Faults by order while the simulated plant runs: lines of text over TCP. Each line is an order as
//! `faults` reads it, or `list`; the answer is one line, of a list several and an empty one. Never
//! listens unless it is asked to.

use super::conversation::{Shared, locked};
use super::faults::Order;
use std::io;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Longest line; a longer one ends the connection.
const LINE_BYTES_MAX: u64 = 1_000;

/// Takes orders from any number of clients.
pub(super) async fn serve(listener: TcpListener, station: Shared) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let station = Shared::clone(&station);
        tokio::spawn(async move {
            if let Err(error) = obey(client, &station).await {
                tracing::debug!(%error, "who gave orders is gone");
            }
        });
    }
}

async fn obey(client: TcpStream, station: &Shared) -> io::Result<()> {
    let (reader, mut writer) = client.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        (&mut reader)
            .take(LINE_BYTES_MAX)
            .read_line(&mut line)
            .await?;
        if !line.ends_with('\n') {
            return Ok(());
        }
        writer
            .write_all(answer(line.trim(), station).as_bytes())
            .await?;
    }
}

fn answer(line: &str, station: &Shared) -> String {
    if line == "list" {
        let orders = locked(station).orders();
        let end = if orders.is_empty() { "\n" } else { "\n\n" };
        return orders + end;
    }
    match line.parse::<Order>() {
        Ok(order) => {
            locked(station).order(order);
            "ok\n".to_owned()
        }
        Err(error) => format!("error: {error}\n"),
    }
}
