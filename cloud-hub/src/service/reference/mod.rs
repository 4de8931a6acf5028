//! Reference data of a site: people, assets, parts, checklists, failure codes, changed as tables.
//! Each change is judged whole and makes the next bundle of the site, or changes nothing. Never
//! signs a bundle: `ingest` has it signed when a box wants it.

mod checks;
mod entries;
mod lists;
mod table;

pub use table::{BadCell, CLEAR, Table};

use super::ServiceError;
use crate::auth::{self, Actor};
use crate::store::{Records, Role, Store, StoreError};
use crate::tenants::TenantScope;
use entries::merge;
use protocol::bundle::{Bundle, Person};
use protocol::id::SiteId;
use protocol::time::Timestamp;

const DAY_US: i64 = 86_400_000_000;

/// How long bundles count, as the hub's configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Days in full.
    pub valid_days: u16,
    /// Days after them with a warning.
    pub grace_days: u16,
}

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who works at the site.
    People,
    /// Machines and parts of them.
    Assets,
    /// Spare parts.
    Parts,
    /// Checklists, a row per step.
    Checklists,
    /// Words of failure reports.
    FailureCodes,
}

impl Kind {
    /// All, in the order in which they are imported best.
    pub const ALL: [Self; 5] = [
        Self::People,
        Self::Assets,
        Self::Parts,
        Self::Checklists,
        Self::FailureCodes,
    ];

    /// The word of command line and addresses.
    pub const fn word(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Assets => "assets",
            Self::Parts => "parts",
            Self::Checklists => "checklists",
            Self::FailureCodes => "failure-codes",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// How a table is to be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// What is not in the table is removed.
    pub replace: bool,
    /// Only say what would change.
    pub dry_run: bool,
}

/// What a table changed, or would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries that were not there.
    pub added: usize,
    /// Entries that are other now.
    pub changed: usize,
    /// Entries that are gone.
    pub removed: usize,
    /// Entries that are as they were.
    pub unchanged: usize,
    /// What cannot be taken; then nothing was changed.
    pub problems: Vec<BadCell>,
    /// Number of the bundle that came of it.
    pub bundle: Option<u64>,
}

/// Who may change a table as a person who is signed in: planners, and people's roles administrators
/// only.
pub fn may_change(actor: &Actor, kind: Kind) -> Result<(), ServiceError> {
    match (actor.role, kind) {
        (Role::Admin, _) => Ok(()),
        (Role::Planner, Kind::People) => Err(ServiceError::ForAdministrators {
            role: actor.role.word(),
        }),
        (Role::Planner | Role::Viewer, _) => super::may_write(actor),
    }
}

/// Takes a table, whole or not at all.
pub async fn import(
    store: &Store,
    (scope, site): (TenantScope, SiteId),
    (kind, table): (Kind, Table),
    mode: Mode,
    (by, terms): (String, Terms),
) -> Result<Report, ServiceError> {
    store
        .records(scope, move |records| {
            let held = held(records, site, terms)?;
            let mut next = held.clone();
            let mut report = apply(&mut next, kind, &table, mode.replace);
            settle_ids(records, &mut next.people)?;
            report.problems.extend(checks::all(&next, kind, &table));
            if report.problems.is_empty() {
                // Too long is a problem of the table, and told in a dry run too.
                if let Err(error) = protocol::wire::encode_bundle(&next) {
                    report.problems.push(BadCell::whole(&error.to_string()));
                }
            }
            let same = next == held;
            if !report.problems.is_empty() || mode.dry_run || same {
                return Ok(report);
            }
            let words = report.words(kind);
            report.bundle = Some(issue(records, next, terms, (&by, &words))?);
            Ok(report)
        })
        .await
}

/// A table as it stands.
pub async fn export(
    store: &Store,
    scope: TenantScope,
    site: SiteId,
    kind: Kind,
) -> Result<Table, ServiceError> {
    let terms = Terms {
        valid_days: 0,
        grace_days: 0,
    };
    let bundle = store
        .records(scope, move |records| held(records, site, terms))
        .await?;
    Ok(match kind {
        Kind::People => entries::table(&bundle.people),
        Kind::Assets => entries::table(&bundle.assets),
        Kind::Parts => entries::table(&bundle.parts),
        Kind::FailureCodes => entries::table(&bundle.failure_codes),
        Kind::Checklists => lists::table(&bundle.checklists),
    })
}

/// Gives somebody a PIN at every site at which they work, or takes it; at how many sites.
pub async fn set_pin(
    store: &Store,
    scope: TenantScope,
    name: &str,
    pin: Option<&str>,
    (by, terms): (String, Terms),
) -> Result<usize, ServiceError> {
    let hash = match pin {
        Some(pin) => Some(
            auth::pin_hash(pin)
                .await
                .map_err(|error| ServiceError::Invalid {
                    field: "pin",
                    words: error.to_string(),
                })?,
        ),
        None => None,
    };
    let key = name.to_lowercase();
    let sites = store
        .records(scope, move |records| {
            let mut changed = 0;
            for site in records.bundle_sites()? {
                let mut bundle = held(records, site, terms)?;
                let mut people = bundle.people.iter_mut();
                let Some(person) = people.find(|person| person.name.to_lowercase() == key) else {
                    continue;
                };
                person.pin.clone_from(&hash);
                let what = if hash.is_some() { "a new" } else { "no" };
                let words = format!("{what} PIN for {}", person.name);
                issue(records, bundle, terms, (&by, &words))?;
                changed += 1;
            }
            Ok::<_, ServiceError>(changed)
        })
        .await?;
    if sites == 0 {
        return Err(ServiceError::NotFound {
            what: "person of a site",
        });
    }
    Ok(sites)
}

/// Makes the next bundle of each site whose newest is past half its days, or behind what a box of
/// the site holds: a hub that was put back from a copy. How many.
pub async fn renew(store: &Store, scope: TenantScope, terms: Terms) -> Result<usize, ServiceError> {
    store
        .records(scope, move |records| {
            let mut renewed = 0;
            for site in records.bundle_sites()? {
                let bundle = held(records, site, terms)?;
                let half_us = i64::from(terms.valid_days) * DAY_US / 2;
                let is_old = records.now().micros_since(bundle.made) > half_us.max(DAY_US);
                let is_behind = records.highest_told(site, bundle.number)? > bundle.number;
                if is_old || is_behind {
                    let words = ("cloud-hub", "nothing changed; good for longer");
                    issue(records, bundle, terms, words)?;
                    renewed += 1;
                }
            }
            Ok(renewed)
        })
        .await
}

/// The reference data of a site as it stands; empty before the first change.
fn held(records: &mut Records<'_, '_>, site: SiteId, terms: Terms) -> Result<Bundle, ServiceError> {
    if !records.is_site(site)? {
        return Err(ServiceError::NotFound { what: "site" });
    }
    let known = records.bundle(site)?;
    Ok(known.unwrap_or_else(|| Bundle {
        number: 0,
        site,
        made: Timestamp(0),
        valid_until: Timestamp(0),
        grace_days: terms.grace_days,
        people: Vec::new(),
        assets: Vec::new(),
        parts: Vec::new(),
        checklists: Vec::new(),
        failure_codes: Vec::new(),
    }))
}

/// Keeps the next bundle; its number.
fn issue(
    records: &mut Records<'_, '_>,
    mut bundle: Bundle,
    terms: Terms,
    about: (&str, &str),
) -> Result<u64, StoreError> {
    let highest = records.highest_told(bundle.site, bundle.number)?;
    bundle.number = bundle.number.max(highest) + 1;
    bundle.made = records.now();
    bundle.valid_until = bundle
        .made
        .plus_micros(i64::from(terms.valid_days) * DAY_US);
    bundle.grace_days = terms.grace_days;
    records.add_bundle(&bundle, about)?;
    Ok(bundle.number)
}

fn apply(bundle: &mut Bundle, kind: Kind, table: &Table, replace: bool) -> Report {
    match kind {
        Kind::People => merge(&mut bundle.people, table, replace),
        Kind::Assets => merge(&mut bundle.assets, table, replace),
        Kind::Parts => merge(&mut bundle.parts, table, replace),
        Kind::FailureCodes => merge(&mut bundle.failure_codes, table, replace),
        Kind::Checklists => lists::merge(&mut bundle.checklists, table, replace),
    }
}

/// People who are new here get the id that they have at the hub or at another site, else their own.
fn settle_ids(records: &mut Records<'_, '_>, people: &mut [Person]) -> Result<(), ServiceError> {
    if people.iter().all(|person| !person.id.0.is_nil()) {
        return Ok(());
    }
    let mut elsewhere = Vec::new();
    for site in records.bundle_sites()? {
        elsewhere.extend(records.bundle(site)?.into_iter().flat_map(|b| b.people));
    }
    for person in people.iter_mut().filter(|person| person.id.0.is_nil()) {
        let key = person.name.to_lowercase();
        let known = elsewhere
            .iter()
            .find(|other| other.name.to_lowercase() == key);
        person.id = match (known, records.user_id(&person.name)?) {
            (Some(known), _) => known.id,
            (None, Some(user)) => user,
            (None, None) => records.new_person()?,
        };
        // One person, one PIN, wherever they work.
        person.pin = known.and_then(|known| known.pin.clone());
    }
    Ok(())
}

impl Report {
    fn words(&self, kind: Kind) -> String {
        let mut words = format!("{}:", kind.word());
        for (count, what) in [
            (self.added, "added"),
            (self.changed, "changed"),
            (self.removed, "removed"),
        ] {
            if count > 0 {
                words = format!("{words} {count} {what}");
            }
        }
        words
    }
}

#[cfg(test)]
mod tests;
