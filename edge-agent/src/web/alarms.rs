//! Alarm points: which there are and how they stand, shelving, out of service, maintenance, and the load
//! of alerts. Never judges: what a person holds back is an event, and the judge follows it.

use super::Page;
use super::actions::{Input, append_at, input, key, required, text};
use super::caller::Caller;
use super::problem::Problem;
use super::waited::{Ago, end, not_overtaken};
use crate::clock;
use crate::config::{Assets, InUse, RuleConfig, priority, show_duration};
use crate::people::Act;
use crate::storage::RuleCounts;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use protocol::action::{AlarmAction, PointGround};
use protocol::alarm_load::{Load, Period};
use protocol::alarm_point::AlarmPoint;
use protocol::alert::Alert;
use protocol::event::{AlarmPointEvent, Body, Maintained};
use protocol::id::{AlarmPointId, AlertId};
use protocol::time::Timestamp;
use protocol::view::{self, PointState, rfc3339};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT_DEFAULT: usize = 200;
const LIMIT_MAX: usize = 1_000;
const HOUR_US: i64 = 3_600_000_000;
/// Longest time of which the load is counted, in hours: a month.
const LOAD_HOURS_MAX: i64 = 744;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    state: Option<String>,
    limit: Option<usize>,
    cursor: Option<usize>,
}

/// `GET /alarms`
pub(super) async fn list(
    State(page): State<Page>,
    Query(list): Query<List>,
) -> Result<Json<Value>, Problem> {
    let only_held = match list.state.as_deref() {
        None | Some("all") => false,
        Some("held") => true,
        Some(_) => {
            let words = "state is \"held\" or \"all\"";
            return Err(Problem::invalid(Some("state"), words));
        }
    };
    let now = clock::now();
    let config = page.running();
    let known = Known::load(&page, now).await?;
    let assets = Assets::new(&config.assets, page.storage.bundle().as_deref());
    let gateway = page.storage.gateway_id();
    let limit = list.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let begin = list.cursor.unwrap_or(0);
    let (mut data, mut next) = (Vec::new(), None);
    for (at, rule) in config.rules.iter().enumerate().skip(begin) {
        let id = AlarmPointId::derive(gateway, &rule.name, &rule.sensor);
        let point = known.points.get(&id);
        if only_held && point.is_none() {
            continue;
        }
        if data.len() == limit {
            next = Some(at.to_string());
            break;
        }
        let alert = known.alert(&page, &rule.name).await?;
        data.push(shape(
            (&config, &assets),
            rule,
            (id, point),
            &known,
            (alert.as_ref(), now),
        ));
    }
    Ok(Json(json!({ "data": data, "next_cursor": next })))
}

/// What is known of all points.
struct Known {
    points: BTreeMap<AlarmPointId, AlarmPoint>,
    counts: BTreeMap<String, RuleCounts>,
}

impl Known {
    async fn load(page: &Page, now: Timestamp) -> Result<Self, Problem> {
        let points = page.storage.held_alarm_points().await?;
        let day_ago = now.plus_micros(-24 * HOUR_US);
        Ok(Self {
            points: points.into_iter().map(|point| (point.id, point)).collect(),
            counts: page.storage.rule_counts(day_ago).await?,
        })
    }

    /// The newest alert of a rule, while that is not closed.
    async fn alert(&self, page: &Page, rule: &str) -> Result<Option<Alert>, Problem> {
        match self.counts.get(rule).and_then(|counts| counts.open) {
            Some(id) => Ok(page.storage.alert(id).await?),
            None => Ok(None),
        }
    }
}

/// Docs: shape `Alarm`.
fn shape(
    (config, assets): (&InUse, &Assets),
    rule: &RuleConfig,
    (id, point): (AlarmPointId, Option<&AlarmPoint>),
    known: &Known,
    (alert, now): (Option<&Alert>, Timestamp),
) -> Value {
    let state = PointState::of(point, alert, now);
    let counts = known.counts.get(&rule.name).copied().unwrap_or_default();
    let criticality = assets.criticality(rule.asset.as_deref());
    let seconds = |duration: Duration| duration.as_secs();
    let mut shape = json!({
        "id": id,
        "rule": rule.name,
        "title": rule.title,
        "sensor": rule.sensor,
        "asset": rule.asset,
        "severity": priority(rule.severity, criticality),
        "criticality": criticality,
        "state": state,
        "isa": state.letter(),
        "alert": alert.map(|alert| alert.id),
        "alerts_day": counts.recent,
        "last": counts.last.map(rfc3339),
        "latch": rule.alarm.latch,
        "re_alarm_s": rule.alarm.re_alarm.map(seconds),
        "first_out": rule.alarm.first_out,
        "suppress_while": rule.alarm.suppress_while.as_ref().map(|suppress| &suppress.words),
        "shelve_max_minutes": seconds(config.alarms.shelve_max) / 60,
        "shelved": null,
        "out_of_service": null,
        "suppressed_by": null,
        "chattering_since": null,
        "withheld": null,
    });
    if let (Some(shape), Some(point)) = (shape.as_object_mut(), point)
        && let Ok(Value::Object(held)) = serde_json::to_value(view::point(point, now))
    {
        shape.extend(held);
    }
    shape
}

/// `GET /alarms/{id}`
pub(super) async fn one(
    State(page): State<Page>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    point_view(&page, point_id(&id)?).await.map(Json)
}

/// An alarm point whose rule is configured.
pub(super) async fn point_view(page: &Page, id: AlarmPointId) -> Result<Value, Problem> {
    let config = page.running();
    let rule = rule_of(page, &config, id).ok_or_else(|| Problem::not_found("alarm"))?;
    let now = clock::now();
    let point = page.storage.alarm_point(id).await?;
    let known = Known::load(page, now).await?;
    let alert = known.alert(page, &rule.name).await?;
    let assets = Assets::new(&config.assets, page.storage.bundle().as_deref());
    let (point, alert) = ((id, point.as_ref()), (alert.as_ref(), now));
    Ok(shape((&config, &assets), rule, point, &known, alert))
}

fn rule_of<'a>(page: &Page, config: &'a InUse, id: AlarmPointId) -> Option<&'a RuleConfig> {
    let gateway = page.storage.gateway_id();
    let mut rules = config.rules.iter();
    rules.find(|rule| AlarmPointId::derive(gateway, &rule.name, &rule.sensor) == id)
}

fn point_id(text: &str) -> Result<AlarmPointId, Problem> {
    text.parse().map_err(|_| Problem::not_found("alarm"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadOf {
    hours: Option<i64>,
}

/// `GET /alarms/load`
pub(super) async fn load(
    State(page): State<Page>,
    Query(of): Query<LoadOf>,
) -> Result<Json<Value>, Problem> {
    let hours = of.hours.unwrap_or(24);
    if !(1..=LOAD_HOURS_MAX).contains(&hours) {
        let words = format!("hours is 1 to {LOAD_HOURS_MAX}");
        return Err(Problem::invalid(Some("hours"), words));
    }
    let to = clock::now();
    let period = Period {
        from: to.plus_micros(-hours * HOUR_US),
        to,
        operators: page.running().alarms.operators,
    };
    let alerts = page.storage.raised_since(period.from).await?;
    let load = Load::of(&alerts, period);
    let view = serde_json::to_value(view::load(&load, period)).unwrap_or_default();
    Ok(Json(view))
}

/// `POST /alarms/{id}/actions/{action}`
pub(super) async fn act(
    State(page): State<Page>,
    Path((id, action)): Path<(String, String)>,
    caller: Caller,
    headers: HeaderMap,
    posted: Result<Json<Input>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let id = point_id(&id)?;
    let config = page.running();
    let rule = rule_of(&page, &config, id).ok_or_else(|| Problem::not_found("alarm"))?;
    let names = (rule.name.clone(), rule.sensor.clone());
    on_point(
        &page,
        (id, names),
        &action,
        (caller, &headers, input(posted)?),
    )
    .await?;
    point_view(&page, id).await.map(Json)
}

/// Whether an action on an alert is one on its point.
pub(super) fn is_of_point(action: &str) -> bool {
    AlarmAction::is_word(action) || action == "relearn"
}

/// The point of an alert.
pub(super) async fn point_of_alert(
    page: &Page,
    id: AlertId,
) -> Result<(AlarmPointId, (String, String)), Problem> {
    let alert = page.storage.alert(id).await?;
    let raised = alert.ok_or_else(|| Problem::not_found("alert"))?.raised;
    let point = AlarmPointId::derive(page.storage.gateway_id(), &raised.rule, &raised.sensor_path);
    Ok((point, (raised.rule, raised.sensor_path)))
}

/// Does what a person asks for with a point.
pub(super) async fn on_point(
    page: &Page,
    (id, (rule, sensor_path)): (AlarmPointId, (String, String)),
    action: &str,
    (caller, headers, input): (Caller, &HeaderMap, Input),
) -> Result<(), Problem> {
    let reason = || required("reason", input.reason.as_deref());
    let note = || text("note", input.note.as_deref());
    let wanted = match action {
        "shelve" => Wanted::Hold(AlarmAction::Shelve {
            reason: reason()?,
            minutes: minutes(page, input.minutes)?,
        }),
        "unshelve" => Wanted::Hold(AlarmAction::Unshelve { note: note()? }),
        "out-of-service" => Wanted::Hold(AlarmAction::OutOfService { reason: reason()? }),
        "in-service" => Wanted::Hold(AlarmAction::InService { note: note()? }),
        "relearn" => {
            let config = page.running();
            let mut rules = config.rules.iter();
            let known = rules.find(|known| known.name == rule && known.sensor == sensor_path);
            if !known.is_some_and(|known| known.kind.learns()) {
                let words = "Only a rule of the kind deviation or trend has learned something.";
                return Err(Problem::not_now(words));
            }
            Wanted::LearnAnew(reason()?)
        }
        _ => return Err(Problem::not_found("action")),
    };
    let act = wanted.act();
    let actor = caller.actor(page, &input.by, act).await?;
    let key = key(headers)?;
    let shelve_minutes_max = shelve_minutes_max(page);
    page.storage
        .records(move |tx| {
            let point = tx.alarm_point(id)?;
            let point = point.as_ref();
            if point.is_some_and(|point| point.history.iter().any(|line| line.id == key)) {
                return Ok(());
            }
            let (now, ago) = (tx.now(), input.ago_s);
            let ground = PointGround {
                point,
                rule: &rule,
                sensor_path: &sensor_path,
                now,
                shelve_minutes_max,
            };
            let event = wanted.event(&ground, ago)?;
            not_overtaken(point, wanted.kind(), ago.waited_since(now))?;
            let event = (id.into(), Body::AlarmPoint(event));
            append_at(tx, key, &actor, vec![event], ago.time(now))
        })
        .await
}

/// What a person asks for.
enum Wanted {
    /// To hold it back, or no longer.
    Hold(AlarmAction),
    /// To have the rule learn anew, for this reason.
    LearnAnew(String),
}

impl Wanted {
    const fn act(&self) -> Act {
        match self {
            Self::Hold(AlarmAction::Shelve { .. } | AlarmAction::Unshelve { .. }) => Act::Shelve,
            Self::Hold(AlarmAction::OutOfService { .. } | AlarmAction::InService { .. }) => {
                Act::OutOfService
            }
            Self::LearnAnew(_) => Act::Relearn,
        }
    }

    /// What acts of this kind are called in the history of a point.
    const fn kind(&self) -> [&'static str; 2] {
        match self {
            Self::Hold(AlarmAction::Shelve { .. } | AlarmAction::Unshelve { .. }) => {
                ["shelved", "unshelved"]
            }
            Self::Hold(AlarmAction::OutOfService { .. } | AlarmAction::InService { .. }) => {
                ["out_of_service", "in_service"]
            }
            Self::LearnAnew(_) => ["learns_anew", "learns_anew"],
        }
    }

    fn event(&self, ground: &PointGround<'_>, ago: Ago) -> Result<AlarmPointEvent, Problem> {
        let action = match self {
            Self::Hold(action) => action,
            Self::LearnAnew(reason) => {
                return Ok(AlarmPointEvent::LearnsAnew {
                    rule: ground.rule.to_owned(),
                    sensor_path: ground.sensor_path.to_owned(),
                    reason: reason.clone(),
                });
            }
        };
        let mut event = action.event(ground)?;
        if let (AlarmAction::Shelve { minutes, .. }, AlarmPointEvent::Shelved { until, .. }) =
            (action, &mut event)
        {
            *until = end((*minutes).into(), ago, ground.now)?;
        }
        Ok(event)
    }
}

fn shelve_minutes_max(page: &Page) -> u64 {
    page.running().alarms.shelve_max.as_secs() / 60
}

/// For how long, at most as the configuration allows.
fn minutes(page: &Page, minutes: Option<u32>) -> Result<u32, Problem> {
    let longest = page.running().alarms.shelve_max;
    let max = shelve_minutes_max(page);
    match minutes {
        Some(minutes) if minutes > 0 && u64::from(minutes) <= max => Ok(minutes),
        _ => {
            let words = format!(
                "minutes is 1 to {max}: this box shelves for at most {} (shelve_max)",
                show_duration(longest)
            );
            Err(Problem::invalid(Some("minutes"), words))
        }
    }
}

/// What `POST /maintenance` takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Maintain {
    by: String,
    ago_s: Ago,
    asset: Option<String>,
    device: Option<String>,
    on: bool,
    reason: Option<String>,
    minutes: Option<u32>,
}

/// `POST /maintenance`
pub(super) async fn maintain(
    State(page): State<Page>,
    caller: Caller,
    headers: HeaderMap,
    posted: Result<Json<Maintain>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(asked) = posted.map_err(|error| Problem::invalid(None, error.body_text()))?;
    let ago = asked.ago_s.check()?;
    let of = maintained(&page, &asked)?;
    let gateway = page.storage.gateway_id();
    let is_device = matches!(of, Maintained::Device(_));
    let id = AlarmPointId::maintenance(gateway, of.name(), is_device);
    let reason = text("reason", asked.reason.as_deref())?;
    if asked.on && reason.is_none() {
        return Err(Problem::invalid(Some("reason"), "reason is missing"));
    }
    let actor = caller.actor(&page, &asked.by, Act::Shelve).await?;
    let key = key(&headers)?;
    page.storage
        .records(move |tx| {
            let point = tx.alarm_point(id)?;
            let point = point.as_ref();
            if point.is_some_and(|point| point.history.iter().any(|line| line.id == key)) {
                return Ok(());
            }
            let is_on = point.is_some_and(|point| point.maintenance.is_some());
            let waited_since = ago.waited_since(tx.now());
            not_overtaken(
                point,
                ["maintenance_began", "maintenance_ended"],
                waited_since,
            )?;
            let minutes = asked.minutes.filter(|minutes| asked.on && *minutes > 0);
            let until = minutes.map(|minutes| end(minutes.into(), ago, tx.now()));
            let until = until.transpose()?;
            let event = match (asked.on, is_on) {
                (true, _) => AlarmPointEvent::MaintenanceBegan {
                    of,
                    reason: reason.unwrap_or_default(),
                    until,
                },
                (false, true) => AlarmPointEvent::MaintenanceEnded { note: reason },
                (false, false) => {
                    return Err(Problem::not_now(
                        "Nobody works on it as far as this box knows.",
                    ));
                }
            };
            let event = (id.into(), Body::AlarmPoint(event));
            append_at(tx, key, &actor, vec![event], ago.time(tx.now()))
        })
        .await?;
    let switch = page.storage.alarm_point(id).await?;
    let view = switch.and_then(|switch| view::maintenance(&switch, clock::now()));
    Ok(Json(serde_json::to_value(view).unwrap_or_default()))
}

/// On what, when this box knows it.
fn maintained(page: &Page, asked: &Maintain) -> Result<Maintained, Problem> {
    let config = page.running();
    match (&asked.asset, &asked.device) {
        (Some(tag), None) => {
            let mut devices = config.devices.iter();
            let is_known = config
                .assets
                .iter()
                .any(|asset| asset.tag == *tag || asset.parent.as_ref() == Some(tag))
                || devices.any(|device| device.assets.contains(tag));
            if is_known {
                return Ok(Maintained::Asset(tag.clone()));
            }
            let words = format!("this box measures nothing of an asset {tag}");
            Err(Problem::invalid(Some("asset"), words))
        }
        (None, Some(name)) => {
            if config.devices.iter().any(|device| device.name == *name) {
                return Ok(Maintained::Device(name.clone()));
            }
            let words = format!("this box has no device {name}");
            Err(Problem::invalid(Some("device"), words))
        }
        _ => {
            let words = "name an asset or a device, one of the two";
            Err(Problem::invalid(Some("asset"), words))
        }
    }
}

/// `GET /maintenance`
pub(super) async fn maintenance(State(page): State<Page>) -> Result<Json<Value>, Problem> {
    let now = clock::now();
    let points = page.storage.held_alarm_points().await?;
    let views = points
        .iter()
        .filter_map(|point| view::maintenance(point, now));
    let data: Vec<_> = views.filter(|view| view.on).collect();
    Ok(Json(json!({ "data": data, "next_cursor": null })))
}
