//! With the uplink there the hub tells people outside: aiosmtpd as their mail server, and a receiver in
//! the place of Slack that refuses at first. Who is for another site hears nothing.

use crate::plant::{LOW, Plant};
use anyhow::{Context as _, Result, ensure};
use harness::{Certificates, PeerOptions, Receiver, Scratch, in_scratch, ports, wait_for};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(90);
const CALM_ROW: usize = 19_380;

/// O-5.6
#[test]
fn the_hub_tells_people_outside() -> Result<()> {
    in_scratch("notify-outside", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let certificates = Certificates::make(scratch, "mail")?;
    let mail_port = ports::free()?.port().to_string();
    let (certificate, key) = &certificates.server;
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let arguments = [
        "--port",
        &mail_port,
        "--certificate",
        &certificate,
        "--key",
        &key,
    ];
    let mail = Receiver::start(scratch, "mail_server", &arguments)?;
    let mode = scratch.write("hook.mode", "fail")?;
    let hook_port = ports::free()?.port().to_string();
    let mode_file = mode.display().to_string();
    let hook = Receiver::start(
        scratch,
        "hook_server",
        &["--port", &hook_port, "--mode", &mode_file],
    )?;
    let authority = certificates.authority.display().to_string();
    let mut plant = plant(scratch, &receivers(&mail_port, &authority), &hook_port)?;
    plant.peer.go_on()?;
    let heard = wait_for("the mail", DEADLINE, || {
        Ok(mail.heard()?.into_iter().next())
    })?;
    let mail_at = heard["time_us"].as_i64().context("no time of the mail")?;
    ensure!(
        heard["tls"] == true && heard["to"][0] == "night@example.org",
        "{heard}"
    );
    let subject = heard["subject"].as_str().unwrap_or_default();
    ensure!(
        subject.starts_with("High: [North works] M-1 Machine M-1 runs cold"),
        "{subject}"
    );
    let changed = plant
        .peer
        .served()?
        .into_iter()
        .find(|answer| answer.value < LOW);
    let changed = changed
        .context("pymodbus served no low temperature")?
        .time_us;
    wait_for("the receiver that refuses", DEADLINE, || {
        Ok((!hook.heard()?.is_empty()).then_some(()))
    })?;
    std::fs::write(&mode, "ok")?;
    wait_for("the receiver that takes it in the end", DEADLINE, || {
        Ok(hook.heard()?.into_iter().find(|line| line["mode"] == "ok"))
    })?;
    both_told(&plant, &mail)?;
    report(mail_at - changed);
    plant.agent.stop()
}

/// A box, and a hub that tells these receivers.
fn plant(scratch: &Scratch, receivers: &str, hook_port: &str) -> Result<Plant> {
    let options = PeerOptions {
        samples_per_s: 40.0,
        first_row: CALM_ROW,
        hold_row: Some(CALM_ROW),
        ..PeerOptions::default()
    };
    let mut plant = Plant::start(scratch, options)?;
    plant.hub.stop()?;
    scratch.write(
        "hub/url",
        &format!("http://127.0.0.1:{hook_port}/services/T0/B0/x\n"),
    )?;
    scratch.write("hub/notify.toml", receivers)?;
    let file = scratch.file("hub/hub.toml");
    let text = std::fs::read_to_string(&file).context("reading the hub's configuration")?;
    std::fs::write(&file, text + "\n[notify]\nfile = \"notify.toml\"\n")?;
    plant.hub.start_again()?;
    plant.wait_for_link("connected")?;
    Ok(plant)
}

/// The log says that both were told, one not at once; who is for another site heard nothing.
fn both_told(plant: &Plant, mail: &Receiver) -> Result<()> {
    let log = wait_for("the log to say that both were told", DEADLINE, || {
        let log = plant.there.get("/notifications")?;
        let rows = log["data"].as_array().cloned().unwrap_or_default();
        let delivered = rows
            .iter()
            .filter(|row| row["outcome"] == "delivered")
            .count();
        Ok((delivered == 2 && rows.len() == 2).then_some(rows))
    })?;
    ensure!(
        log.iter()
            .any(|row| row["receiver"] == "channel" && row["attempts"].as_u64() >= Some(2)),
        "{log:?}"
    );
    ensure!(
        mail.heard()?.len() == 1,
        "the other site was told too: {:?}",
        mail.heard()?
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the promise is this line")]
fn report(took_us: i64) {
    println!(
        "measured: register to a mail of the hub {} ms",
        took_us / 1_000
    );
}

fn receivers(mail_port: &str, authority: &str) -> String {
    format!(
        r#"ca_file = "{authority}"

[mail]
address = "127.0.0.1:{mail_port}"
from = "hub@example.org"

[[receiver]]
name = "night shift"
kind = "mail"
to = ["night@example.org"]
sites = ["North works"]
severity = "high"

[[receiver]]
name = "the others"
kind = "mail"
to = ["others@example.org"]
sites = ["South works"]

[[receiver]]
name = "channel"
kind = "slack"
url_file = "url"
"#
    )
}
