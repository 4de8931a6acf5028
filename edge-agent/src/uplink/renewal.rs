//! Keeps the box's certificate young, beside whatever the link does. Never touches a standing
//! connection: the new certificate counts from the next one on.

use super::{Backoff, Uplink, chain};
use crate::clock;
use crate::identity::{self, Identity};
use std::time::Duration;

/// How often the certificate is looked at when there is nothing to do. The clock may have been set
/// meanwhile.
const LOOK: Duration = Duration::from_secs(60);
/// Longest wait between two attempts to renew; there are months for it.
const AGAIN_MAX: Duration = Duration::from_secs(3_600);

impl Uplink {
    /// Never ends.
    pub(super) async fn keep_identity(&self) {
        let mut again = Backoff::new(AGAIN_MAX);
        loop {
            let wait = match self.due() {
                Some(identity) => self.renew(&identity, &mut again).await,
                None => LOOK,
            };
            let enrolled = identity::enrolled_at(&self.identity);
            self.rest(wait, enrolled).await;
        }
    }

    /// The identity, when it is to be renewed.
    fn due(&self) -> Option<Identity> {
        // A damaged one is told by the link.
        let identity = Identity::load(&self.identity).ok().flatten()?;
        let at = identity::renew_at(&identity.certificate)?;
        (at <= clock::now()).then_some(identity)
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
