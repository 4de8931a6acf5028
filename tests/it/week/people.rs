//! People and their phones. Each person signs in with the PIN that the hub gave them, again when a session is over;
//! a phone tries again with the same key until it is answered, as the page does. Without the LAN it keeps what was done, in
//! order, and sends it later, each twice: an answer may have been lost.

use crate::plant::{Plant, now, text};
use anyhow::{Context as _, Result, bail, ensure};
use harness::{Api, Scratch, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

pub(super) const ANNA: &str = "Anna Berg";
pub(super) const BERT: &str = "Bert Kurz";
pub(super) const CARLA: &str = "Carla Diaz";

/// Longest wait for an answer, with all tries.
const DEADLINE: Duration = Duration::from_secs(60);

/// PINs by name.
pub(super) type Pins = BTreeMap<&'static str, String>;

/// Has the hub know the three, and waits until the box asks for their PINs.
pub(super) fn hired(scratch: &Scratch, plant: &Plant) -> Result<Pins> {
    let people = [ANNA, BERT, CARLA];
    let rows = people.map(|name| format!("{name},technician\n")).concat();
    let file = scratch.file("people.csv");
    scratch.write("people.csv", &format!("name,role\n{rows}"))?;
    let file = file.display().to_string();
    let hub = &plant.hub;
    let import = [
        "reference",
        "import",
        &file,
        "--kind",
        "people",
        "--site",
        "North works",
    ];
    hub.cli(&[&import[..], &["--write", "--json"]].concat())?;
    let mut pins = Pins::new();
    for name in people {
        let made = hub.cli(&["user", "pin", name, "--json"])?;
        pins.insert(name, text(&made, "/pin")?.to_owned());
    }
    wait_for("the people on the box, with their PINs", DEADLINE, || {
        let session = plant.here.get("/session")?;
        let there = session["people"]
            .as_array()
            .is_some_and(|people| people.len() == pins.len());
        // The last PIN is there when its owner gets in.
        if !there {
            bail!("{session}");
        }
        for (name, pin) in &pins {
            plant.here.sign_in_pin(name, pin)?;
        }
        Ok(Some(()))
    })?;
    Ok(pins)
}

pub(super) struct Phone {
    page: Api,
    pins: Pins,
    signed_in: BTreeMap<&'static str, Api>,
    has_lan: bool,
    queue: Vec<Act>,
    done: Vec<Uuid>,
}

struct Act {
    key: Uuid,
    by: &'static str,
    path: String,
    body: Value,
}

impl Phone {
    pub(super) fn new(page: &Api, pins: &Pins) -> Self {
        Self {
            page: page.clone(),
            pins: pins.clone(),
            signed_in: BTreeMap::new(),
            has_lan: true,
            queue: Vec::new(),
            done: Vec::new(),
        }
    }

    pub(super) fn acknowledge(&mut self, by: &'static str, alert: &str) -> Result<()> {
        self.send(
            by,
            format!("/alerts/{alert}/actions/acknowledge"),
            json!({}),
        )
    }

    pub(super) fn act(
        &mut self,
        by: &'static str,
        order: &str,
        action: &str,
        body: Value,
    ) -> Result<()> {
        self.send(by, format!("/work-orders/{order}/actions/{action}"), body)
    }

    pub(super) fn lose_the_lan(&mut self) {
        self.has_lan = false;
    }

    /// Sends what waited, in its order.
    pub(super) fn finds_the_lan(&mut self) -> Result<()> {
        self.has_lan = true;
        ensure!(!self.queue.is_empty(), "nothing waited");
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

    fn send(&mut self, by: &'static str, path: String, body: Value) -> Result<()> {
        let name = format!("{path} {body} {}", now()?.0);
        let mut body = body;
        body["by"] = json!(by);
        let key = Uuid::new_v5(&Uuid::nil(), name.as_bytes());
        let act = Act {
            key,
            by,
            path,
            body,
        };
        if !self.has_lan {
            self.queue.push(act);
            return Ok(());
        }
        self.post(&act)
    }

    fn post(&mut self, act: &Act) -> Result<()> {
        let answer = wait_for("an answer to a phone", DEADLINE, || {
            let page = self.page_of(act.by)?;
            let answer = page.try_post_once(&act.path, act.key, &act.body)?;
            match answer.status {
                // The session is over: the person signs in again, and the act is the same one.
                401 => {
                    self.signed_in.remove(act.by);
                    bail!("{answer:?}")
                }
                // Too slow for a server whose time runs faster: the same key is tried again.
                408 | 503 => bail!("{answer:?}"),
                _ => Ok(Some(answer)),
            }
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

    fn page_of(&mut self, by: &'static str) -> Result<Api> {
        if let Some(page) = self.signed_in.get(by) {
            return Ok(page.clone());
        }
        let pin = self.pins.get(by).context("nobody of that name has a PIN")?;
        let page = self.page.sign_in_pin(by, pin)?;
        self.signed_in.insert(by, page.clone());
        Ok(page)
    }
}
