//! The commands that look at or change the hub's store beside a running hub: claims, people,
//! gateways. Each opens the store, does one thing and ends. Never starts a listener.

use super::Output;
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

#[derive(Debug, Subcommand)]
pub(super) enum Claim {
    /// Make a token with which one gateway enrols once, within 24 hours.
    New {
        /// The site of the gateway; made when it is new.
        #[arg(long, value_name = "NAME")]
        site: String,
        /// The name of the gateway.
        #[arg(long, value_name = "NAME")]
        gateway: String,
        /// Short code that begins the numbers of its work orders, like B2.
        #[arg(long, value_name = "CODE")]
        code: String,
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
    } = command;
    let store = Store::open(&config.data_dir)?;
    let authority = Authority::open(&config.data_dir)?;
    let claim = NewClaim {
        site,
        gateway,
        code,
    };
    let scope = store.default_tenant();
    let token = auth::new_claim(&store, scope, claim, clock::now()).await?;
    let text = authority.claim(token).to_string();
    output.answer(&json!({"claim": text}), &text)
}

/// `user …`
pub(super) async fn user(command: User, config: &Config, output: Output) -> anyhow::Result<()> {
    let User::Add {
        name,
        role,
        password_file,
    } = command;
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
