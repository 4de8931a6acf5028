//! Both programs are killed again and again at random moments, with the uplink coming and going and
//! people working on both sides; afterwards the same must hold as after an undisturbed day. A
//! killed process keeps what the operating system has of it, so what is committed is what stands
//! in the box's file at the end.

use crate::plant::{ANNA, DEADLINE, Plant, recorded, text, time};
use crate::{alarms, readings, records};
use anyhow::{Context as _, Result, bail, ensure};
use harness::wait::pause;
use harness::{Agent, Answer, Api, Hub, PeerOptions, Relay, Scratch, in_scratch, wait_for};
use protocol::id::GatewayId;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Kills of each program; `KILLS` asks for another number.
const KILLS: u32 = 22;
/// The uplink on its good days: a mobile network with its losses.
const DELAY: Duration = Duration::from_millis(20);
const LOSS: f64 = 0.02;
const RATE_BYTES_PER_S: u64 = 500_000;
const QUEUE_BYTES: usize = 64 << 10;
/// The rows that are replayed over and over: calm, the collapse, and normal again.
const ROWS: std::ops::Range<usize> = 19_300..19_850;
/// Names the random moments of an earlier run, to try the same again.
const SEED: &str = "KILLS_SEED";

#[test]
fn kills() -> Result<()> {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().with_context(|| format!("{SEED}={seed}"))?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    let kills = match std::env::var("KILLS") {
        Ok(kills) => kills.parse().with_context(|| format!("KILLS={kills}"))?,
        Err(_) => KILLS,
    };
    println!("{SEED}={seed}");
    in_scratch("kills", |scratch| run(scratch, seed, kills))
}

fn run(scratch: &Scratch, seed: u64, kills: u32) -> Result<()> {
    let values = recorded()?.get(ROWS).context("too few rows")?.to_vec();
    let mut csv = String::from("value\n");
    for value in &values {
        writeln!(csv, "{value}")?;
    }
    let options = PeerOptions {
        csv: scratch.write("failure.csv", &csv)?,
        samples_per_s: 60.0,
        start_again: true,
        ..PeerOptions::default()
    };
    let mut plant = Plant::start(scratch, options)?;
    plant
        .relay
        .set(DELAY, LOSS, Some(RATE_BYTES_PER_S), QUEUE_BYTES);
    let begun = Instant::now();
    let written = disturb(&mut plant, seed, kills)?;
    plant.relay.restore();
    // On a slow way something new would always be under way.
    plant.relay.set(Duration::ZERO, 0.0, None, 1 << 20);
    plant.wait_until_in_sync()?;
    let disturbed = begun.elapsed();
    let (alerts, orders) = plant.come_to_rest()?;

    let (compared, groups) = readings::compare(&plant, &values)?;
    let events = records::compare_events(&plant)?;
    alarms::same(
        &alarms::expected(&readings::measured(plant.gateway, 1, &groups)?),
        &alerts,
    )?;
    one_order_for_all_alarms(&orders, &alerts)?;
    numbers_are_unique(&orders)?;
    for act in &written {
        let record = alerts.get(&act.record).or_else(|| orders.get(&act.record));
        let record = record.with_context(|| format!("{act:?} was answered and is gone"))?;
        let lines = records::history(record)?.iter();
        let times = lines.filter(|line| line["id"] == json!(act.key)).count();
        ensure!(
            times == 1,
            "{act:?} was answered and stands {times} times in {record}"
        );
    }
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: {kills} kills of each program in {:.0} s; {} readings in {} polls, {events} \
             events, {} answered acts, {} alarms in one order: all on both sides once and only once",
            disturbed.as_secs_f64(),
            compared.readings,
            compared.polls,
            written.len(),
            alerts.len(),
        );
    }
    Ok(())
}

/// An act of a person that a program answered with success.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Act {
    record: String,
    key: Uuid,
    what: String,
}

/// Kills, cuts and works at the same time until both programs were killed often enough, and gives
/// what people were told is done.
fn disturb(plant: &mut Plant, seed: u64, kills: u32) -> Result<Vec<Act>> {
    let over = AtomicBool::new(false);
    let Plant {
        agent,
        hub,
        relay,
        here,
        there,
        gateway,
        ..
    } = plant;
    std::thread::scope(|scope| {
        let over = &over;
        let agent = scope.spawn(move || kill_agent(agent, kills, Random(seed ^ 1)));
        let hub = scope.spawn(move || kill_hub(hub, kills, Random(seed ^ 2)));
        let link = scope.spawn(|| come_and_go(relay, over, Random(seed ^ 3)));
        let rest_ms = 200 * u64::from(kills.div_ceil(KILLS * 2));
        let people = Person::new(here, Random(seed ^ 4), (over, rest_ms));
        let here = scope.spawn(move || people.staff());
        let people = Person::new(there, Random(seed ^ 5), (over, rest_ms));
        let gateway = *gateway;
        let there = scope.spawn(move || people.planners(gateway));
        let killed = [agent.join(), hub.join()];
        over.store(true, Ordering::SeqCst);
        let worked = [here.join(), there.join()];
        link.join()
            .map_err(|_| anyhow::anyhow!("the link's thread panicked"))?;
        for ended in killed {
            ended.map_err(|_| anyhow::anyhow!("a killer panicked"))??;
        }
        let mut written = Vec::new();
        for ended in worked {
            written.extend(ended.map_err(|_| anyhow::anyhow!("a person panicked"))??);
        }
        Ok(written)
    })
}

/// Longest life between two kills: two and a half seconds, shorter where there are many.
const fn longest_ms(kills: u32) -> u64 {
    if kills > KILLS { 1_500 } else { 2_500 }
}

/// A start that is itself cut short one time in four, then life for a while.
fn kill_agent(agent: &mut Agent, kills: u32, mut random: Random) -> Result<()> {
    for kill in 0..kills {
        pause(random.up_to_ms(longest_ms(kills)));
        agent
            .kill9()
            .with_context(|| format!("kill {kill} of the agent"))?;
        if random.below(4) == 0 {
            agent.launch()?;
            pause(random.up_to_ms(300));
            agent.kill9()?;
        }
        agent
            .start()
            .with_context(|| format!("the agent after kill {kill}"))?;
    }
    Ok(())
}

fn kill_hub(hub: &mut Hub, kills: u32, mut random: Random) -> Result<()> {
    for kill in 0..kills {
        pause(random.up_to_ms(longest_ms(kills)));
        hub.kill9()
            .with_context(|| format!("kill {kill} of the hub"))?;
        if random.below(4) == 0 {
            hub.launch()?;
            pause(random.up_to_ms(300));
            hub.kill9()?;
        }
        hub.start_again()
            .with_context(|| format!("the hub after kill {kill}"))?;
    }
    Ok(())
}

/// The uplink is there for up to six seconds, then cut for up to four.
fn come_and_go(relay: &Relay, over: &AtomicBool, mut random: Random) {
    while !over.load(Ordering::SeqCst) {
        relay.restore();
        pause(random.up_to_ms(6_000));
        relay.cut();
        pause(random.up_to_ms(4_000));
        if random.below(3) == 0 {
            relay.rebind();
        }
    }
    relay.restore();
}

/// Somebody who works through one of the two interfaces and repeats what was not answered.
struct Person<'a> {
    side: &'a Api,
    random: Random,
    over: &'a AtomicBool,
    /// Longest rest between two acts: what people do in a longer run must not grow with it.
    rest_ms: u64,
    written: Vec<Act>,
    count: u64,
}

impl<'a> Person<'a> {
    fn new(side: &'a Api, random: Random, (over, rest_ms): (&'a AtomicBool, u64)) -> Self {
        Self {
            side,
            random,
            over,
            rest_ms,
            written: Vec::new(),
            count: 0,
        }
    }

    /// Anna on the box: makes orders, works on any, acknowledges alarms.
    fn staff(mut self) -> Result<Vec<Act>> {
        while !self.over.load(Ordering::SeqCst) {
            let body = json!({"by": ANNA, "title": format!("From the hall {}", self.count)});
            match self.random.below(3) {
                0 => self.act("", "/work-orders", &body)?,
                1 => {
                    if let Some(alert) = self.any("/alerts?state=open")? {
                        let path = format!("/alerts/{alert}/actions/acknowledge");
                        self.act(&alert, &path, &json!({"by": ANNA}))?;
                    }
                }
                _ => {
                    if let Some(order) = self.any("/work-orders?state=all")? {
                        let (action, body) = match self.random.below(5) {
                            0 => ("start", json!({"by": ANNA})),
                            1 => ("complete", json!({"by": ANNA, "remedy": "done"})),
                            2 => ("labour", json!({"by": ANNA, "minutes": 5})),
                            3 => ("reopen", json!({"by": ANNA, "reason": "not yet"})),
                            _ => ("comment", json!({"by": ANNA, "text": "seen"})),
                        };
                        let path = format!("/work-orders/{order}/actions/{action}");
                        self.act(&order, &path, &body)?;
                    }
                }
            }
            pause(self.random.up_to_ms(self.rest_ms));
        }
        Ok(self.written)
    }

    /// Paula at the hub: makes orders, changes, assigns, cancels and closes any.
    fn planners(mut self, gateway: GatewayId) -> Result<Vec<Act>> {
        while !self.over.load(Ordering::SeqCst) {
            let title = format!("From the office {}", self.count);
            if self.random.below(3) == 0 {
                let body = json!({"title": title, "gateway_id": gateway});
                self.act("", "/work-orders", &body)?;
            } else if let Some(order) = self.any("/work-orders?state=all")? {
                let path = format!("/work-orders/{order}");
                let (action, body) = match self.random.below(6) {
                    0 => ("assign", json!({"name": ANNA})),
                    1 => ("cancel", json!({"reason": "no need"})),
                    2 => ("close", json!({})),
                    3 => ("reopen", json!({"reason": "again"})),
                    4 => ("comment", json!({"text": "please"})),
                    _ => ("", json!({"title": title})),
                };
                let path = match action {
                    "" => path,
                    action => format!("{path}/actions/{action}"),
                };
                self.act(&order, &path, &body)?;
            }
            pause(self.random.up_to_ms(self.rest_ms));
        }
        Ok(self.written)
    }

    /// Does one thing, again and again under the same key until it is answered. A refusal (the
    /// order has moved on) is an answer too, only none that counts.
    fn act(&mut self, record: &str, path: &str, body: &Value) -> Result<()> {
        self.count += 1;
        let key = Uuid::from_u64_pair(self.random.next(), self.random.next());
        let change = !path.contains("/actions/") && path != "/work-orders";
        let answer = answered(|| {
            if change {
                self.side.try_patch_once(path, key, body)
            } else {
                self.side.try_post_once(path, key, body)
            }
        })?;
        match answer.status {
            200 | 201 => {
                let made = text(&answer.body, "/id")?.to_owned();
                ensure!(
                    record.is_empty() || record == made,
                    "{path} answered {}",
                    answer.body
                );
                let what = format!("{path} {body}");
                self.written.push(Act {
                    record: made,
                    key,
                    what,
                });
                Ok(())
            }
            409 => Ok(()),
            status => bail!("{path} {body} was answered with {status}: {}", answer.body),
        }
    }

    /// One of the newest records of a list.
    fn any(&mut self, path: &str) -> Result<Option<String>> {
        let page = answered(|| self.side.try_get(&format!("{path}&limit=50")))?.ok()?;
        let data = page["data"].as_array().context("no list")?;
        let Some(last) = data.len().checked_sub(1) else {
            return Ok(None);
        };
        let index = usize::try_from(self.random.below(u64::try_from(last)? + 1))?;
        Ok(Some(text(&data[index], "/id")?.to_owned()))
    }
}

/// Repeats a request while the program is away.
fn answered(request: impl Fn() -> Result<Answer>) -> Result<Answer> {
    wait_for(
        "an answer of a program that is killed and started",
        DEADLINE,
        || {
            let answer = request()?;
            ensure!(answer.status < 500, "{answer:?}");
            Ok(Some(answer))
        },
    )
}

fn one_order_for_all_alarms(orders: &records::Shown, alerts: &records::Shown) -> Result<()> {
    let by_rule: Vec<&Value> = orders
        .values()
        .filter(|order| !order["dedupe_key"].is_null())
        .collect();
    let [order] = by_rule.as_slice() else {
        bail!(
            "one order for one failure mode, not {}: {by_rule:#?}",
            by_rule.len()
        )
    };
    let of_order = order["alert_ids"].as_array().context("alert_ids")?;
    let ids: BTreeSet<&str> = of_order.iter().filter_map(Value::as_str).collect();
    let raised: BTreeSet<&str> = alerts.keys().map(String::as_str).collect();
    ensure!(!raised.is_empty(), "no alarm was raised");
    ensure!(
        ids == raised && of_order.len() == raised.len(),
        "the order joins {ids:?}, raised {raised:?}"
    );
    // It outlives a kill that the readings after the alarm are still to be added.
    let first = of_order
        .first()
        .and_then(Value::as_str)
        .and_then(|id| alerts.get(id));
    let raised_ms = time(first.context("no first alarm")?, "/raised_at")?.millis();
    let snapshots = order["snapshot"].as_array().context("no snapshot")?.iter();
    let points = snapshots
        .filter_map(|snapshot| snapshot["points"].as_array())
        .flatten();
    let after = points
        .filter(|point| point[0].as_i64() > Some(raised_ms))
        .count();
    ensure!(
        after > 0,
        "no readings after the alarm: {}",
        order["snapshot"]
    );
    Ok(())
}

fn numbers_are_unique(orders: &records::Shown) -> Result<()> {
    let mut numbers = BTreeSet::new();
    for order in orders.values() {
        ensure!(
            numbers.insert(text(order, "/number")?),
            "a number stands twice: {order}"
        );
    }
    Ok(())
}

/// A seeded generator (`SplitMix64`).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn up_to_ms(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }
}
