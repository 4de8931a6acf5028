//! What people at the hub hold back of a box's alarms, and how many alerts the people of the sites bear.
//! Never judges: the box that measures follows what is said here, as soon as it hears of it.

use super::{ServiceError, may_write, person};
use crate::auth::Actor;
use crate::store::{LOAD_ALERTS_MAX, LoadFilter, NewEvent, RaisedRow, Records, Store, StoreError};
use crate::tenants::TenantScope;
use protocol::action::{AlarmAction, PointGround, text};
use protocol::alarm_load::{Load, Period, Raised};
use protocol::event::{AlarmPointEvent, Body, Event};
use protocol::id::{AlarmPointId, AlertId, GatewayId, Origin, SiteId};
use protocol::view::Named;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Longest shelf that is given at the hub, in minutes: 8 h, what a box allows when nobody configured it.
/// A box that allows less ends it sooner.
pub const SHELVE_MINUTES_MAX: u64 = 480;
/// Most loads in one answer; further gateways are left out and counted.
pub const LOADS_MAX: usize = 200;

/// Which alarm point is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfAlarm {
    /// That of an alert.
    Alert(AlertId),
    /// One of which something was held back before.
    Point(AlarmPointId),
}

/// Where a point lives and what it is called.
struct Target {
    id: AlarmPointId,
    home: GatewayId,
    rule: String,
    sensor_path: String,
}

/// Carries out `action` once, whatever often it is repeated with the same `key`; gives the point.
pub async fn act_on_alarm(
    store: &Store,
    actor: &Actor,
    of: OfAlarm,
    key: Uuid,
    action: AlarmAction,
) -> Result<AlarmPointId, ServiceError> {
    may_write(actor)?;
    let by = person(actor);
    store
        .records(actor.scope, move |records| {
            let target = target(records, of)?;
            let id = target.id;
            if let Some(known) = records.event(key.into())? {
                return if known.record == id.into() && says(&action, &known) {
                    Ok(id)
                } else {
                    Err(ServiceError::KeyReused)
                };
            }
            let point = records.alarm_point(id)?;
            let event = action.event(&PointGround {
                point: point.as_ref(),
                rule: &target.rule,
                sensor_path: &target.sensor_path,
                now: records.now(),
                shelve_minutes_max: SHELVE_MINUTES_MAX,
            })?;
            records.append(NewEvent {
                id: key.into(),
                actor: by,
                record: id.into(),
                body: Body::AlarmPoint(event),
                home: target.home,
            })?;
            Ok(id)
        })
        .await
}

fn target(records: &Records<'_, '_>, of: OfAlarm) -> Result<Target, ServiceError> {
    let no_alarm = StoreError::NotFound { what: "alarm" };
    match of {
        OfAlarm::Alert(alert) => {
            let home = records.home(alert.into())?.ok_or(no_alarm)?;
            let alert = records.alert(alert)?;
            let gateway = match alert.origin {
                Origin::Gateway(gateway) => gateway,
                Origin::Hub => home,
            };
            let (rule, sensor_path) = (alert.raised.rule, alert.raised.sensor_path);
            Ok(Target {
                id: AlarmPointId::derive(gateway, &rule, &sensor_path),
                home,
                rule,
                sensor_path,
            })
        }
        OfAlarm::Point(id) => {
            let point = records.alarm_point(id)?;
            let point = point.filter(|point| point.switch_of.is_none());
            let home = records.home(id.into())?;
            let (Some(point), Some(home)) = (point, home) else {
                return Err(no_alarm.into());
            };
            Ok(Target {
                id,
                home,
                rule: point.rule,
                sensor_path: point.sensor_path,
            })
        }
    }
}

/// Whether `known` is what `action` wrote before.
fn says(action: &AlarmAction, known: &Event) -> bool {
    let Body::AlarmPoint(body) = &known.body else {
        return false;
    };
    let same_note = |asked: &Option<String>, written: &Option<String>| {
        text::note("note", asked.as_deref()).is_ok_and(|asked| asked == *written)
    };
    match (action, body) {
        (
            AlarmAction::Shelve { reason, minutes },
            AlarmPointEvent::Shelved {
                reason: written,
                until,
                ..
            },
        ) => {
            let long_us = i64::from(*minutes) * 60_000_000;
            reason.trim() == written && known.time.plus_micros(long_us) == *until
        }
        (
            AlarmAction::OutOfService { reason },
            AlarmPointEvent::OutOfService {
                reason: written, ..
            },
        ) => reason.trim() == written,
        (AlarmAction::Unshelve { note }, AlarmPointEvent::Unshelved { note: written })
        | (AlarmAction::InService { note }, AlarmPointEvent::InService { note: written }) => {
            same_note(note, written)
        }
        _ => false,
    }
}

/// The load of a whole site, or of one gateway of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteLoad {
    /// The site.
    pub site: Named<SiteId>,
    /// The gateway; none: all of the site together.
    pub gateway: Option<Named<GatewayId>>,
    /// Its figures.
    pub load: Load,
}

/// The loads of sites and gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct Loads {
    /// Each site followed by its gateways, those with most alerts first.
    pub rows: Vec<SiteLoad>,
    /// How many more there are than [`LOADS_MAX`].
    pub left_out: usize,
}

/// Counts the alerts of `period` for each site and gateway that had some.
pub async fn alarm_loads(
    store: &Store,
    scope: TenantScope,
    filter: LoadFilter,
    period: Period,
) -> Result<Loads, ServiceError> {
    let rows = store.raised_since(scope, filter, period.from).await?;
    let rows = rows.ok_or_else(|| ServiceError::Invalid {
        field: "hours",
        words: format!(
            "more than {LOAD_ALERTS_MAX} alerts are in this time; ask for fewer hours, one site or one \
             gateway"
        ),
    })?;
    Ok(counted(&rows, period))
}

/// What is known of a site.
struct OfSite<'a> {
    site: &'a Named<SiteId>,
    gateways: BTreeMap<GatewayId, (&'a Named<GatewayId>, Vec<Raised>)>,
}

fn counted(rows: &[RaisedRow], period: Period) -> Loads {
    let mut sites: BTreeMap<SiteId, OfSite<'_>> = BTreeMap::new();
    for row in rows {
        let site = sites.entry(row.site.id).or_insert_with(|| OfSite {
            site: &row.site,
            gateways: BTreeMap::new(),
        });
        let gateway = site.gateways.entry(row.gateway.id);
        let (_, raised) = gateway.or_insert_with(|| (&row.gateway, Vec::new()));
        raised.push(row.raised.clone());
    }
    let mut sites: Vec<Vec<SiteLoad>> = sites.values().map(|site| of_site(site, period)).collect();
    sites.sort_by_key(|loads| std::cmp::Reverse(loads.first().map(|site| site.load.alerts)));
    let mut rows: Vec<SiteLoad> = sites.into_iter().flatten().collect();
    let left_out = rows.len().saturating_sub(LOADS_MAX);
    rows.truncate(LOADS_MAX);
    Loads { rows, left_out }
}

/// The site, then its gateways.
fn of_site(of: &OfSite<'_>, period: Period) -> Vec<SiteLoad> {
    let several = of.gateways.len() > 1;
    let mut all = Vec::new();
    let mut loads = Vec::new();
    for (gateway, raised) in of.gateways.values() {
        // Two boxes may have rules of one name: they are not one bad actor.
        all.extend(raised.iter().cloned().map(|mut raised| {
            if several {
                raised.sensor = format!("{}: {}", gateway.name, raised.sensor);
            }
            raised
        }));
        loads.push(SiteLoad {
            site: of.site.clone(),
            gateway: Some((*gateway).clone()),
            load: Load::of(raised, period),
        });
    }
    loads.sort_by_key(|gateway| std::cmp::Reverse(gateway.load.alerts));
    let whole = SiteLoad {
        site: of.site.clone(),
        gateway: None,
        load: Load::of(&all, period),
    };
    std::iter::once(whole).chain(loads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::event::Severity;
    use protocol::time::Timestamp;

    fn row(site: u128, gateway: u128, rule: &str, minute: i64) -> RaisedRow {
        RaisedRow {
            raised: Raised {
                rule: rule.to_owned(),
                sensor: "d/t".to_owned(),
                raised_at: Timestamp(minute * 60_000_000),
                severity: Severity::High,
                cleared_at: None,
            },
            gateway: Named {
                id: GatewayId(Uuid::from_u128(gateway)),
                name: format!("Box {gateway}"),
            },
            site: Named {
                id: SiteId(Uuid::from_u128(site)),
                name: format!("Site {site}"),
            },
        }
    }

    fn day() -> Period {
        Period {
            from: Timestamp(0),
            to: Timestamp(86_400_000_000),
            operators: 2,
        }
    }

    #[test]
    fn sites_come_with_their_gateways_the_busiest_first() {
        let mut rows: Vec<RaisedRow> = (0..10).map(|n| row(1, 1, "hot", n * 60)).collect();
        rows.extend((0..48).map(|n| row(2, 3, "hot", n * 20)));
        rows.extend((0..24).map(|n| row(2, 2, "hot", n * 20)));
        let loads = counted(&rows, day());
        let told: Vec<(&str, Option<&str>, usize)> = (loads.rows.iter())
            .map(|row| {
                let gateway = row.gateway.as_ref().map(|gateway| gateway.name.as_str());
                (row.site.name.as_str(), gateway, row.load.alerts)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("Site 2", None, 72),
                ("Site 2", Some("Box 3"), 48),
                ("Site 2", Some("Box 2"), 24),
                ("Site 1", None, 10),
                ("Site 1", Some("Box 1"), 10),
            ]
        );
        let site = &loads.rows[0].load;
        assert!((site.per_operator_hour - 72.0 / 24.0 / 2.0).abs() < 1e-9);
        let actors: Vec<&str> = site
            .bad_actors
            .iter()
            .map(|one| one.sensor.as_str())
            .collect();
        assert_eq!(actors, ["Box 3: d/t", "Box 2: d/t"]);
        assert_eq!(loads.rows[1].load.bad_actors[0].sensor, "d/t");
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted() {
        let many = u128::try_from(LOADS_MAX).unwrap();
        let rows: Vec<RaisedRow> = (1..=many).map(|n| row(n, n, "hot", 1)).collect();
        let loads = counted(&rows, day());
        assert_eq!((loads.rows.len(), loads.left_out), (LOADS_MAX, LOADS_MAX));
    }
}
