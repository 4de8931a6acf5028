//! Signing in: by PIN of the site bundle, with the hub gone too, and by the access code of the box.
//! A browser may hold sessions of several people at the same time; each has its own cookie.
//! Never keeps a PIN, nor a session's secret as it is.

use super::Page;
use super::caller::{Caller, Who};
use super::guard::{self, own_page, sha256};
use super::problem::Problem;
use crate::clock;
use crate::people::{self, Act, Held, SESSION_US, SignIns};
use crate::storage::{NewEvent, Storage, StorageError};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use protocol::bundle::{Bundle, Person, PinHash, Validity};
use protocol::event::{Access, Actor, Body, GatewayEvent, RecordKind, RecordRef};
use protocol::id::UserId;
use protocol::time::ClockState;
use protocol::view::rfc3339;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Turn, OnceCell, Semaphore};

/// Who is signed in last on this browser, by id.
const CURRENT: &str = "cfe_person";
/// Begins the cookie of one person's session; their id follows.
const OF_ONE: &str = "cfe_person_";
/// Where the store keeps sessions and wrong PINs.
const KIND: &str = "sign-ins";
/// The secret of this run of the agent, in the data folder, readable by its user only.
pub const LOCAL_TOKEN_FILE: &str = "local.token";

/// Sessions and tries, and what else signing in needs.
pub(super) struct Desk {
    sign_ins: Mutex<SignIns>,
    /// Writes to the store go in the order in which they were made.
    saving: Turn<()>,
    /// One PIN is checked at a time: it takes memory.
    checking: Semaphore,
    local_sha256: Option<[u8; 32]>,
    loaded: OnceCell<()>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    /// Knows nobody until [`Desk::load`]. A data folder where no secret can be written has none:
    /// then the command line acts as anybody else.
    pub(super) fn new(data_dir: &Path) -> Self {
        let local = local_token(data_dir);
        if let Err(error) = &local {
            tracing::warn!(%error, "the command line of this box cannot act without a PIN");
        }
        Self {
            sign_ins: Mutex::default(),
            saving: Turn::default(),
            checking: Semaphore::new(1),
            local_sha256: local.ok().map(|token| sha256(token.as_bytes())),
            loaded: OnceCell::new(),
        }
    }

    /// Who was signed in before the restart; read once.
    pub(super) async fn load(&self, storage: &Storage) -> Result<(), StorageError> {
        let load = async || {
            if let Some((_, bytes)) = storage.reference(KIND.to_owned()).await? {
                self.with(|book| *book = SignIns::from_bytes(&bytes));
            }
            Ok(())
        };
        self.loaded.get_or_try_init(load).await.copied()
    }

    pub(super) fn is_local(&self, token: &str) -> bool {
        // Comparing digests tells nothing of how much was right.
        self.local_sha256 == Some(sha256(token.as_bytes()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut SignIns) -> T) -> T {
        work(&mut self.sign_ins.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn save(&self, storage: &Storage) -> Result<(), StorageError> {
        let _in_turn = self.saving.lock().await;
        let bytes = self.with(|book| book.to_bytes());
        storage.set_reference(KIND.to_owned(), 1, bytes).await
    }
}

/// A new secret for this run, written down for the command line.
fn local_token(data_dir: &Path) -> std::io::Result<String> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let token = secret().ok_or_else(|| std::io::Error::other("no random numbers"))?;
    let (path, part) = (
        data_dir.join(LOCAL_TOKEN_FILE),
        data_dir.join("local.token.new"),
    );
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(token.as_bytes())?;
    std::fs::rename(&part, &path)?;
    Ok(token)
}

fn secret() -> Option<String> {
    let mut secret = [0; 32];
    SystemRandom::new().fill(&mut secret).ok()?;
    Some(data_encoding::HEXLOWER.encode(&secret))
}

/// The people of a box that asks for PINs.
pub(super) struct People {
    bundle: Arc<Bundle>,
    validity: Validity,
}

impl People {
    /// `None` where nobody has a PIN: such a box works as one without a bundle.
    pub(super) fn of(page: &Page) -> Option<Self> {
        let bundle = page.storage.bundle()?;
        let validity = validity(&bundle);
        let with_pin = bundle.people.iter().any(|person| person.pin.is_some());
        with_pin.then_some(Self { bundle, validity })
    }

    /// Who is signed in: the one who is named. Their role is what the bundle says now.
    pub(super) fn signed_in(
        &self,
        page: &Page,
        headers: &HeaderMap,
        named: Option<UserId>,
    ) -> Option<(Who, Held)> {
        let token = cookie(headers, &of_one(named?))?;
        let hash = sha256(token.as_bytes());
        let held = page.people.with(|book| book.find(hash, clock::now()))?;
        let person = self.bundle.person(held.person)?;
        let counts = Some(held.person) == named && held.is_of(person.pin.as_ref());
        counts.then(|| (self.who(person), held))
    }

    fn who(&self, person: &Person) -> Who {
        Who {
            id: person.id,
            name: person.name.clone(),
            role: self.validity.lowered(person.role),
        }
    }

    /// By id, or by name whatever the case of its letters.
    fn find(&self, wanted: &str) -> Option<&Person> {
        if let Ok(id) = wanted.parse() {
            return self.bundle.person(id);
        }
        let wanted = wanted.to_lowercase();
        let mut people = self.bundle.people.iter();
        people.find(|person| person.name.to_lowercase() == wanted)
    }
}

/// How far a bundle counts. A box that does not know the time cannot tell and takes it in full.
pub(super) fn validity(bundle: &Bundle) -> Validity {
    match clock::stamp() {
        (_, ClockState::Untrusted) => Validity::Valid,
        (now, _) => bundle.validity(now),
    }
}

/// Whether somebody who is signed in by PIN asks: they need no access code. The command line of the
/// box enters the code as before.
pub(super) fn is_signed_in(page: &Page, headers: &HeaderMap) -> bool {
    matches!(Caller::of(page, headers), Ok(Caller::Person(_)))
}

/// Who signed in last on this browser.
pub(super) fn current(headers: &HeaderMap) -> Option<UserId> {
    cookie(headers, CURRENT)?.parse().ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    code: Option<String>,
    person: Option<String>,
    pin: Option<String>,
}

/// `POST /session`
pub(super) async fn sign_in(
    State(page): State<Page>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Json<Given>, JsonRejection>,
) -> Result<Response, Problem> {
    own_page(&headers)?;
    let Json(given) = body.map_err(|error| Problem::invalid(None, error.body_text()))?;
    match (given.code, given.person, given.pin) {
        (Some(code), None, None) => guard::by_code(&page, from, &headers, &code),
        (None, Some(person), Some(pin)) => by_pin(&page, from.ip(), &headers, &person, &pin).await,
        _ => Err(Problem::invalid(None, "send person and pin, or code")),
    }
}

async fn by_pin(
    page: &Page,
    from: IpAddr,
    headers: &HeaderMap,
    wanted: &str,
    pin: &str,
) -> Result<Response, Problem> {
    let people = People::of(page).ok_or_else(|| {
        let detail = "This box has no list of people with PINs; the hub sends it.";
        Problem::not_now(detail)
    })?;
    let person = people.find(wanted.trim()).cloned();
    let right = check(page, from, person.as_ref(), pin).await?;
    let (Some(person), Some(kept)) = (person, right) else {
        return Err(wrong_pin());
    };
    let token = secret().ok_or_else(|| Problem::not_now("The box has no random numbers."))?;
    let who = people.who(&person);
    note(page, &who, signed_in_event(&people, &who)).await?;
    page.people.with(|book| {
        let hash = sha256(token.as_bytes());
        book.open(hash, (person.id, &kept), from, clock::now());
    });
    page.people.save(&page.storage).await?;
    let view = view(page, headers, Some(&(who, clock::now().0 + SESSION_US)));
    let mut response = Json(view).into_response();
    let secure = guard::is_secure(headers);
    guard::set_cookie(&mut response, secure, &of_one(person.id), Some(&token));
    let id = person.id.to_string();
    guard::set_cookie(&mut response, secure, CURRENT, Some(&id));
    Ok(response)
}

/// The hash of the PIN when it was the right one. A try that is one too many is not looked at.
async fn check(
    page: &Page,
    from: IpAddr,
    person: Option<&Person>,
    pin: &str,
) -> Result<Option<PinHash>, Problem> {
    let id = person.map(|person| person.id);
    let begun = page.people.with(|book| book.begin(id, from, clock::now()));
    if let Err(wait_s) = begun {
        let title = "Too many wrong PINs";
        let minutes = wait_s.div_ceil(60);
        let detail = format!("Wait {minutes} min, then try again, or try on another device.");
        let status = StatusCode::TOO_MANY_REQUESTS;
        return Err(Problem::new(status, "too_many_tries", title, detail).retry_after(wait_s));
    }
    // On the disk before the PIN is looked at: who cuts the power gets no further tries.
    page.people.save(&page.storage).await?;
    let kept = person.and_then(|person| person.pin.clone());
    let _one_at_a_time = page.people.checking.acquire().await;
    let (pin, looked_at) = (pin.trim().to_owned(), kept.clone());
    let checked = tokio::task::spawn_blocking(move || people::verify(&pin, looked_at.as_ref()));
    if checked.await.unwrap_or(false) {
        return Ok(kept);
    }
    if let Some(person) = person
        && page.people.with(|book| book.is_locked(id, from))
    {
        let who = Who {
            id: person.id,
            name: person.name.clone(),
            role: person.role,
        };
        let address = from.to_string();
        note(page, &who, Access::LockedOut { address }).await?;
    }
    Ok(None)
}

/// Asks a person who is signed in for their PIN once more, for a signature. The same limits count
/// as for signing in.
pub(super) async fn confirm(
    page: &Page,
    caller: &Caller,
    from: SocketAddr,
    pin: &str,
) -> Result<(), Problem> {
    let Caller::Person(who) = caller else {
        return caller.may(Act::Work);
    };
    let people = People::of(page).ok_or_else(|| Problem::sign_in(Some(who.id)))?;
    let person = people.bundle.person(who.id);
    if check(page, from.ip(), person, pin).await?.is_none() {
        return Err(wrong_pin());
    }
    page.people.with(|book| book.confirmed(who.id, from.ip()));
    Ok(page.people.save(&page.storage).await?)
}

fn wrong_pin() -> Problem {
    let title = "Name or PIN is wrong";
    let detail = "Enter them again. Whoever looks after people at the hub gives a new PIN.";
    Problem::new(StatusCode::UNAUTHORIZED, "wrong_pin", title, detail)
}

fn signed_in_event(people: &People, who: &Who) -> Access {
    Access::SignedIn {
        bundle: people.bundle.number,
        role: who.role,
        overdue: people.validity != Validity::Valid,
    }
}

/// One line of the audit. Whoever cannot be noted is not signed in.
async fn note(page: &Page, who: &Who, access: Access) -> Result<(), Problem> {
    let event = NewEvent {
        id: None,
        actor: Actor::Person(who.name.clone(), Some(who.id)),
        record: RecordRef {
            kind: RecordKind::Gateway,
            id: page.storage.gateway_id().0,
        },
        body: Body::Gateway(GatewayEvent::Access(access)),
    };
    page.storage
        .records(move |tx| Ok::<_, Problem>(tx.append(event).map(drop)?))
        .await
}

/// `GET /session`
pub(super) async fn who(State(page): State<Page>, headers: HeaderMap) -> Json<Value> {
    let people = People::of(&page);
    let signed_in = people.and_then(|people| {
        let named = match headers.get(super::caller::PERSON) {
            Some(value) => value.to_str().ok()?.parse().ok(),
            None => current(&headers),
        };
        let (who, held) = people.signed_in(&page, &headers, named)?;
        Some((who, held.since.0 + SESSION_US))
    });
    Json(view(&page, &headers, signed_in.as_ref()))
}

/// `DELETE /session`
pub(super) async fn sign_out(
    State(page): State<Page>,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Response, Problem> {
    own_page(&headers)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let Caller::Person(who) = caller else {
        return Ok(response);
    };
    if let Some(token) = cookie(&headers, &of_one(who.id)) {
        let hash = sha256(token.as_bytes());
        page.people.with(|book| book.close(hash));
        page.people.save(&page.storage).await?;
        note(&page, &who, Access::SignedOut).await?;
    }
    let secure = guard::is_secure(&headers);
    guard::set_cookie(&mut response, secure, &of_one(who.id), None);
    if current(&headers) == Some(who.id) {
        guard::set_cookie(&mut response, secure, CURRENT, None);
    }
    Ok(response)
}

/// Who is signed in and until when, who could be, and what they may do.
fn view(page: &Page, headers: &HeaderMap, signed_in: Option<&(Who, i64)>) -> Value {
    let people = People::of(page);
    let needed = people.is_some();
    // Names are for those who may see the page.
    let shown = signed_in.is_some() || guard::may_see(page, headers);
    let bundle = page.storage.bundle();
    let listed = people.iter().flat_map(|people| &people.bundle.people);
    let listed = listed
        .filter(|person| shown && person.pin.is_some())
        .map(|person| json!({ "id": person.id, "name": person.name }));
    let listed: Vec<Value> = listed.collect();
    let may = |act: &Act| match signed_in {
        Some((who, _)) => act.is_for(who.role),
        None => !needed,
    };
    let may: Vec<&str> = Act::ALL
        .iter()
        .filter(|act| may(act))
        .map(|act| act.word())
        .collect();
    json!({
        "person": signed_in.map(|(who, _)| json!({
            "id": who.id, "name": who.name, "role": who.role.word(),
        })),
        "expires": signed_in.map(|(_, until)| rfc3339(protocol::time::Timestamp(*until))),
        "people": listed,
        "pin_needed": needed,
        "https_port": page.https.as_ref().map(|https| https.port),
        "secure": guard::is_secure(headers),
        "access_code_needed": !shown,
        "may": may,
        "bundle": bundle.filter(|_| shown).map(|bundle| bundle_view(&bundle)),
    })
}

/// Number and age of the bundle that counts.
pub(super) fn bundle_view(bundle: &Bundle) -> Value {
    json!({
        "number": bundle.number,
        "made": rfc3339(bundle.made),
        "valid_until": rfc3339(bundle.valid_until),
        "grace_days": bundle.grace_days,
        "validity": validity(bundle).word(),
        "people": bundle.people.len(),
        "assets": bundle.assets.len(),
        "parts": bundle.parts.len(),
        "checklists": bundle.checklists.len(),
        "failure_codes": bundle.failure_codes.len(),
    })
}

fn of_one(id: UserId) -> String {
    format!("{OF_ONE}{}", id.0.simple())
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    guard::cookie(
        headers,
        &guard::cookie_name(guard::is_secure(headers), name),
    )
}
