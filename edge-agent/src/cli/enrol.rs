//! `enrol`: joins the box to its hub with a claim, whether the agent runs or not.
//! Never shows or sends the key.

use super::client::{Client, required};
use super::{Output, block_on, load};
use crate::agent::{identity_folder, open_storage};
use crate::config::{Config, HubConfig};
use crate::identity::{self, Asked, Enrolled, Identity, IdentityError};
use crate::storage::{self, Committed, Storage, StorageError};
use anyhow::{Context as _, bail};
use clap::Args;
use protocol::claim::Claim;
use protocol::id::GatewayId;
use serde_json::json;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use tokio::sync::mpsc;

#[derive(Debug, Args)]
pub(super) struct Enrol {
    /// The line that `cloud-hub claim new` printed; blanks and line ends do not matter.
    #[arg(value_name = "CLAIM", required = true)]
    claim: Vec<String>,
    /// Replace the certificate of a box that is enrolled already.
    #[arg(long)]
    again: bool,
}

impl Enrol {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let config = load(config)?;
        let claim = Claim::parse(&self.claim.concat()).map_err(IdentityError::Claim)?;
        let hub = config.hub.clone().context(
            "the configuration names no hub; add [hub] address = \"hub.example.com:7443\"",
        )?;
        let folder = identity_folder(&config);
        // A damaged identity is no reason to refuse: enrolling is how it is mended.
        if !self.again && matches!(Identity::load(&folder), Ok(Some(_))) {
            return Err(IdentityError::AlreadyEnrolled.into());
        }
        refuse_other_owner(&config.gateway.data_dir)?;
        let (gateway, enrolled) = block_on(async {
            let ours = ThisBox::find(&config)?;
            let gateway = ours.gateway();
            if claim.replaces {
                return replace(ours, &config, &hub, &claim).await;
            }
            let asked = identity::ask(&folder, &hub, &claim, gateway).await;
            let enrolled = asked.and_then(Asked::keep);
            ours.done(enrolled.as_ref().ok()).await?;
            Ok((gateway, enrolled?))
        })?;
        tell(&hub, gateway, &enrolled, output)
    }
}

/// The box takes the place of another one: it gets that one's id, which it can only take while it
/// holds nothing under its own.
async fn replace(
    ours: ThisBox,
    config: &Config,
    hub: &HubConfig,
    claim: &Claim,
) -> anyhow::Result<(GatewayId, Enrolled)> {
    let data = config.gateway.data_dir.display();
    let ThisBox::Stopped(storage, kept) = ours else {
        bail!(
            "an agent runs on this box's data; a replacement takes the old box's identity before \
             it runs: stop the agent, empty {data} if it has collected anything, and enrol again"
        );
    };
    let state = storage.sync_state().await?;
    let own = storage.gateway_id();
    storage.close().await?;
    drop(kept);
    if state.events.iter().any(|own| own.last > 0)
        || state.streams.iter().any(|stream| stream.last_seq > 0)
    {
        bail!(
            "this box holds readings or records of its own under another identity, which a \
             replacement must not: move {data} away (or enrol it as a box of its own with a claim \
             from `cloud-hub claim new --site … --gateway … --code …`), then enrol again with this \
             claim, which is still good"
        );
    }
    let asked = identity::ask(&identity_folder(config), hub, claim, own).await?;
    // First the id: a crash after it is mended by the same claim.
    storage::adopt(&config.gateway.data_dir, asked.gateway)?;
    let gateway = asked.gateway;
    let enrolled = asked.keep()?;
    let (committed, kept) = mpsc::channel(1);
    let (storage, _) = open_storage(config, committed)?;
    ThisBox::Stopped(storage, kept)
        .done(Some(&enrolled))
        .await?;
    Ok((gateway, enrolled))
}

fn tell(
    hub: &HubConfig,
    gateway: GatewayId,
    enrolled: &Enrolled,
    output: Output,
) -> anyhow::Result<()> {
    let reference = &enrolled.reference;
    output.answer(
        &json!({
            "gateway": {"id": gateway, "name": reference.gateway_name, "code": reference.gateway_code},
            "site": {"id": reference.site, "name": reference.site_name},
            "hub": hub.to_string(),
            "fingerprint": enrolled.fingerprint,
        }),
        &format!(
            "This box is enrolled with the hub at {hub}.\n\
             Site         {}\nBox          {} ({})\nId           {gateway}\nFingerprint  {}\n\
             A running agent connects within seconds.",
            reference.site_name, reference.gateway_name, reference.gateway_code, enrolled.fingerprint,
        ),
    )
}

/// How the box's own id was found.
enum ThisBox {
    /// No agent runs: the store is ours for the moment. The receiver keeps it at work.
    Stopped(Storage, mpsc::Receiver<Committed>),
    /// The agent runs and told.
    Running(GatewayId),
}

impl ThisBox {
    /// The store is asked first: what answers on the page's address may be another box.
    fn find(config: &Config) -> anyhow::Result<Self> {
        let (committed, kept) = mpsc::channel(1);
        match open_storage(config, committed) {
            Ok((storage, _)) => Ok(Self::Stopped(storage, kept)),
            Err(StorageError::InUse { .. }) => {
                let status = Client::new(config)
                    .get("/status")
                    .context("an agent runs on this box's data, and is asked for the box's id")?;
                let id = required(&status, "/gateway/id")?;
                let id = id.parse().context("reading the box's id")?;
                Ok(Self::Running(id))
            }
            Err(other) => Err(anyhow::Error::new(other).context("opening the store of this box")),
        }
    }

    fn gateway(&self) -> GatewayId {
        match self {
            Self::Stopped(storage, _) => storage.gateway_id(),
            Self::Running(gateway) => *gateway,
        }
    }

    /// Keeps the names that the hub gave and lets go of the store. A running agent hears the names
    /// when it connects.
    async fn done(self, enrolled: Option<&Enrolled>) -> Result<(), StorageError> {
        let Self::Stopped(storage, _kept) = self else {
            return Ok(());
        };
        if let Some(enrolled) = enrolled {
            storage.set_site(enrolled.reference.clone()).await?;
        }
        storage.close().await
    }
}

/// What the administrator (user 0) writes into the folder of the agent's own user, the agent could
/// not read afterwards.
fn refuse_other_owner(folder: &Path) -> anyhow::Result<()> {
    let owner = |path: &Path| Some(std::fs::metadata(path).ok()?.uid());
    let (Some(folder_owner), Some(own)) = (owner(folder), owner(Path::new("/proc/self"))) else {
        return Ok(());
    };
    if own == 0 && folder_owner != 0 {
        bail!(
            "{} belongs to user {folder_owner}; enrol as that user: sudo -u '#{folder_owner}' \
             edge-agent enrol …",
            folder.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::idle_desk;
    use super::*;
    use crate::agent::Agent;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_box_is_the_same_whether_the_agent_runs_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[gateway]\ndata_dir = \"data\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
        let mut config = Config::parse(&folder.path().join("edge.toml"), text).unwrap();
        let stopped = ThisBox::find(&config).unwrap();
        let gateway = stopped.gateway();
        assert!(matches!(stopped, ThisBox::Stopped(..)));
        stopped.done(None).await.unwrap();
        let agent = Agent::start(config.clone(), idle_desk(&config))
            .await
            .unwrap();
        assert_eq!(agent.gateway, gateway);
        config.web.listen = agent.web;
        let running = ThisBox::find(&config).unwrap();
        assert!(matches!(running, ThisBox::Running(id) if id == gateway));
        running.done(None).await.unwrap();
        agent.stop().await.unwrap();
    }

    #[test]
    fn what_is_missing_is_told_before_anything_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edge.toml");
        std::fs::write(&file, "[gateway]\ndata_dir = \"data\"\n").unwrap();
        let claim = Claim {
            token: [7; 16],
            authority: [9; 32],
            replaces: false,
        };
        let enrol = |claim: String| {
            let claim = vec![claim];
            let done = Enrol {
                claim,
                again: false,
            };
            let error = done.run(&file, Output { json: false }).unwrap_err();
            format!("{error:#}")
        };
        let error = enrol(claim.to_string());
        assert!(error.contains("add [hub] address ="), "{error}");
        let error = enrol("cfe1-hello".to_owned());
        assert!(error.starts_with("reading the claim: "), "{error}");
        assert!(!folder.path().join("data").exists());
    }
}
