//! The commands that look at or change the hub's store beside a running hub: claims, people,
//! gateways. Each opens the store, does one thing and ends. Never starts a listener.

use super::{Output, reference, remote};
use crate::auth::{self, NewClaim, Role};
use crate::ca::Authority;
use crate::clock;
use crate::config::Config;
use crate::store::{GatewayRow, LIMIT_MAX, Page, Store};
use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use protocol::view::rfc3339;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(super) enum Claim {
    /// Make a token with which one gateway enrols once, within 24 hours.
    New {
        /// The site of the gateway; made when it is new.
        #[arg(long, value_name = "NAME", required_unless_present = "replace")]
        site: Option<String>,
        /// The name of the gateway.
        #[arg(long, value_name = "NAME", required_unless_present = "replace")]
        gateway: Option<String>,
        /// Short code that begins the numbers of its work orders, like B2.
        #[arg(long, value_name = "CODE", required_unless_present = "replace")]
        code: Option<String>,
        /// New hardware takes the place of this gateway (name, code or id): it keeps name, code, site
        /// and history. The old box is shut out when the claim is used.
        #[arg(long, value_name = "NAME|ID", conflicts_with_all = ["site", "gateway", "code"])]
        replace: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Let a person sign in. Without a file a password is made and shown once.
    Add {
        /// The name to sign in with.
        name: String,
        /// What the person may do.
        #[arg(long)]
        role: RoleWord,
        /// File whose first line is the password.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give somebody a PIN for the boxes of the sites where they work; one is made and shown once.
    Pin {
        /// Their name, as in the people of the site.
        name: String,
        /// File whose first line is the PIN: 4 to 12 digits.
        #[arg(long, value_name = "FILE", conflicts_with = "remove")]
        pin_file: Option<PathBuf>,
        /// Take it away: they cannot sign in on a box any more.
        #[arg(long)]
        remove: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Gateway {
    /// Show all gateways.
    List,
    /// Shut a gateway out; its readings and records stay.
    Revoke {
        /// Its name, code or id.
        #[arg(value_name = "NAME|ID")]
        gateway: String,
    },
    /// Give a gateway a new configuration document: what the plant is ([[port]], [[device]],
    /// [[rule]]). The box judges it, runs with it on trial, and keeps it or goes back.
    Configure {
        /// Its name, code or id.
        #[arg(value_name = "NAME|ID")]
        gateway: String,
        /// The document, TOML.
        file: PathBuf,
    },
    /// Show a gateway's documents, newest first, and what became of each.
    Configuration {
        /// Its name, code or id.
        #[arg(value_name = "NAME|ID")]
        gateway: String,
    },
    /// Have a gateway do something once, before it expires, or not at all.
    Command {
        /// Its name, code or id.
        #[arg(value_name = "NAME|ID")]
        gateway: String,
        /// `restart`, `renew_certificate`, or `read`.
        kind: String,
        /// For read: DEVICE/SENSOR.
        arguments: Vec<String>,
        /// How long it may wait for the box: 30s, 5m, 2h, 1d.
        #[arg(long, value_name = "TIME", default_value = "5m", value_parser = remote::duration)]
        expires: Duration,
    },
    /// Show a gateway's commands, newest first, and how each ended.
    Commands {
        /// Its name, code or id.
        #[arg(value_name = "NAME|ID")]
        gateway: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleWord {
    /// Everything.
    Admin,
    /// May change records.
    Planner,
    /// May look.
    Viewer,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Admin => Self::Admin,
            RoleWord::Planner => Self::Planner,
            RoleWord::Viewer => Self::Viewer,
        }
    }
}

/// `claim …`
pub(super) async fn claim(command: Claim, config: &Config, output: Output) -> anyhow::Result<()> {
    let Claim::New {
        site,
        gateway,
        code,
        replace,
    } = command;
    let text = if let Some(wanted) = replace {
        replacement_text(&wanted, config).await?
    } else {
        let claim = NewClaim {
            site: site.unwrap_or_default(),
            gateway: gateway.unwrap_or_default(),
            code: code.unwrap_or_default(),
        };
        claim_text(claim, config).await?
    };
    output.answer(&json!({"claim": text}), &text)
}

async fn claim_text(claim: NewClaim, config: &Config) -> anyhow::Result<String> {
    let store = Store::open(&config.data_dir)?;
    let authority = Authority::open(&config.data_dir)?;
    let scope = store.default_tenant();
    let token = auth::new_claim(&store, scope, claim, clock::now()).await?;
    Ok(authority.claim(token, false).to_string())
}

async fn replacement_text(wanted: &str, config: &Config) -> anyhow::Result<String> {
    let store = Store::open(&config.data_dir)?;
    let authority = Authority::open(&config.data_dir)?;
    let gateway = find(&all_gateways(&store).await?, wanted)?.id;
    let scope = store.default_tenant();
    let token = auth::new_replacement(&store, scope, gateway, clock::now()).await?;
    Ok(authority.claim(token, true).to_string())
}

/// `user …`
pub(super) async fn user(command: User, config: &Config, output: Output) -> anyhow::Result<()> {
    let (name, role, password_file) = match command {
        User::Add {
            name,
            role,
            password_file,
        } => (name, role, password_file),
        User::Pin {
            name,
            pin_file,
            remove,
        } => {
            let place = (config, output);
            return reference::pin(&name, pin_file.as_deref(), remove, place).await;
        }
    };
    let role = Role::from(role);
    let store = Store::open(&config.data_dir)?;
    let scope = store.default_tenant();
    if let Some(file) = password_file {
        let password = read_password(&file)?;
        let row = auth::add_user(&store, scope, &name, role, &password).await?;
        let answer = json!({"id": row.id, "name": row.name, "role": row.role.word()});
        let words = format!("{} may sign in now as {}", row.name, row.role.word());
        return output.answer(&answer, &words);
    }
    let password = auth::generate_password()?;
    let row = auth::add_user(&store, scope, &name, role, &password).await?;
    let (name, role) = (row.name, row.role.word());
    let answer = json!({"id": row.id, "name": name, "role": role, "password": password});
    let words =
        format!("{name} may sign in now as {role}; the password, shown this once: {password}");
    output.answer(&answer, &words)
}

/// `gateway …`
pub(super) async fn gateway(
    command: Gateway,
    config: &Config,
    output: Output,
) -> anyhow::Result<()> {
    let store = Store::open(&config.data_dir)?;
    let scope = store.default_tenant();
    let rows = all_gateways(&store).await?;
    match command {
        Gateway::List => {
            for row in &rows {
                let seen = row.last_seen.map(rfc3339);
                let answer = json!({
                    "id": row.id,
                    "name": row.name,
                    "code": row.code,
                    "site": row.site.name,
                    "state": row.link.word(),
                    "last_seen": seen,
                });
                let words = format!(
                    "{}  {}  {}  {}  last seen {}  {}",
                    row.code,
                    row.name,
                    row.site.name,
                    row.link.word(),
                    seen.as_deref().unwrap_or("never"),
                    row.id
                );
                output.answer(&answer, &words)?;
            }
            Ok(())
        }
        Gateway::Revoke { gateway } => {
            let row = find(&rows, &gateway)?;
            store.revoke_gateway(scope, row.id).await?;
            output.answer(
                &json!({"revoked": row.id, "name": row.name}),
                &format!("{} is shut out; what it brought stays", row.name),
            )
        }
        Gateway::Configure { gateway, file } => {
            let row = find(&rows, &gateway)?;
            remote::configure(&store, scope, (row, &file), output).await
        }
        Gateway::Configuration { gateway } => {
            remote::configuration(&store, scope, find(&rows, &gateway)?, output).await
        }
        Gateway::Command {
            gateway,
            kind,
            arguments,
            expires,
        } => {
            let what = (find(&rows, &gateway)?, kind.as_str(), arguments.as_slice());
            remote::command(&store, scope, what, expires, output).await
        }
        Gateway::Commands { gateway } => {
            remote::commands(&store, scope, find(&rows, &gateway)?, output).await
        }
    }
}

async fn all_gateways(store: &Store) -> anyhow::Result<Vec<GatewayRow>> {
    let mut rows = Vec::new();
    let mut page = Page {
        limit: LIMIT_MAX,
        cursor: None,
    };
    loop {
        let listed = store.gateways(store.default_tenant(), page).await?;
        rows.extend(listed.rows);
        if listed.next_cursor.is_none() {
            return Ok(rows);
        }
        page = Page {
            limit: LIMIT_MAX,
            cursor: listed.next_cursor,
        };
    }
}

/// The one gateway with this id, code or name.
fn find<'a>(rows: &'a [GatewayRow], wanted: &str) -> anyhow::Result<&'a GatewayRow> {
    let fits = |row: &&GatewayRow| {
        row.name == wanted || row.code == wanted || row.id.to_string() == wanted
    };
    let mut found = rows.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(row), None) => Ok(row),
        (Some(_), Some(_)) => {
            bail!("several gateways are called \"{wanted}\"; give the id (cloud-hub gateway list)")
        }
        (None, _) => bail!("no gateway is called \"{wanted}\"; cloud-hub gateway list shows all"),
    }
}

/// The first line of a file.
fn read_password(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("reading the password from {}", file.display()))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        bail!("{} holds no password in its first line", file.display());
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::id::GatewayId;

    const QUIET: Output = Output { json: true };

    fn config(folder: &tempfile::TempDir) -> Config {
        Config {
            data_dir: folder.path().to_owned(),
            ..Config::default()
        }
    }

    /// The store as a running hub has it open, with one connected gateway by claim.
    async fn running(config: &Config) -> (Store, GatewayId) {
        let store = Store::open(&config.data_dir).unwrap();
        let claim = NewClaim {
            site: "Plant".to_owned(),
            gateway: "Hall 1".to_owned(),
            code: "B2".to_owned(),
        };
        let text = claim_text(claim, config).await.unwrap();
        let claim = protocol::claim::Claim::parse(&text).unwrap();
        let id = GatewayId(clock::new_id().unwrap());
        auth::redeem(&store, &claim.token, id, b"key", clock::now())
            .await
            .unwrap();
        (store, id)
    }

    #[tokio::test]
    async fn a_claim_made_beside_a_running_hub_is_honoured_by_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, id) = running(&config(&folder)).await;
        let row = store.gateway(store.default_tenant(), id).await.unwrap();
        assert_eq!(
            (row.name.as_str(), row.site.name.as_str()),
            ("Hall 1", "Plant")
        );
    }

    #[tokio::test]
    async fn a_person_added_beside_a_running_hub_may_sign_in() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder);
        let (store, _) = running(&config).await;
        let file = folder.path().join("password");
        std::fs::write(&file, "correct horse battery\nnot this\n").unwrap();
        let add = || User::Add {
            name: "Petra".to_owned(),
            role: RoleWord::Planner,
            password_file: Some(file.clone()),
        };
        user(add(), &config, QUIET).await.unwrap();
        let credentials = ("petra", "correct horse battery");
        let scope = store.default_tenant();
        let signed_in = auth::sign_in(&store, scope, credentials, "10.0.0.7", clock::now()).await;
        assert_eq!(signed_in.unwrap().session.actor.role, Role::Planner);
        let twice = user(add(), &config, QUIET).await.unwrap_err();
        assert!(twice.to_string().contains("taken"), "{twice:#}");
        std::fs::write(&file, "\n").unwrap();
        let empty = user(add(), &config, QUIET).await.unwrap_err();
        assert!(empty.to_string().contains("holds no password"), "{empty:#}");
    }

    #[tokio::test]
    async fn a_gateway_is_revoked_by_name_code_or_id_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder);
        let (store, id) = running(&config).await;
        let rows = all_gateways(&store).await.unwrap();
        for wanted in ["Hall 1", "B2", &id.to_string()] {
            assert_eq!(find(&rows, wanted).unwrap().id, id);
        }
        let unknown = find(&rows, "Hall 2").unwrap_err().to_string();
        assert!(unknown.contains("cloud-hub gateway list"), "{unknown}");
        let twins = [rows[0].clone(), rows[0].clone()];
        let many = find(&twins, "Hall 1").unwrap_err().to_string();
        assert!(many.contains("give the id"), "{many}");
        let revoke = Gateway::Revoke {
            gateway: "B2".to_owned(),
        };
        gateway(revoke, &config, QUIET).await.unwrap();
        let row = store.gateway(store.default_tenant(), id).await.unwrap();
        assert_eq!(row.link, crate::store::LinkState::Revoked);
    }
}
