//! The page by HTTPS with the authority that the box makes, judged by curl, OpenSSL and Python; what a
//! phone gets to trust it, and carrying it to another box. By real processes.

use crate::plant::{Plant, text};
use anyhow::{Context as _, Result, ensure};
use harness::{PeerOptions, Scratch, in_scratch, places, ports};
use std::process::Command;

#[test]
fn the_page_by_https_is_trusted_by_who_took_the_sites_authority() -> Result<()> {
    in_scratch("https", |scratch| {
        let mut plant = Plant::start(scratch, PeerOptions::default())?;
        let (http, https) = (plant.here.base().to_owned(), ports::free()?);
        plant.agent.stop()?;
        let file = plant.agent.config();
        let config = std::fs::read_to_string(&file)?;
        let with = format!("[web]\nhttps_listen = \"{https}\"\n");
        std::fs::write(&file, config.replacen("[web]\n", &with, 1))?;
        plant.agent.start()?;
        let ca = authority(scratch, &http, "ca")?;
        let shown = plant.agent.cli(&["trust", "show"])?;
        let printed = run(Command::new("openssl").args([
            "x509",
            "-in",
            &ca,
            "-noout",
            "-fingerprint",
            "-sha256",
        ]))?;
        ensure!(
            printed.contains(text(&shown, "/fingerprint")?),
            "{printed} {shown}"
        );
        clients(&ca, https)?;
        let help = run(Command::new("curl").args(["-s", &format!("{http}/trust")]))?;
        ensure!(
            help.contains(text(&shown, "/fingerprint")?)
                && help.contains("Certificate Trust Settings"),
            "{help}"
        );
        let profile = format!("{http}/ca.mobileconfig");
        scratch.write("x", "")?;
        let plist = scratch.file("p.plist").display().to_string();
        run(Command::new("curl").args(["-s", &profile, "-o", &plist]))?;
        let read = "import plistlib,sys; p=plistlib.load(open(sys.argv[1],'rb')); \
                    c=p['PayloadContent'][0]; print(c['PayloadType'], len(c['PayloadContent']))";
        let parsed = run(Command::new(places::python()?).args(["-c", read, &plist]))?;
        ensure!(parsed.starts_with("com.apple.security.root"), "{parsed}");
        // The authority stays over a restart; another box takes it over.
        plant.agent.stop()?;
        plant.agent.start()?;
        clients(&ca, https)?;
        let carried = scratch.file("carried.pem").display().to_string();
        plant.agent.cli(&["trust", "export", &carried])?;
        let taken = plant.agent.try_cli(&["trust", "import", &carried])?;
        ensure!(
            taken.code == Some(1) && taken.stderr.contains("--again"),
            "{taken:?}"
        );
        plant
            .agent
            .cli(&["trust", "import", &carried, "--again"])
            .map(drop)
    })
}

/// The authority's certificate as clients here want it.
fn authority(scratch: &Scratch, http: &str, name: &str) -> Result<String> {
    let (der, pem) = (
        scratch.file(&format!("{name}.crt")),
        scratch.file(&format!("{name}.pem")),
    );
    let (der, pem) = (der.display().to_string(), pem.display().to_string());
    run(Command::new("curl").args(["-sf", &format!("{http}/ca.crt"), "-o", &der]))?;
    run(Command::new("openssl").args(["x509", "-inform", "der", "-in", &der, "-out", &pem]))?;
    Ok(pem)
}

/// Three clients that we did not write trust the page by this authority, and not without it.
fn clients(ca: &str, https: std::net::SocketAddr) -> Result<()> {
    let url = format!("https://{https}/api/v1/session");
    let body = run(Command::new("curl").args(["-sf", "--cacert", ca, &url]))?;
    ensure!(body.contains("\"secure\":true"), "{body}");
    ensure!(
        run(Command::new("curl").args(["-s", &url])).is_err(),
        "curl trusts anybody"
    );
    let address = https.to_string();
    let ip = https.ip().to_string();
    let verified = run(Command::new("openssl").args([
        "s_client",
        "-connect",
        &address,
        "-CAfile",
        ca,
        "-verify_return_error",
        "-verify_ip",
        &ip,
        "-brief",
    ]))?;
    ensure!(verified.contains("Verification: OK"), "{verified}");
    let read = "import ssl,sys,urllib.request; c=ssl.create_default_context(cafile=sys.argv[1]); \
                print(urllib.request.urlopen(sys.argv[2], context=c).status)";
    let status = run(Command::new(places::python()?).args(["-c", read, ca, &url]))?;
    ensure!(status.trim() == "200", "{status}");
    Ok(())
}

/// What it printed, both streams; an error when it failed.
fn run(command: &mut Command) -> Result<String> {
    let done = command
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("running {command:?}"))?;
    let words = [done.stdout, done.stderr].concat();
    let words = String::from_utf8_lossy(&words).into_owned();
    ensure!(done.status.success(), "{command:?}: {words}");
    Ok(words)
}
