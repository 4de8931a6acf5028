//! What the judge is asked between two commits: to wait, to know new streams, to go on with other
//! rules. Never judges a reading.

use super::{Judge, OrderRules};
use crate::analysis::Detectors;
use crate::clock;
use crate::config::InUse;
use crate::work_orders::Policy;
use protocol::id::StreamId;
use protocol::reading::GroupSchema;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What the judge is asked between two commits.
#[derive(Debug)]
pub(in crate::agent) enum Ask {
    /// To answer when all that was committed before is judged.
    Settled(oneshot::Sender<()>),
    /// To know what the columns of these streams mean, before their first poll.
    Know(Vec<(StreamId, Arc<GroupSchema>)>),
    /// To go on with the rules of this configuration, and to answer then.
    Rules(Arc<InUse>, oneshot::Sender<()>),
}

impl Judge {
    /// The rules are others now. An alert whose rule stays for its sensor stays as it is; one whose
    /// rule is gone is cleared, for nothing would ever clear it.
    async fn change_rules(&mut self, config: &InUse) {
        let remembered = self.remembered();
        let mut detectors = Detectors::new(&config.rules, self.storage.gateway_id());
        detectors.restore(&remembered);
        *self.detectors.lock() = detectors;
        let bundle = self.storage.bundle();
        self.alarms.change_rules(config, bundle.as_deref());
        let retired = self.alarms.retire(clock::now(), clock::state());
        self.carry_out(retired).await;
        self.rules = Arc::new(OrderRules {
            policy: Policy::new(&config.rules),
            code: config.gateway.code.clone(),
        });
        self.save(clock::now()).await;
    }

    pub(super) async fn answer(&mut self, ask: Ask) {
        let answer = match ask {
            Ask::Settled(answer) => {
                self.save_all_learned().await;
                answer
            }
            Ask::Know(streams) => {
                for (stream, schema) in streams {
                    self.know(stream, schema);
                }
                return;
            }
            Ask::Rules(config, answer) => {
                self.change_rules(&config).await;
                answer
            }
        };
        if answer.send(()).is_err() {
            tracing::debug!("nobody waits any more for the judge");
        }
    }
}
