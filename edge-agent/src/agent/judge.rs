//! Looks at what has been stored: latest values, detectors, alerts, work orders. What it decides
//! is written in one transaction and retried until it is; ids are derived from what happened, so
//! that judging the same readings again after a crash writes nothing twice.

mod asked;
mod capped;
mod known_time;
mod learned;
mod opened;
mod outbox;
mod people;
mod saved;
mod shared;

pub(super) use asked::Ask;
pub(super) use outbox::{NOTICES_MAX, Outbox};
pub(super) use shared::SharedDetectors;

use super::snapshots::{Due, Snapshots};
use crate::alerts::{Alarms, AlertStep, Notice, Outcome, PointStep};
use crate::analysis::{Detectors, Finding};
use crate::clock;
use crate::config::InUse;
use crate::health::Health;
use crate::storage::{Committed, NewEvent, RecordTx, Storage, StorageError};
use crate::uplink::Durable;
use crate::work_orders::{Alarm, Decision, NewOrder, Policy, Standing, cleared};
use known_time::KnownTime;
use learned::Learned;
use opened::Opened;
use protocol::bundle::Bundle;
use protocol::event::{Actor, AlertEvent, AlertRaised, Body, Snapshot, WorkOrderEvent};
use protocol::id::{AlertId, EventId, Origin, StreamId, WorkOrderId};
use protocol::reading::{GroupSchema, Poll, Reading, readings};
use protocol::time::Timestamp;
use saved::Saved;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// The judge's memory is saved at least this often while readings come.
const SAVE_PERIOD_US: i64 = 10_000_000;
/// The store refused: the next try.
const RETRY: Duration = Duration::from_secs(1);
const STATE_KEY: &str = "judge";

/// When an alert opens an order, and the prefix of its number until the hub gives one.
#[derive(Debug)]
struct OrderRules {
    policy: Policy,
    code: String,
}

/// The judge.
#[derive(Debug)]
pub(super) struct Judge {
    storage: Storage,
    health: Arc<Health>,
    rules: Arc<OrderRules>,
    schemas: HashMap<StreamId, Arc<GroupSchema>>,
    /// This opening of the store.
    incarnation: u32,
    detectors: SharedDetectors,
    alarms: Alarms,
    snapshots: Snapshots,
    marks: BTreeMap<StreamId, u64>,
    last_time: Option<Timestamp>,
    saved_at: Timestamp,
    time: KnownTime,
    durable: watch::Sender<Durable>,
    outbox: Outbox,
    learned: Learned,
    /// The hub's list of the site.
    bundle: watch::Receiver<Option<Arc<Bundle>>>,
}

impl Judge {
    /// Takes up what was saved. The readings since then are to be judged again, then `settle`.
    pub(super) async fn new(
        config: &InUse,
        storage: Storage,
        health: Arc<Health>,
        (begun, is_waiting): (clock::Begun, bool),
        outbox: Outbox,
    ) -> Result<Self, StorageError> {
        let gateway = storage.gateway_id();
        let bytes = storage.load_state(STATE_KEY.to_owned()).await?;
        let saved = bytes.and_then(|bytes| Saved::decode(&bytes));
        let knows_nothing = saved.is_none();
        let saved = saved.unwrap_or_default();
        let was_untrusted = saved.untrusted.as_ref() == Some(&begun.boot);
        let time = KnownTime::new(begun, is_waiting, was_untrusted);
        let mut detectors = Detectors::new(&config.rules, gateway);
        detectors.restore(&learned::load(&storage).await?);
        detectors.restore(&saved.detectors);
        let mut alarms = Alarms::new(config, gateway);
        alarms.restore(saved.alarms);
        let mut bundle = storage.bundle_changes();
        alarms.know_assets(bundle.borrow_and_update().as_deref());
        let state = storage.sync_state().await?;
        let mut marks = saved.marks;
        marks.retain(|stream, _| state.streams.iter().any(|known| known.stream == *stream));
        // What the store holds already, the uplink asks for itself.
        let durable = Durable::default();
        let mut judge = Self {
            storage,
            health,
            rules: Arc::new(OrderRules {
                policy: Policy::new(&config.rules),
                code: config.gateway.code.clone(),
            }),
            schemas: HashMap::new(),
            detectors: SharedDetectors::new(detectors),
            alarms,
            snapshots: Snapshots::default(),
            marks,
            incarnation: state.incarnation,
            last_time: (saved.last_time > 0).then_some(Timestamp(saved.last_time)),
            saved_at: Timestamp::default(),
            time,
            durable: watch::Sender::new(durable),
            outbox,
            learned: Learned::default(),
            bundle,
        };
        judge.take_up_points().await?;
        if knows_nothing {
            judge.take_up_open_alerts().await?;
        }
        Ok(judge)
    }

    /// Holds what is remembered against the record, once the readings since the last save are
    /// judged. Not earlier: an alert that was raised after the save is not known while the calm
    /// readings before it are judged again, and must not be cleared by them.
    pub(super) async fn settle(&mut self) -> Result<(), StorageError> {
        self.take_up_relearned().await?;
        self.take_up_points().await?;
        self.take_up_open_alerts().await?;
        let retired = self.alarms.retire(clock::now(), clock::state());
        self.carry_out(retired).await;
        let policy = &self.rules.policy;
        self.snapshots.take_up(&self.storage, policy).await?;
        // Committed with the first polls at the latest: whoever starts after a kill has both.
        self.save(clock::now()).await;
        // What was told last may not have come to whoever tells people.
        self.outbox.hand_on(self.alarms.standing_notices());
        Ok(())
    }

    /// What the columns of a stream mean.
    pub(super) fn know(&mut self, stream: StreamId, schema: Arc<GroupSchema>) {
        self.schemas.insert(stream, schema);
    }

    /// Told whenever something became durable.
    pub(super) fn durable(&self) -> watch::Receiver<Durable> {
        self.durable.subscribe()
    }

    /// How far a stream has been judged.
    pub(super) fn mark(&self, stream: StreamId) -> u64 {
        self.marks.get(&stream).copied().unwrap_or(0)
    }

    fn origin(&self) -> Origin {
        Origin::Gateway(self.storage.gateway_id())
    }

    /// Time of the newest reading judged.
    pub(super) const fn last_time(&self) -> Option<Timestamp> {
        self.last_time
    }

    /// Runs until the store is closed. Who asks on `asked` is answered when all that was
    /// committed before is judged.
    pub(super) async fn run(
        mut self,
        mut batches: mpsc::Receiver<Committed>,
        mut asked: mpsc::Receiver<Ask>,
    ) {
        let mut changes = self.storage.changes();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                // What is committed comes first, so that an answer to `asked` is true.
                biased;
                committed = batches.recv() => {
                    let Some(committed) = committed else { return };
                    for batch in committed.batches {
                        self.judge(batch.stream, batch.first_seq, &batch.polls).await;
                    }
                }
                Some(ask) = asked.recv() => self.answer(ask).await,
                change = changes.recv() => {
                    self.tell_durable(&change);
                    self.follow_people(change).await;
                }
                _ = tick.tick() => {
                    self.look_at_clock().await;
                    self.look_at_time().await;
                    self.look_at_alarms().await;
                    self.snapshots.take_due(&self.storage, clock::now()).await;
                }
            }
        }
    }

    /// Once a second: what time alone means for alerts, and notices that found the channel full.
    async fn look_at_alarms(&mut self) {
        let now = clock::now();
        // An error says that the store has ended: then there is nothing new.
        if self.bundle.has_changed().unwrap_or(false) {
            let bundle = self.bundle.borrow_and_update().clone();
            self.alarms.know_assets(bundle.as_deref());
        }
        let outcome = self.alarms.tick(now, clock::state());
        if !outcome.is_empty() {
            self.carry_out(outcome).await;
            self.save(now).await;
        }
        self.outbox.hand_on([]);
    }

    /// Judges polls of one stream, in order.
    pub(super) async fn judge(&mut self, stream: StreamId, first_seq: u64, polls: &[Poll]) {
        let Some(schema) = self.schemas.get(&stream).cloned() else {
            return;
        };
        let polls = self.time.known(polls);
        let batch: Vec<Reading> = polls
            .iter()
            .flat_map(|poll| readings(&schema, poll))
            .collect();
        for reading in &batch {
            self.alarms.read(reading);
        }
        let mut findings: Vec<Finding> = batch
            .iter()
            .flat_map(|reading| self.detectors.lock().step(reading))
            .collect();
        self.alarms.sort(&mut findings);
        let newest = polls.iter().map(|poll| poll.time).max();
        self.last_time = self.last_time.max(newest);
        let count = u64::try_from(polls.len()).unwrap_or(0);
        let last = first_seq.saturating_add(count).saturating_sub(1);
        self.marks.insert(stream, last);
        let found = !findings.is_empty();
        for finding in findings {
            let outcome = self.alarms.follow(&finding);
            self.carry_out(outcome).await;
        }
        // Shown after it was judged: who sees a value also sees the alert that it raised.
        for reading in batch {
            self.health.reading(reading);
        }
        self.durable.send_modify(|durable| {
            durable.streams.insert(stream, last);
        });
        let now = clock::now();
        if found || now.micros_since(self.saved_at).abs() >= SAVE_PERIOD_US {
            self.save(now).await;
        }
    }

    async fn save(&mut self, now: Timestamp) {
        self.saved_at = now;
        let Some(bytes) = self.saved() else {
            return;
        };
        if let Err(error) = self.storage.save_state(STATE_KEY.to_owned(), bytes).await {
            // After a restart the readings since the last save are judged again: nothing is lost.
            tracing::warn!(%error, "the state of the rules could not be saved; it is tried again");
        }
    }

    /// Writes what came of a finding, an act of people or the time, and has people told then.
    async fn carry_out(&mut self, outcome: Outcome) {
        if outcome.is_empty() {
            return;
        }
        let mut around = BTreeMap::new();
        for step in &outcome.alerts {
            if let AlertEvent::Raised(raised) = &step.event {
                around.insert(step.alert, self.around(raised, step.time).await);
            }
        }
        let of_orders = self.write((outcome.alerts, outcome.points), around).await;
        self.outbox
            .hand_on(outcome.notices.into_iter().chain(of_orders));
    }

    /// Readings before the alarm.
    async fn around(&self, raised: &AlertRaised, time: Timestamp) -> Vec<Snapshot> {
        let Some((before, _)) = self.rules.policy.window(&raised.rule) else {
            return Vec::new();
        };
        super::snapshots::read(&self.storage, raised, (before, Duration::ZERO), time)
            .await
            .into_iter()
            .collect()
    }

    /// Writes until it is written: an alarm is never lost to a full disk. What is to be told of
    /// orders that were opened.
    async fn write(
        &mut self,
        steps: Steps,
        around: BTreeMap<AlertId, Vec<Snapshot>>,
    ) -> Vec<Notice> {
        if steps.0.is_empty() && steps.1.is_empty() {
            return Vec::new();
        }
        // The hub may have given another prefix since the start.
        let site = self.storage.site().await.ok().flatten();
        let code = site.map_or_else(|| self.rules.code.clone(), |site| site.gateway_code);
        loop {
            let (steps, around, code) = (steps.clone(), around.clone(), code.clone());
            let rules = Arc::clone(&self.rules);
            let written = self
                .storage
                .records(move |tx| {
                    let mut opened = Vec::new();
                    for step in &steps.0 {
                        opened.extend(take_step(tx, (&rules.policy, &code), step, &around)?);
                    }
                    for step in &steps.1 {
                        take_point_step(tx, step)?;
                    }
                    Ok::<_, StorageError>(opened)
                })
                .await;
            match written {
                Ok(opened) => {
                    let told = |opened: Opened| (opened.due, opened.notice);
                    let (due, notices) = opened.into_iter().map(told).unzip();
                    self.snapshots.add(due);
                    return notices;
                }
                Err(StorageError::Stopped) => return Vec::new(),
                Err(error) => {
                    tracing::error!(%error, "an alert could not be stored; it is tried again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// What is written in one transaction.
type Steps = (Vec<AlertStep>, Vec<PointStep>);

/// Writes one event of an alarm point.
fn take_point_step(tx: &mut RecordTx<'_>, step: &PointStep) -> Result<(), StorageError> {
    let new = NewEvent {
        id: Some(EventId(Uuid::new_v5(&step.point.0, step.name.as_bytes()))),
        actor: Actor::System(step.actor.clone()),
        record: step.point.into(),
        body: Body::AlarmPoint(step.event.clone()),
    };
    tx.append_at(new, step.time, step.clock)?;
    Ok(())
}

/// Writes one step of an alert and what follows from it for work orders.
fn take_step(
    tx: &mut RecordTx<'_>,
    (policy, code): (&Policy, &str),
    step: &AlertStep,
    around: &BTreeMap<AlertId, Vec<Snapshot>>,
) -> Result<Option<Opened>, StorageError> {
    let actor = Actor::System(step.rule.clone());
    let name = match &step.event {
        AlertEvent::Raised(_) => "raised".to_owned(),
        AlertEvent::Cleared { .. } => "cleared".to_owned(),
        AlertEvent::Superseded { .. } => "superseded".to_owned(),
        AlertEvent::Realarmed => format!("re-alarmed {}", step.time.0),
        _ => format!("{}", step.time.0),
    };
    let body = Body::Alert(step.event.clone());
    let id = Some(EventId(Uuid::new_v5(&step.alert.0, name.as_bytes())));
    let new = NewEvent {
        id,
        actor,
        record: step.alert.into(),
        body,
    };
    tx.append_at(new, step.time, step.clock)?;
    if let Some(described) = &step.described {
        let new = NewEvent {
            id: Some(EventId(Uuid::new_v5(&step.alert.0, b"described"))),
            actor: Actor::System(step.rule.clone()),
            record: step.alert.into(),
            body: Body::Alert(AlertEvent::Described(described.clone())),
        };
        tx.append_at(new, step.time, step.clock)?;
    }
    match &step.event {
        AlertEvent::Raised(raised) if tx.order_of_alert(step.alert)?.is_none() => {
            let snapshots = around.get(&step.alert).cloned().unwrap_or_default();
            open_or_join(tx, (policy, code), step, raised, snapshots)
        }
        AlertEvent::Cleared { .. } => {
            if let Some(order) = tx.order_of_alert(step.alert)? {
                let events = vec![cleared(step.alert)];
                append_order(tx, step, order.id, events)?;
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

fn open_or_join(
    tx: &mut RecordTx<'_>,
    (policy, code): (&Policy, &str),
    step: &AlertStep,
    raised: &AlertRaised,
    snapshots: Vec<Snapshot>,
) -> Result<Option<Opened>, StorageError> {
    let Some(key) = policy.dedupe_key(raised) else {
        return Ok(None);
    };
    let mut standing = Vec::new();
    for order in [tx.open_order_by_key(&key)?, tx.last_order_by_key(&key)?]
        .into_iter()
        .flatten()
    {
        let mut severities = BTreeMap::new();
        for alert in &order.alerts {
            if let Some(alert) = tx.alert(*alert)? {
                severities.insert(alert.id, alert.raised.severity);
            }
        }
        standing.extend(Standing::of(&order, |alert| {
            severities.get(&alert).copied()
        }));
    }
    let id = WorkOrderId(Uuid::new_v5(&step.alert.0, b"work order"));
    let alarm = Alarm {
        id: step.alert,
        raised,
        now: tx.now(),
    };
    let new = NewOrder { id, snapshots };
    let (order, mut events) = match policy.decide(alarm, &standing, new) {
        Decision::Nothing => return Ok(None),
        Decision::Opened(..) if capped::tell(tx, policy, step, &raised.rule)? => return Ok(None),
        Decision::Opened(order, events)
        | Decision::Joined(order, events)
        | Decision::CoolingDown(order, events) => (order, events),
    };
    let mut made = None;
    for event in &mut events {
        if let WorkOrderEvent::Created(created) = event {
            created.number = tx.next_order_number(code)?;
            made = Some(created.clone());
        }
    }
    append_order(tx, step, order, events)?;
    let window = policy.window(&raised.rule);
    let (Some(created), Some(window)) = (made, window) else {
        return Ok(None);
    };
    let due = Due {
        order,
        raised: raised.clone(),
        time: step.time,
        window,
    };
    let notice = opened::notice(&due, step, &created);
    Ok(Some(Opened { due, notice }))
}

/// Appends events of an order whose ids follow from the alert and their place.
fn append_order(
    tx: &mut RecordTx<'_>,
    step: &AlertStep,
    order: WorkOrderId,
    events: Vec<WorkOrderEvent>,
) -> Result<(), StorageError> {
    for (at, event) in events.into_iter().enumerate() {
        let what = match &event {
            WorkOrderEvent::AlarmCleared { .. } => "cleared".to_owned(),
            _ => format!("raised {at}"),
        };
        let name = format!("{order}:{what}");
        let new = NewEvent {
            id: Some(EventId(Uuid::new_v5(&step.alert.0, name.as_bytes()))),
            actor: Actor::System(step.rule.clone()),
            record: order.into(),
            body: Body::WorkOrder(event),
        };
        tx.append_at(new, step.time, step.clock)?;
    }
    Ok(())
}
