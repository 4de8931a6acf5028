//! Who calls, and whether they may do what they ask for. Every handler that changes something takes
//! a [`Caller`] and asks it; the name in a request counts only where the box knows no PINs.

use super::Page;
use super::problem::Problem;
use super::session::{self, People};
use crate::people::Act;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use protocol::bundle::Role;
use protocol::event::Actor;
use protocol::id::UserId;
use protocol::limits::NAME_BYTES_MAX;

/// Header with the id of the person for whom a request is, where a browser has sessions of several.
pub(super) const PERSON: &str = "x-person";
/// Header with the secret of this run of the agent, which only its own user can read.
const LOCAL: &str = "x-local-token";

/// Who calls.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// The command line on the box itself, run by the user of the agent: may do all, under the name
    /// that it gives.
    Box,
    /// Whoever may see the page of a box that knows no PINs: as `Box`, by the name they give.
    Open,
    /// Somebody who is signed in.
    Person(Who),
    /// Nobody is signed in, or not the one who was named.
    Nobody {
        /// Who was named.
        named: Option<UserId>,
    },
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) id: UserId,
    pub(super) name: String,
    /// As lowered by the age of the bundle.
    pub(super) role: Role,
}

impl FromRequestParts<Page> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, page: &Page) -> Result<Self, Problem> {
        Self::of(page, &parts.headers)
    }
}

impl Caller {
    pub(super) fn of(page: &Page, headers: &HeaderMap) -> Result<Self, Problem> {
        let named = named(headers)?;
        let local = headers.get(LOCAL).and_then(|value| value.to_str().ok());
        if local.is_some_and(|token| page.people.is_local(token)) {
            return Ok(Self::Box);
        }
        let Some(people) = People::of(page) else {
            return Ok(Self::Open);
        };
        Ok(match people.signed_in(page, headers, named) {
            Some((who, _)) => Self::Person(who),
            None => Self::Nobody { named },
        })
    }

    /// Refuses what the caller may not do.
    pub(super) fn may(&self, act: Act) -> Result<(), Problem> {
        match self {
            Self::Box | Self::Open => Ok(()),
            Self::Person(who) if act.is_for(who.role) => Ok(()),
            Self::Person(who) => Err(role_needed(who, act)),
            Self::Nobody { named } => Err(Problem::sign_in(*named)),
        }
    }

    /// As events name the caller, who does this. `by` is who the request says; empty where it says
    /// nobody.
    pub(super) async fn actor(&self, page: &Page, by: &str, act: Act) -> Result<Actor, Problem> {
        self.may(act)?;
        let by = by.trim();
        let Self::Person(who) = self else {
            return known(page, by).await;
        };
        if !by.is_empty() && by != who.name {
            let title = "Somebody else is signed in";
            let detail = format!(
                "This was to be done by {by}, and {} is signed in. Sign in as {by}, or do it under \
                 your own name.",
                who.name
            );
            let status = StatusCode::FORBIDDEN;
            return Err(Problem::new(status, "other_person", title, detail));
        }
        Ok(Actor::Person(who.name.clone(), Some(who.id)))
    }
}

/// A name that is taken as it is given; with the hub's id where the hub knows it.
async fn known(page: &Page, by: &str) -> Result<Actor, Problem> {
    if by.is_empty() || by.len() > NAME_BYTES_MAX {
        let words = "by must be the name of the person who acts";
        return Err(Problem::invalid(Some("by"), words));
    }
    if let Some(bundle) = page.storage.bundle()
        && let Some(person) = bundle.person_named(by)
    {
        return Ok(Actor::Person(by.to_owned(), Some(person.id)));
    }
    let site = page.storage.site().await?;
    let mut people = site.iter().flat_map(|site| &site.people);
    let known = people.find(|(_, name)| name == by);
    Ok(Actor::Person(
        by.to_owned(),
        known.map(|(id, _)| UserId(*id)),
    ))
}

fn named(headers: &HeaderMap) -> Result<Option<UserId>, Problem> {
    let Some(value) = headers.get(PERSON) else {
        return Ok(session::current(headers));
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    let id = id.ok_or_else(|| Problem::invalid(None, "the header X-Person must be a person's id"));
    id.map(Some)
}

fn role_needed(who: &Who, act: Act) -> Problem {
    let title = "Your role does not allow this";
    let detail = format!(
        "{} needs the role {}; {} is {}. The central team changes roles at the hub.",
        act.words(),
        act.least().word(),
        who.name,
        who.role.word()
    );
    Problem::new(StatusCode::FORBIDDEN, "role_needed", title, detail)
}
