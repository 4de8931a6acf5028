//! `simulate`: the demonstration plant, and recordings played back as machines.
//! Never a part of a running box.

use super::{Output, block_on};
use crate::simulate::{
    Plant, REPLAY_UNIT, Replay, ReplayOptions, SimulateError, Speed, register_map, serve,
};
use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// Address to serve Modbus TCP at.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5020")]
    listen: SocketAddr,
    /// CSV file to play back as one more machine.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Its column with the values.
    #[arg(long, value_name = "NAME", default_value = "value", requires = "csv")]
    column: String,
    /// Samples per second, or 300x for three hundred times the recording's own time.
    #[arg(long, value_name = "N", default_value = "1", requires = "csv")]
    speed: Speed,
    /// Rows to play, counted from 0, for example 4000..5000.
    #[arg(long, value_name = "FROM..TO", value_parser = rows, requires = "csv")]
    rows: Option<Range<usize>>,
    /// Begin again at the end; otherwise the last sample stays.
    #[arg(long, requires = "csv")]
    repeat: bool,
    /// Unit on which the recording is served.
    #[arg(long, value_name = "N", default_value_t = REPLAY_UNIT, requires = "csv")]
    unit: u8,
    /// Another seed gives other noise.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only print which registers are served.
    #[arg(long)]
    map: bool,
}

fn rows(text: &str) -> Result<Range<usize>, String> {
    let range = text.split_once("..").and_then(|(from, to)| {
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (from < to).then_some(from..to)
    });
    range.ok_or_else(|| "write for example 4000..5000".to_owned())
}

impl Simulate {
    pub(super) fn run(self, output: Output) -> anyhow::Result<()> {
        let plant = self.plant()?;
        let map = register_map(&plant);
        if self.map {
            return output.answer(&json!({"map": map}), &map);
        }
        block_on(async {
            let listener = TcpListener::bind(self.listen).await.with_context(|| {
                format!("listening on {}; choose another --listen", self.listen)
            })?;
            let address = listener
                .local_addr()
                .context("asking for the own address")?;
            output.answer(
                &json!({"listening": address.to_string()}),
                &format!("The demonstration plant listens on {address} (Modbus TCP).\n{map}"),
            )?;
            // It ends with its process: nothing of it has to be kept.
            let (_stop, stopped) = watch::channel(false);
            Ok(serve(listener, plant, stopped).await?)
        })
    }

    fn plant(&self) -> Result<Plant, SimulateError> {
        let plant = Plant::demo(self.seed);
        let Some(csv) = &self.csv else {
            return Ok(plant);
        };
        let options = ReplayOptions {
            column: self.column.clone(),
            speed: self.speed,
            rows: self.rows.clone(),
            repeats: self.repeat,
        };
        Ok(plant.with_replay(self.unit, Replay::load(csv, &options)?))
    }
}
