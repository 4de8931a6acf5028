//! From the drivers' queue through the pipeline into the store's queue. Never waits for the
//! disk, but for a text that is new: what does not fit is counted and becomes a gap event.

use super::judge::Judge;
use super::texts::{TextGroup, Texts};
use crate::clock;
use crate::drivers::FromDriver;
use crate::health::Health;
use crate::pipeline::{GroupSpec, Pipeline, RawPoll};
use crate::storage::{NewEvent, PushError, Storage, StorageError};
use protocol::event::{Actor, Body, GapCause, GatewayEvent, RecordKind, RecordRef};
use protocol::id::{GatewayId, StreamId};
use protocol::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often losses are looked for; a gap ends when a whole period passed without one.
const LOSS_CHECK: Duration = Duration::from_secs(1);

/// The task between drivers and store.
pub(super) struct Intake {
    groups: Vec<Group>,
    texts: Texts,
    storage: Storage,
    health: Arc<Health>,
    gateway: GatewayId,
    loss: Loss,
}

/// One group on its way.
struct Group {
    stream: StreamId,
    pipeline: Pipeline,
    texts: Option<TextGroup>,
}

/// Losses since the last gap that was written down.
#[derive(Default)]
struct Loss {
    seen: u64,
    open: Option<(Timestamp, u64)>,
}

impl Intake {
    /// Registers every group with the store and the judge; also answers how many each port has.
    pub(super) async fn register(
        ports: &[Vec<GroupSpec>],
        gateway: GatewayId,
        storage: &Storage,
        health: &Arc<Health>,
        judge: &mut Judge,
    ) -> Result<(Self, Vec<usize>), StorageError> {
        let mut texts = Texts::new(storage, health);
        texts.add(ports.iter().flatten()).await?;
        let mut groups = Vec::new();
        for group in ports.iter().flatten() {
            let schema = group.schema(gateway);
            let stream = storage.register_group(schema.clone()).await?;
            judge.know(stream, schema);
            groups.push(Group {
                stream,
                pipeline: Pipeline::new(group),
                texts: TextGroup::of(group, gateway),
            });
        }
        let counts = ports.iter().map(Vec::len).collect();
        let intake = Self {
            groups,
            texts,
            storage: storage.clone(),
            health: Arc::clone(health),
            gateway,
            loss: Loss::default(),
        };
        Ok((intake, counts))
    }

    /// Runs until all drivers have ended.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<FromDriver>) {
        let mut check = tokio::time::interval(LOSS_CHECK);
        let mut before = clock::now();
        loop {
            tokio::select! {
                told = queue.recv() => match told {
                    Some(FromDriver::Poll(poll)) => self.poll(poll).await,
                    Some(FromDriver::Device(report)) => {
                        let report = self.texts.beside(report);
                        tracing::info!(device = report.device, state = ?report.state, words = report.words);
                        self.health.device(report);
                    }
                    None => return,
                },
                _ = check.tick() => {
                    self.look_for_losses(before).await;
                    before = clock::now();
                }
            }
        }
    }

    async fn poll(&mut self, mut raw: RawPoll) {
        let Some(group) = self.groups.get_mut(raw.group) else {
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
        match self.storage.push(group.stream, poll) {
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
