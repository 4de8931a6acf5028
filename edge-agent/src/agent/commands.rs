//! Does what the hub asks for, one thing at a time: judged by this box's own clock, written down
//! before it is begun, and never twice. What would be a physical act has its place in `Task` and is
//! not in this build.

use crate::clock;
use crate::config::HubConfig;
use crate::documents::Request;
use crate::health::Health;
use crate::identity::{self, Identity};
use crate::storage::{Storage, StorageError, TakenOn};
use protocol::catalog::Catalog;
use protocol::reading::Quality;
use protocol::sync::{Outcome, Task};
use protocol::time::{ClockState, Timestamp};
use protocol::view::rfc3339;
use protocol::wire::v1::CommandV1;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// How far the hub's clock may be ahead when it gives a command: beyond it, this clock cannot tell
/// when a command expires.
const BEHIND_MAX_US: i64 = 5 * 60 * 1_000_000;

/// What is needed to do what is asked.
pub(super) struct Commands {
    pub storage: Storage,
    pub health: Arc<Health>,
    pub catalog: watch::Receiver<Arc<Catalog>>,
    pub hub: HubConfig,
    pub identity: PathBuf,
    /// To whoever runs the agent.
    pub requests: mpsc::Sender<Request>,
    /// Told when there is a result.
    pub results: watch::Sender<()>,
}

type Ended = (Outcome, String);

impl Commands {
    /// Does what comes until `stop` turns true; what is being done then has no known end.
    pub(super) async fn run(
        self,
        mut commands: mpsc::Receiver<CommandV1>,
        mut stop: watch::Receiver<bool>,
    ) {
        let work = async {
            while let Some(command) = commands.recv().await {
                let id = command.id;
                if let Err(error) = self.one(command).await {
                    tracing::error!(%id, %error, "a command of the hub was not done");
                }
                self.results.send_replace(());
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn one(&self, command: CommandV1) -> Result<(), StorageError> {
        let id = command.id;
        let judged = judge(&command, clock::now(), clock::state());
        let ended = judged.as_ref().err().cloned();
        let expires = Timestamp(command.expires_us);
        let taken = self.storage.take_on(id, command.kind, expires, ended);
        match (taken.await?, judged) {
            (TakenOn::New, Ok(task)) => {
                tracing::info!(%id, by = command.by, task = task.word(), "a command of the hub");
                self.carry_out(command, task).await
            }
            (TakenOn::New, Err((outcome, words))) => {
                tracing::warn!(%id, outcome = outcome.word(), words, "a command is not done");
                Ok(())
            }
            (TakenOn::Known(_), _) => Ok(()),
            (TakenOn::Full, _) => {
                tracing::error!(%id, "too many results wait for the hub; it has to take them first");
                Ok(())
            }
        }
    }

    async fn carry_out(&self, command: CommandV1, task: Task) -> Result<(), StorageError> {
        let id = command.id;
        let (outcome, words) = match task {
            Task::Restart => {
                // The start after it writes down how it ended.
                if self.requests.send(Request::Restart(id)).await.is_ok() {
                    return Ok(());
                }
                (Outcome::Failed, "the agent is ending anyway".to_owned())
            }
            Task::RenewCertificate => self.renew().await,
            Task::Read { sensor } => self.read(&sensor),
        };
        self.storage.command_ended(id, outcome, words).await
    }

    async fn renew(&self) -> Ended {
        let renewed = match Identity::load(&self.identity) {
            Ok(Some(identity)) => identity::renew(&self.identity, &self.hub, &identity).await,
            Ok(None) => {
                let words = "this box is not enrolled, so it has no certificate";
                return (Outcome::Refused, words.to_owned());
            }
            Err(error) => Err(error),
        };
        match renewed {
            Ok(()) => {
                let words = "the certificate is new; it counts from the next connection on";
                (Outcome::Done, words.to_owned())
            }
            Err(error) => (Outcome::Failed, super::supervisor::chain(&error)),
        }
    }

    /// What the sensor showed last: drivers keep to their schedule.
    fn read(&self, path: &str) -> Ended {
        let catalog = Arc::clone(&self.catalog.borrow());
        let Some(sensor) = catalog.sensors.iter().find(|known| known.path == path) else {
            return (
                Outcome::Refused,
                format!("there is no sensor \"{path}\" on this box"),
            );
        };
        let Some(reading) = self.health.latest(sensor.id) else {
            let words = format!("{path} has not been read since the agent started");
            return (Outcome::Failed, words);
        };
        let value = reading.value.map_or("no value".to_owned(), |value| {
            format!("{value} {}", sensor.unit.symbol())
        });
        let quality = match reading.quality {
            Quality::Good => "good",
            Quality::Uncertain(_) => "uncertain",
            Quality::Bad(_) => "bad",
        };
        let words = format!("{path}: {value}, {quality}, at {}", rfc3339(reading.time));
        (Outcome::Done, words)
    }
}

/// What a command asks for, or why it is not done.
fn judge(command: &CommandV1, now: Timestamp, clock: ClockState) -> Result<Task, Ended> {
    let refused = |words: &str| (Outcome::Refused, words.to_owned());
    if clock == ClockState::Untrusted {
        return Err(refused(
            "this box does not know the time, so it cannot tell whether the command has expired; \
             set its clock and give the command again",
        ));
    }
    if command.issued_us - now.0 > BEHIND_MAX_US {
        return Err(refused(
            "this box's clock is more than 5 minutes behind the hub's, so it cannot tell when the \
             command expires; set one of the clocks and give the command again",
        ));
    }
    if now.0 >= command.expires_us {
        let words = format!(
            "it expired at {} before the box could do it",
            rfc3339(Timestamp(command.expires_us))
        );
        return Err((Outcome::Expired, words));
    }
    Task::from_wire(command.kind, &command.arguments).ok_or_else(|| {
        let kind = command.kind;
        refused(&format!(
            "this box does not know command {kind} with {} arguments; update it",
            command.arguments.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn command(kind: u16) -> CommandV1 {
        CommandV1 {
            id: Uuid::from_u128(1),
            kind,
            arguments: vec![],
            issued_us: 1_000_000_000,
            expires_us: 1_060_000_000,
            by: "Eva".into(),
        }
    }

    #[test]
    fn only_what_is_in_time_and_known_is_done() {
        let at = |now, clock, kind| {
            judge(&command(kind), Timestamp(now), clock).map_err(|(outcome, _)| outcome)
        };
        let good = ClockState::Holdover;
        assert_eq!(at(1_000_000_000, good, 1), Ok(Task::Restart));
        assert_eq!(at(1_059_999_999, good, 1), Ok(Task::Restart));
        assert_eq!(at(1_060_000_000, good, 1), Err(Outcome::Expired));
        assert_eq!(
            at(1_000_000_000 - BEHIND_MAX_US, good, 1),
            Ok(Task::Restart)
        );
        assert_eq!(
            at(999_999_999 - BEHIND_MAX_US, good, 1),
            Err(Outcome::Refused)
        );
        assert_eq!(
            at(1_000_000_000, ClockState::Untrusted, 1),
            Err(Outcome::Refused)
        );
        assert_eq!(at(1_000_000_000, good, 900), Err(Outcome::Refused));
        assert_eq!(at(1_000_000_000, good, 3), Err(Outcome::Refused));
    }
}
