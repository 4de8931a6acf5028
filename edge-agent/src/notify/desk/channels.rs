//! The channels at work: each a task with its queue, started and ended with the configuration. Never
//! sends anything itself.

use super::super::seat::{Channel, Queue, Seat};
use super::super::words::Language;
use super::super::{Built, ChannelState};
use super::{Desk, Running};
use crate::clock;
use crate::config::ChannelConfig;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::watch;

impl Desk {
    pub(super) fn start(&mut self, (config, channel): (ChannelConfig, Box<dyn Channel>)) {
        let (stop, stopped) = watch::channel(false);
        let queue = Queue::default();
        let seat = Seat {
            name: config.name.clone(),
            language: self.language,
            timeout: config.timeout,
            queue: queue.clone(),
            news: self.news.0.clone(),
            stop: stopped,
            now: clock::now,
        };
        let running = Running {
            queue,
            stop,
            task: tokio::spawn(channel.run(seat)),
            config: config.clone(),
        };
        self.running.insert(config.name, running);
    }

    /// Goes on with another configuration: channels whose table is the same go on.
    pub(super) async fn change(&mut self, built: Built) {
        let Built {
            channels,
            plan,
            language,
            ..
        } = built;
        let ended = self.ended_by(&channels, language);
        for name in &ended {
            let Some(running) = self.running.remove(name) else {
                continue;
            };
            running.stop.send_replace(true);
            let abort = running.task.abort_handle();
            if tokio::time::timeout(Duration::from_secs(5), running.task)
                .await
                .is_err()
            {
                abort.abort();
            }
        }
        while let Ok(news) = self.news.1.try_recv() {
            self.heard(news).await;
        }
        self.language = language;
        self.ladder.change_plan(plan);
        self.know();
        // What they did not come to is sent by their successors.
        self.ladder.put_back(&ended);
        for channel in channels {
            if !self.running.contains_key(&channel.0.name) {
                self.start(channel);
            }
        }
        self.show();
        self.is_dirty = true;
    }

    /// The channels that do not go on as they are.
    pub(super) fn ended_by(
        &self,
        next: &[(ChannelConfig, Box<dyn Channel>)],
        language: Language,
    ) -> Vec<String> {
        let same = |running: &Running| {
            language == self.language
                && next
                    .iter()
                    .any(|(config, _)| config.is_same(&running.config))
        };
        let ended = self.running.iter().filter(|(_, running)| !same(running));
        ended.map(|(name, _)| name.clone()).collect()
    }

    /// Takes up whom the hub knows.
    pub(super) fn know(&mut self) {
        if let Some(bundle) = self.storage.bundle() {
            self.ladder.know(&bundle);
        }
        let plan = self.ladder.plan().clone();
        *self
            .shared
            .plan
            .write()
            .unwrap_or_else(PoisonError::into_inner) = (plan, self.language);
    }

    /// For the page.
    pub(super) fn show(&self) {
        let states = self.running.values().map(|running| ChannelState {
            config: running.config.clone(),
            queue: running.queue.clone(),
        });
        *self
            .shared
            .states
            .write()
            .unwrap_or_else(PoisonError::into_inner) = states.collect();
    }
}
