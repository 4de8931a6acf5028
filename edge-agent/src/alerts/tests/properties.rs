//! Whatever comes in whatever order, and wherever the agent is killed: never two alerts of a rule that
//! are not closed, never an urgent one that is held back, every shelf ends, nothing written twice.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Read(usize, f64),
    Wait(i64),
    Acknowledge(usize),
    Reset(usize),
    Shelve(usize, i64),
    Unshelve(usize),
    OutOfService(usize),
    InService(usize),
    Maintain(bool),
    SetClock(i64),
    Kill,
}

const RULES: [&str; 4] = ["a", "b", "c", "down"];

fn step() -> impl Strategy<Value = Step> {
    let rule = 0..RULES.len();
    prop_oneof![
        8 => (rule.clone(), prop_oneof![Just(90.0), Just(60.0)])
            .prop_map(|(rule, value)| Step::Read(rule, value)),
        4 => prop_oneof![1_i64..20, 20_i64..900].prop_map(Step::Wait),
        2 => rule.clone().prop_map(Step::Acknowledge),
        1 => rule.clone().prop_map(Step::Reset),
        1 => (rule.clone(), 1_i64..200).prop_map(|(rule, minutes)| Step::Shelve(rule, minutes)),
        1 => rule.clone().prop_map(Step::Unshelve),
        1 => rule.clone().prop_map(Step::OutOfService),
        2 => rule.prop_map(Step::InService),
        1 => any::<bool>().prop_map(Step::Maintain),
        1 => prop_oneof![-90_000_i64..90_000, Just(-400 * 86_400), Just(400 * 86_400)]
            .prop_map(Step::SetClock),
        1 => Just(Step::Kill),
    ]
}

fn plant() -> Plant {
    let rest = rule("a", "a", "high", "latch = true\nfirst_out = \"g\"")
        + &rule("b", "b", "medium", "re_alarm = \"5m\"\nfirst_out = \"g\"")
        + &rule(
            "c",
            "c",
            "low",
            "suppress_while = \"d/b > 80 and not alert a\"\nstart_up = \"1m\"",
        )
        + &rule("down", "down", "critical", "outage = \"device\"");
    Plant::new(config(&["a", "b", "c", "down"], &rest))
}

impl Plant {
    fn play(&mut self, step: &Step) {
        let id_of = |plant: &Self, rule: &str| {
            let alerts = plant
                .open()
                .into_iter()
                .filter(|alert| alert.raised.rule == rule);
            alerts.map(|alert| alert.id).next()
        };
        match step {
            Step::Read(rule, value) => {
                self.now = self.now.plus_micros(1_000_000);
                self.read(&[(RULES[*rule], *value)]);
            }
            Step::Wait(seconds) => {
                self.now = self.now.plus_micros(seconds * 1_000_000);
                self.tick();
            }
            Step::Acknowledge(rule) => {
                if let Some(id) = id_of(self, RULES[*rule]) {
                    self.acknowledge(id);
                }
            }
            Step::Reset(rule) => {
                if let Some(id) = id_of(self, RULES[*rule]) {
                    self.person(id.into(), Body::Alert(AlertEvent::Reset { note: None }));
                }
            }
            Step::Shelve(rule, minutes) => self.shelve(RULES[*rule], *minutes),
            Step::Unshelve(rule) => {
                self.on_point(RULES[*rule], AlarmPointEvent::Unshelved { note: None });
            }
            Step::OutOfService(rule) => {
                let (rule, reason) = (RULES[*rule].to_owned(), "broken".to_owned());
                let sensor_path = format!("d/{rule}");
                let event = AlarmPointEvent::OutOfService {
                    rule: rule.clone(),
                    sensor_path,
                    reason,
                };
                self.on_point(&rule, event);
            }
            Step::InService(rule) => {
                self.on_point(RULES[*rule], AlarmPointEvent::InService { note: None });
            }
            Step::Maintain(on) => {
                let of = Maintained::Asset("P-1".into());
                let event = if *on {
                    let until = Some(self.now.plus_micros(600_000_000));
                    AlarmPointEvent::MaintenanceBegan {
                        of: of.clone(),
                        reason: "x".into(),
                        until,
                    }
                } else {
                    AlarmPointEvent::MaintenanceEnded { note: None }
                };
                self.maintain(&of, event);
            }
            Step::SetClock(seconds) => self.now = self.now.plus_micros(seconds * 1_000_000),
            Step::Kill => {
                let (saved, detectors) = (self.alarms.save(), self.detectors.save());
                self.restart(saved, &detectors);
                self.settle();
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let alerts = self.alerts();
        for rule in RULES {
            let of = |alert: &&Alert| alert.raised.rule == rule;
            let open = alerts
                .iter()
                .filter(of)
                .filter(|a| a.state() != AlertState::Closed);
            prop_assert!(
                open.count() <= 1,
                "{rule} has two alerts that are not closed"
            );
        }
        for alert in alerts
            .iter()
            .filter(|alert| alert.raised.severity >= Severity::High)
        {
            let at_once = |n: &Notice| n.alert == Some(alert.id) && n.time == alert.raised_at;
            prop_assert!(self.notices.iter().any(at_once), "{alert:?} was held back");
        }
        for alert in &alerts {
            let refused = alert
                .history
                .iter()
                .find(|line| !line.applied && !line.by_person);
            prop_assert!(
                refused.is_none(),
                "the box wrote what the fold refuses: {refused:?}"
            );
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_promises_hold(steps in prop::collection::vec(step(), 1..60)) {
        let mut plant = plant();
        for step in &steps {
            plant.play(step);
        }
        plant.check()?;
        // However long: in the end no shelf stands.
        for _ in 0..10 {
            plant.now = plant.now.plus_micros(3_600_000_000);
            plant.tick();
        }
        plant.check()?;
        let shelved = plant.points().into_iter().filter(|point| point.shelved.is_some());
        prop_assert_eq!(shelved.count(), 0);
    }

    /// Killed after any reading, with what was saved before any earlier one: the readings since then,
    /// judged again, write the same events and tell the same notices.
    #[test]
    fn readings_that_are_judged_again_write_and_tell_the_same(
        values in prop::collection::vec((0..RULES.len(), prop_oneof![Just(90.0), Just(60.0)]), 1..60),
        save in 0_usize..60, kill in 0_usize..60
    ) {
        let kill = kill.min(values.len());
        let save = save.min(kill);
        let read = |plant: &mut Plant, range: std::ops::Range<usize>| {
            for at in range {
                let (rule, value) = values[at];
                plant.now = second(i64::try_from(at).unwrap() * 7);
                plant.read(&[(RULES[rule], value)]);
            }
        };
        let mut straight = plant();
        read(&mut straight, 0..values.len());
        let mut killed = plant();
        read(&mut killed, 0..save);
        let saved = (killed.alarms.save(), killed.detectors.save());
        read(&mut killed, save..kill);
        killed.restart(saved.0, &saved.1);
        read(&mut killed, save..kill);
        killed.settle();
        read(&mut killed, kill..values.len());
        let ids = |plant: &Plant| plant.events.keys().copied().collect::<Vec<_>>();
        prop_assert_eq!(ids(&killed), ids(&straight));
        let told = |plant: &Plant| {
            let ids = plant.notices.iter().map(|notice| notice.id);
            ids.collect::<std::collections::BTreeSet<_>>()
        };
        prop_assert_eq!(told(&killed), told(&straight));
    }
}
