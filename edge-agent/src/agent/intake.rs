//! From the drivers' queue through the pipeline into the store's queue. Never waits for the
//! disk, but for a text that is new: what does not fit is counted and becomes a gap event.

use super::judge::SharedDetectors;
use super::ports::Built;
use super::texts::{TextGroup, Texts};
use crate::clock;
use crate::drivers::FromDriver;
use crate::health::Health;
use crate::pipeline::{GroupSpec, Pipeline, RawPoll, Watch};
use crate::storage::{NewEvent, PushError, Storage, StorageError};
use protocol::event::{Actor, Body, GapCause, GatewayEvent, RecordKind, RecordRef};
use protocol::id::{GatewayId, SensorId, StreamId};
use protocol::reading::GroupSchema;
use protocol::time::Timestamp;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How often losses are looked for; a gap ends when a whole period passed without one.
const LOSS_CHECK: Duration = Duration::from_secs(1);

/// The task between drivers and store.
pub(super) struct Intake {
    /// By the number that the drivers' polls carry; as many as are configured.
    groups: Groups,
    texts: Texts,
    detectors: SharedDetectors,
    storage: Storage,
    health: Arc<Health>,
    gateway: GatewayId,
    loss: Loss,
}

/// Groups by their number.
pub(super) type Groups = BTreeMap<usize, Group>;

/// One group on its way.
pub(super) struct Group {
    stream: StreamId,
    schema: Arc<GroupSchema>,
    pipeline: Pipeline,
    texts: Option<TextGroup>,
}

/// Groups that come and go while polls come in. What was queued before is taken in before.
pub(super) struct Change {
    /// Numbers of groups whose port was stopped.
    pub removed: Vec<Range<usize>>,
    /// Groups of ports that are about to start.
    pub added: Groups,
    /// The same as their drivers announced them.
    pub specs: Vec<GroupSpec>,
    /// Every sensor that there is from now on.
    pub sensors: HashSet<SensorId>,
    /// When nothing is thinned from now on, by group.
    pub watches: Vec<(usize, Vec<Watch>)>,
    /// Answered when it is done.
    pub done: oneshot::Sender<()>,
}

/// Losses since the last gap that was written down.
#[derive(Default)]
struct Loss {
    seen: u64,
    open: Option<(Timestamp, u64)>,
}

impl Intake {
    /// Without groups yet.
    pub(super) fn new(detectors: SharedDetectors, storage: &Storage, health: &Arc<Health>) -> Self {
        Self {
            detectors,
            groups: Groups::new(),
            texts: Texts::new(storage, health),
            storage: storage.clone(),
            health: Arc::clone(health),
            gateway: storage.gateway_id(),
            loss: Loss::default(),
        }
    }

    /// Takes up the groups of a port before the intake runs; answers what the judge has to know.
    pub(super) async fn add(
        &mut self,
        port: &Built,
    ) -> Result<Vec<(StreamId, Arc<GroupSchema>)>, StorageError> {
        let (groups, schemas) = register(port, self.gateway, &self.storage).await?;
        self.texts.add(port.groups.iter()).await?;
        self.groups.extend(groups);
        Ok(schemas)
    }

    /// Runs until all drivers have ended.
    pub(super) async fn run(
        mut self,
        mut queue: mpsc::Receiver<FromDriver>,
        mut changes: mpsc::Receiver<Change>,
    ) {
        let mut check = tokio::time::interval(LOSS_CHECK);
        let mut before = clock::now();
        loop {
            tokio::select! {
                told = queue.recv() => match told {
                    Some(told) => self.take(told).await,
                    None => return,
                },
                Some(change) = changes.recv() => {
                    while let Ok(told) = queue.try_recv() {
                        self.take(told).await;
                    }
                    self.change(change).await;
                }
                _ = check.tick() => {
                    self.look_for_losses(before).await;
                    before = clock::now();
                }
            }
        }
    }

    async fn take(&mut self, told: FromDriver) {
        match told {
            FromDriver::Poll(poll) => self.poll(poll).await,
            FromDriver::Device(report) => {
                let report = self.texts.beside(report);
                tracing::info!(device = report.device, state = ?report.state, words = report.words);
                self.health.device(report);
            }
        }
    }

    async fn change(&mut self, change: Change) {
        for numbers in change.removed {
            self.groups.retain(|number, _| !numbers.contains(number));
        }
        self.texts.keep_only(&change.sensors);
        if let Err(error) = self.texts.add(change.specs.iter()).await {
            tracing::error!(
                %error,
                "words of sensors could not be loaded or kept; start the agent again to try once more"
            );
        }
        self.groups.extend(change.added);
        for (number, watches) in change.watches {
            if let Some(group) = self.groups.get_mut(&number) {
                group.pipeline.watch(&watches);
            }
        }
        if change.done.send(()).is_err() {
            tracing::debug!("nobody waits any more for groups to change");
        }
    }

    async fn poll(&mut self, mut raw: RawPoll) {
        let Some(group) = self.groups.get_mut(&raw.group) else {
            tracing::error!(
                group = raw.group,
                "a driver delivered a group that it did not announce"
            );
            return;
        };
        if let Some(texts) = &group.texts
            && let Some(report) = self.texts.keep(texts, &mut raw).await
        {
            tracing::error!(device = report.device, words = report.words);
            self.health.device(report);
        }
        let Some(poll) = group.pipeline.step(&raw, raw.clock) else {
            return;
        };
        // Whoever is to be told of an alert does not wait for the tick of the store.
        let is_urgent = self.detectors.foresee(&group.schema, &poll);
        match self.storage.push_with(group.stream, poll, is_urgent) {
            Ok(()) => {}
            Err(PushError::Full | PushError::Stopped) => self.health.poll_dropped(),
            Err(error) => tracing::error!(%error, group = raw.group, "a poll could not be stored"),
        }
    }

    async fn look_for_losses(&mut self, since: Timestamp) {
        let total = self.health.dropped_polls();
        let new = total - self.loss.seen;
        self.loss.seen = total;
        if new > 0 {
            let (_, polls) = self.loss.open.get_or_insert((since, 0));
            if *polls == 0 {
                tracing::error!("the box cannot store as fast as it reads; polls are dropped");
            }
            *polls += new;
            return;
        }
        let Some((from, polls)) = self.loss.open.take() else {
            return;
        };
        let (record, to) = (
            RecordRef {
                kind: RecordKind::Gateway,
                id: self.gateway.0,
            },
            since,
        );
        let body = Body::Gateway(GatewayEvent::Gap {
            from,
            to,
            polls,
            cause: GapCause::QueueFull,
        });
        let actor = Actor::System("edge-agent".to_owned());
        let written: Result<_, StorageError> = self
            .storage
            .records(move |tx| {
                tx.append(NewEvent {
                    id: None,
                    actor,
                    record,
                    body,
                })
            })
            .await;
        if written.is_err() {
            // The gap stays open and is written down with the next try.
            self.loss.open = Some((from, polls));
        }
    }
}

/// Registers the groups of a port with the store. A group that was registered before, unchanged, goes
/// on in its stream.
pub(super) async fn register(
    port: &Built,
    gateway: GatewayId,
    storage: &Storage,
) -> Result<(Groups, Vec<(StreamId, Arc<GroupSchema>)>), StorageError> {
    let (mut groups, mut schemas) = (Groups::new(), Vec::new());
    for (number, group) in (port.base..).zip(&port.groups) {
        let schema = Arc::new(group.schema(gateway));
        let stream = storage.register_group((*schema).clone()).await?;
        let taken = Group {
            stream,
            schema: Arc::clone(&schema),
            pipeline: Pipeline::new(group),
            texts: TextGroup::of(group, gateway),
        };
        groups.insert(number, taken);
        schemas.push((stream, schema));
    }
    Ok((groups, schemas))
}
