//! Keeps the box's certificate young, beside whatever the link does. Never touches a standing
//! connection: the new certificate counts from the next one on.

use super::{Backoff, Uplink, backoff, chain};
use crate::clock;
use crate::identity::{self, Identity};
use std::time::Duration;
use tokio::sync::Notify;

/// How often the certificate is looked at when there is nothing to do. The clock may have been set
/// meanwhile.
const LOOK: Duration = Duration::from_secs(60);
/// The boxes of a hub that has a new authority do not all ask at once.
const SPREAD: Duration = Duration::from_secs(20);
/// Longest wait between two attempts to renew; there are months for it.
const AGAIN_MAX: Duration = Duration::from_secs(3_600);

/// What the link and the renewal tell each other.
#[derive(Debug, Default)]
pub(super) struct Authorities {
    /// The hub has an authority that this box does not know.
    pub superseded: Notify,
    /// The box knows it now, and its certificate is of it: the link is to begin anew with that.
    pub renewed: Notify,
}

impl Uplink {
    /// Never ends.
    pub(super) async fn keep_identity(&self, authorities: &Authorities) {
        let mut again = Backoff::new(AGAIN_MAX);
        let mut is_superseded = false;
        loop {
            let wait = match self.due(is_superseded) {
                Some(identity) => {
                    let wait = self.renew(&identity, &mut again).await;
                    if is_superseded && wait == LOOK {
                        is_superseded = false;
                        authorities.renewed.notify_one();
                    }
                    wait
                }
                None => LOOK,
            };
            let enrolled = identity::enrolled_at(&self.identity);
            tokio::select! {
                () = self.rest(wait, enrolled) => {}
                () = authorities.superseded.notified(), if !is_superseded => {
                    tracing::info!("the hub has a new authority: this box asks for a certificate of it");
                    is_superseded = true;
                    tokio::time::sleep(backoff::part_of(SPREAD)).await;
                }
            }
        }
    }

    /// The identity, when it is to be renewed.
    fn due(&self, is_superseded: bool) -> Option<Identity> {
        // A damaged one is told by the link.
        let identity = Identity::load(&self.identity).ok().flatten()?;
        let at = identity::renew_at(&identity.certificate)?;
        (is_superseded || at <= clock::now()).then_some(identity)
    }

    async fn renew(&self, identity: &Identity, again: &mut Backoff) -> Duration {
        match identity::renew(&self.identity, &self.hub, identity).await {
            Ok(()) => {
                tracing::info!("the hub renewed this box's certificate");
                again.reset();
                LOOK
            }
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "this box's certificate is not renewed yet"
                );
                again.next_wait()
            }
        }
    }
}
