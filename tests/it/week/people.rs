//! People and their phones. A phone tries again with the same key until it is answered, as the page does; without
//! the LAN it keeps what was done, in order, and sends it later, each twice: an answer may have been lost.

use crate::plant::now;
use anyhow::{Result, bail, ensure};
use harness::{Api, wait_for};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

pub(super) const ANNA: &str = "Anna Berg";
pub(super) const BERT: &str = "Bert Kurz";
pub(super) const CARLA: &str = "Carla Diaz";

/// Longest wait for an answer, with all tries.
const DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Phone {
    page: Api,
    has_lan: bool,
    queue: Vec<Act>,
    done: Vec<Uuid>,
}

struct Act {
    key: Uuid,
    path: String,
    body: Value,
}

impl Phone {
    pub(super) fn new(page: &Api) -> Self {
        Self {
            page: page.clone(),
            has_lan: true,
            queue: Vec::new(),
            done: Vec::new(),
        }
    }

    pub(super) fn acknowledge(&mut self, by: &str, alert: &str) -> Result<()> {
        self.send(
            format!("/alerts/{alert}/actions/acknowledge"),
            json!({"by": by}),
        )
    }

    pub(super) fn act(&mut self, by: &str, order: &str, action: &str, body: Value) -> Result<()> {
        let mut body = body;
        body["by"] = json!(by);
        self.send(format!("/work-orders/{order}/actions/{action}"), body)
    }

    pub(super) fn lose_the_lan(&mut self) {
        self.has_lan = false;
    }

    /// Sends what waited, in its order.
    pub(super) fn finds_the_lan(&mut self) -> Result<()> {
        self.has_lan = true;
        for act in std::mem::take(&mut self.queue) {
            self.post(&act)?;
            self.post(&act)?;
        }
        Ok(())
    }

    /// The keys of all that was answered.
    pub(super) fn done(self) -> Vec<Uuid> {
        self.done
    }

    fn send(&mut self, path: String, body: Value) -> Result<()> {
        let name = format!("{path} {body} {}", now()?.0);
        let key = Uuid::new_v5(&Uuid::nil(), name.as_bytes());
        let act = Act { key, path, body };
        if !self.has_lan {
            self.queue.push(act);
            return Ok(());
        }
        self.post(&act)
    }

    fn post(&mut self, act: &Act) -> Result<()> {
        let answer = wait_for("an answer to a phone", DEADLINE, || {
            let answer = self.page.try_post_once(&act.path, act.key, &act.body)?;
            // Too slow for a server whose time runs faster: the same key is tried again.
            if matches!(answer.status, 408 | 503) {
                bail!("{answer:?}");
            }
            Ok(Some(answer))
        })?;
        ensure!(
            matches!(answer.status, 200 | 201),
            "{} {}: {answer:?}",
            act.path,
            act.body
        );
        if !self.done.contains(&act.key) {
            self.done.push(act.key);
        }
        Ok(())
    }
}
