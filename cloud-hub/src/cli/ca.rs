//! `ca …`: the authorities that boxes trust and that sign their certificates.
//! Never takes a box its way to the hub without having named it.

use super::Output;
use crate::ca::{self, Authority};
use crate::config::Config;
use crate::server;
use crate::store::{Holder, Store, hex};
use anyhow::bail;
use clap::Subcommand;
use protocol::time::Timestamp;
use protocol::view::rfc3339;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Ca {
    /// The authorities, how long they are valid, and how many gateways hold certificates of each.
    Show,
    /// Make a new authority, for instance because the key of this one may have been seen. The hub
    /// must not run. Boxes change over by themselves when they next connect; claims that were not
    /// used yet are void.
    Rotate,
    /// Trust the authority before the present one no longer. The hub must not run. Refused while
    /// gateways depend on it.
    Retire {
        /// Shut out the gateways that still depend on it: each needs a new claim.
        #[arg(long)]
        force: bool,
    },
}

/// Carries it out.
pub(super) async fn ca(command: Ca, config: &Config, output: Output) -> anyhow::Result<()> {
    match command {
        Ca::Show => show(config, output).await,
        Ca::Rotate => {
            let _alone = server::alone(config)?;
            Authority::open(&config.data_dir)?;
            ca::rotate(&config.data_dir)?;
            let authority = Authority::open(&config.data_dir)?;
            let name = ca::common_name(authority.certificate());
            output.answer(
                &json!({"signs": name}),
                &format!(
                    "\"{name}\" signs from the hub's next start on. The one before it is trusted \
                     until `cloud-hub ca retire`; `cloud-hub ca show` says who still depends on it. \
                     Make claims that were not used yet anew."
                ),
            )
        }
        Ca::Retire { force } => retire(force, config, output).await,
    }
}

async fn retire(force: bool, config: &Config, output: Output) -> anyhow::Result<()> {
    let _alone = server::alone(config)?;
    let store = Store::open(&config.data_dir)?;
    let authority = Authority::open(&config.data_dir)?;
    let Some(previous) = authority.previous() else {
        return Err(ca::retire(&config.data_dir)
            .err()
            .map_or_else(|| anyhow::anyhow!("there is nothing to retire"), Into::into));
    };
    let name = ca::common_name(previous);
    let holders = store.holders().await?;
    let dependent: Vec<&Holder> = of(&holders, ca::fingerprint(previous), true).collect();
    if !dependent.is_empty() && !force {
        let names = dependent.iter().map(|holder| holder.name.as_str());
        bail!(
            "these gateways still depend on \"{name}\": {}. Each changes over by itself when it \
             connects to the running hub; with --force it is shut out until it is enrolled with a \
             new claim",
            names.collect::<Vec<_>>().join(", ")
        );
    }
    ca::retire(&config.data_dir)?;
    let shut_out: Vec<&str> = dependent
        .iter()
        .map(|holder| holder.name.as_str())
        .collect();
    output.answer(
        &json!({"retired": name, "shut_out": shut_out}),
        &format!("\"{name}\" is trusted no longer, from the hub's next start on"),
    )
}

async fn show(config: &Config, output: Output) -> anyhow::Result<()> {
    let store = Store::open(&config.data_dir)?;
    let authority = Authority::open(&config.data_dir)?;
    let holders = store.holders().await?;
    for (at, certificate) in authority.trusted().enumerate() {
        let signs = at == 0;
        let fingerprint = ca::fingerprint(certificate);
        // What was signed before it was noted, the oldest signed.
        let is_oldest = !signs || authority.previous().is_none();
        let names: Vec<&str> = of(&holders, fingerprint, is_oldest)
            .map(|holder| holder.name.as_str())
            .collect();
        let name = ca::common_name(certificate);
        let until_s = ca::last_second(certificate).unwrap_or(0);
        let until_ms = i64::try_from(until_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let until = rfc3339(Timestamp::from_millis(until_ms));
        let answer = json!({
            "name": name,
            "fingerprint": hex(&fingerprint),
            "signs": signs,
            "valid_until": until,
            "gateways": names.len(),
            "names": names,
        });
        let words = format!(
            "{name}  {}  valid until {until}  {} gateways{}",
            if signs { "signs" } else { "is trusted" },
            names.len(),
            if signs || names.is_empty() {
                String::new()
            } else {
                format!(": {}", names.join(", "))
            }
        );
        output.answer(&answer, &words)?;
    }
    Ok(())
}

/// Who holds a certificate of this authority.
fn of(holders: &[Holder], fingerprint: [u8; 32], is_oldest: bool) -> impl Iterator<Item = &Holder> {
    holders.iter().filter(move |holder| match holder.authority {
        Some(authority) => authority == fingerprint,
        None => is_oldest,
    })
}
