//! The power of a box is cut: the real agent runs in a virtual machine on a disk with a volatile
//! cache, and all that anybody outside was told is safe must be on the disk afterwards: readings
//! and events that the hub holds, alerts and values that the page showed, acts that it answered.
//! The same test without `fsync` must see a loss, else it proves nothing. Needs qemu and a few
//! minutes, so that only `make test-power` runs it.

use crate::disks::integrity;
use crate::kills::Random;
use crate::plant::{ANNA, DEADLINE, now, text, time};
use crate::{readings, records};
use anyhow::{Context as _, Result, bail, ensure};
use harness::guest::{Guest, HOST, Machine, OWN, PAGE_PORT, Sync};
use harness::wait::pause;
use harness::{Agent, Api, Hub, Scratch, VolatileDisk, in_scratch, ports, wait_for};
use protocol::id::GatewayId;
use protocol::time::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// How many cuts; without it the power stays on.
const CUTS: &str = "POWER_CUTS";
/// Without `fsync` the first of at most so many cuts loses something.
const CUTS_WITHOUT_SYNC_MAX: u64 = 5;
/// Longest start of a guest: an emulated processor on a loaded machine.
const BOOT: Duration = Duration::from_secs(120);
/// Names the random moments of an earlier run.
const SEED: &str = "POWER_SEED";
const CODE: &str = "power-cut";
const DISK_MEGABYTES: u32 = 64;
/// What the page answers when the store could not do it.
const STORE_FAILED: u16 = 503;

#[test]
fn a_power_cut_loses_nothing_that_was_told_to_be_safe() -> Result<()> {
    let Some(cuts) = cuts()? else { return Ok(()) };
    in_scratch("power", |scratch| {
        let begun = Instant::now();
        let mut scene = Scene::prepare(scratch)?;
        let mut sum = Judged::default();
        for cut in 1..=cuts {
            let judged = scene.live_and_cut(Sync::Real)?;
            say(&format!("cut {cut}: {judged:?}"));
            ensure!(judged.losses.is_empty(), "cut {cut}: {:#?}", judged.losses);
            sum.add(judged);
        }
        scene.all_arrives()?;
        ensure!(
            sum.acts > 0 && sum.alerts > 0 && sum.unflushed > 0,
            "{sum:?}"
        );
        say(&format!(
            "measured: {cuts} power cuts in {:.0} s, {} unflushed sectors in the cache, {} lost; told to be \
             safe and on the disk: {} readings, {} events, {} acts, {} alerts and {} values shown; \
             integrity ok",
            begun.elapsed().as_secs_f64(),
            sum.unflushed,
            sum.lost,
            sum.readings,
            sum.events,
            sum.acts,
            sum.alerts,
            sum.values,
        ));
        Ok(())
    })
}

#[test]
fn without_sync_the_same_test_sees_a_loss() -> Result<()> {
    if cuts()?.is_none() {
        return Ok(());
    }
    in_scratch("power-off", |scratch| {
        let mut scene = Scene::prepare(scratch)?;
        for cut in 1..=CUTS_WITHOUT_SYNC_MAX {
            let judged = scene.live_and_cut(Sync::Off)?;
            if let Some(loss) = judged.losses.first() {
                say(&format!(
                    "measured: with fsync made a no-op (synchronous=OFF) cut {cut} loses: {loss}"
                ));
                return Ok(());
            }
        }
        bail!("{CUTS_WITHOUT_SYNC_MAX} cuts without fsync lost nothing: this test sees no loss")
    })
}

fn cuts() -> Result<Option<u64>> {
    let Ok(text) = std::env::var(CUTS) else {
        say("skipped: `make test-power` cuts the power");
        return Ok(None);
    };
    Ok(Some(
        text.parse().with_context(|| format!("{CUTS}={text}"))?,
    ))
}

#[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
fn say(words: &str) {
    println!("{words}");
}

/// The hub, which stays, and the disk of the box, which goes from guest to guest.
struct Scene {
    machine: Machine,
    image: PathBuf,
    socket: PathBuf,
    hub: Hub,
    there: Api,
    gateway: GatewayId,
    random: Random,
    /// Keys of acts that were answered in any of the guests.
    acts: BTreeSet<Uuid>,
}

/// What one run was told is safe, and what of it is not on the disk.
#[derive(Debug, Default)]
struct Judged {
    losses: Vec<String>,
    unflushed: usize,
    lost: usize,
    readings: usize,
    events: usize,
    acts: usize,
    alerts: usize,
    values: usize,
}

impl Judged {
    /// Readings, events and acts count over the whole life of the disk, the rest per run.
    fn add(&mut self, other: Self) {
        self.losses.extend(other.losses);
        self.unflushed += other.unflushed;
        self.lost += other.lost;
        self.readings = other.readings;
        self.events = other.events;
        self.acts = other.acts;
        self.alerts += other.alerts;
        self.values += other.values;
    }
}

/// What the page of the box showed and answered until the cut.
#[derive(Debug, Default)]
struct Seen {
    acts: BTreeSet<Uuid>,
    alerts: BTreeSet<Uuid>,
    /// When the newest shown value of a sensor was read.
    values: BTreeSet<Timestamp>,
}

impl Scene {
    fn prepare(scratch: &Scratch) -> Result<Self> {
        let seed = match std::env::var(SEED) {
            Ok(seed) => seed.parse().with_context(|| format!("{SEED}={seed}"))?,
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        };
        say(&format!("{SEED}={seed}"));
        let machine = Machine::prepare(&scratch.file("guest"))?;
        let hub = Hub::start(scratch)?;
        let there = hub.sign_in()?;
        let web = ports::free()?;
        let here = config(&hub.quic().to_string(), &format!("listen = \"{web}\""));
        let agent = Agent::prepare(scratch, "box", web, |_| here)?;
        agent.enrol(&hub.claim("North works", "Hall B", "HB")?)?;
        let gateways = there.list("/gateways")?;
        let gateway = text(gateways.first().context("no gateway")?, "/id")?.parse()?;
        let page = format!("listen = \"{OWN}:{PAGE_PORT}\"\naccess_code_file = \"access-code\"");
        let inside = config(&format!("{HOST}:{}", hub.quic().port()), &page);
        std::fs::write(agent.config(), inside).context("writing the guest's configuration")?;
        scratch.write("box/access-code", CODE)?;
        let image = machine.image(agent.folder(), DISK_MEGABYTES)?;
        Ok(Self {
            machine,
            image,
            socket: scratch.file("disk.socket"),
            hub,
            there,
            gateway,
            random: Random(seed),
            acts: BTreeSet::new(),
        })
    }

    /// Switches a guest on, lets it work, cuts its power, and compares.
    fn live_and_cut(&mut self, sync: Sync) -> Result<Judged> {
        let disk = VolatileDisk::start(&self.image, self.socket.clone())?;
        let mut guest = self.machine.start(&disk, sync)?;
        let page = wait_for_page(&mut guest)?;
        let over = AtomicBool::new(false);
        let (seen, cut) = std::thread::scope(|scope| {
            let acts = scope.spawn(|| staff(&page, &over));
            let look = scope.spawn(|| watch(&page, &over));
            // One time in three long enough for the journal to be sealed.
            let longest_ms = if self.random.below(3) == 0 {
                14_000
            } else {
                3_000
            };
            let life = self.random.up_to_ms(longest_ms) + Duration::from_millis(500);
            let lived = self.arrives(&mut guest).map(|()| pause(life));
            // Every other time in the middle of a commit: at one of its next writes.
            if self.random.below(2) == 0 {
                disk.cut_at_write(1 + self.random.below(12));
                let gone = || Ok((!disk.has_power()).then_some(()));
                wait_for("the guest to write", DEADLINE, gone)?;
            }
            let random = &mut self.random;
            let cut = disk.cut(|| random.below(2) == 0);
            over.store(true, Ordering::SeqCst);
            let killed = guest.qemu().kill9();
            let joined = acts
                .join()
                .map_err(|_| anyhow::anyhow!("the staff panicked"))??;
            let mut seen = look
                .join()
                .map_err(|_| anyhow::anyhow!("the watch panicked"))??;
            seen.acts = joined;
            lived.and(killed)?;
            Ok::<_, anyhow::Error>((seen, cut?))
        })?;
        self.acts.extend(seen.acts.iter().copied());
        let mut judged = match self.judge(&seen) {
            Ok(judged) => judged,
            // A store that cannot even be read has lost all.
            Err(error) => Judged {
                losses: vec![format!("{error:#}")],
                ..Judged::default()
            },
        };
        (judged.unflushed, judged.lost) = (cut.unflushed, cut.lost);
        Ok(judged)
    }

    /// Waits until the hub gets further readings.
    fn arrives(&self, guest: &mut Guest) -> Result<()> {
        let count = || {
            let gateway = self.there.get(&format!("/gateways/{}", self.gateway))?;
            gateway["readings"]
                .as_u64()
                .context("no number of readings")
        };
        let before = count()?;
        let what = "readings of the guest at the hub";
        guest
            .qemu()
            .wait_until(what, DEADLINE, || Ok((count()? > before).then_some(())))
    }

    /// Compares what is on the disk with what was told to be safe.
    fn judge(&self, seen: &Seen) -> Result<Judged> {
        let folder = self.machine.look_into(&self.image)?;
        let mut judged = Judged::default();
        for file in ["buffer.db", "core.db"] {
            let words = integrity(&folder.join(file))?;
            if words != "ok" {
                judged.losses.push(format!("{file}: {words}"));
            }
        }
        let here = readings::of_box(&folder)?;
        self.judge_readings(&here, seen, &mut judged)?;
        let here = records::events(&folder.join("core.db"), records::BOX_EVENTS)?;
        let there = records::events(&self.hub.data().join("hub.db"), records::HUB_EVENTS)?;
        for (id, event) in &there {
            judged.events += 1;
            if here.get(id) != Some(event) {
                let ours = here.get(id);
                judged
                    .losses
                    .push(format!("the hub has {event:?}, the disk {ours:?}"));
            }
        }
        let written: BTreeSet<Uuid> = here.keys().map(|id| id.0).collect();
        let about: BTreeSet<Uuid> = here.values().map(|event| event.record.id).collect();
        for act in &self.acts {
            judged.acts += 1;
            if !written.contains(act) {
                judged
                    .losses
                    .push(format!("the act {act} was answered and is gone"));
            }
        }
        for alert in &seen.alerts {
            judged.alerts += 1;
            if !about.contains(alert) {
                judged
                    .losses
                    .push(format!("the alert {alert} was shown and is gone"));
            }
        }
        Ok(judged)
    }

    fn judge_readings(
        &self,
        here: &readings::Groups,
        seen: &Seen,
        judged: &mut Judged,
    ) -> Result<()> {
        let there = readings::of_hub(&self.hub.data().join("hub.db"), self.gateway)?;
        for (name, group) in &there {
            for (seq, poll) in &group.polls {
                judged.readings += poll.cells.len();
                let ours = here.get(name).and_then(|group| group.polls.get(seq));
                if ours != Some(poll) {
                    let words =
                        format!("poll {seq} of {name:?} is {poll:?} at the hub, {ours:?} here");
                    judged.losses.push(words);
                }
            }
        }
        for (name, group) in here {
            let last = group.polls.keys().next_back().copied().unwrap_or(0);
            if u64::try_from(group.polls.len())? != last {
                judged.losses.push(format!("group {name:?} has holes"));
            }
        }
        let polls = here.values().flat_map(|group| group.polls.values());
        let times: BTreeSet<i64> = polls.map(|poll| poll.time.millis()).collect();
        for value in &seen.values {
            judged.values += 1;
            if !times.contains(&value.millis()) {
                judged
                    .losses
                    .push(format!("a value of {value:?} was shown and is gone"));
            }
        }
        Ok(())
    }

    /// One more start: what was on the disk after the last cut comes to the hub.
    fn all_arrives(&mut self) -> Result<()> {
        let stored = readings::of_box(&self.machine.look_into(&self.image)?)?;
        let disk = VolatileDisk::start(&self.image, self.socket.clone())?;
        let mut guest = self.machine.start(&disk, Sync::Real)?;
        wait_for_page(&mut guest)?;
        let file = self.hub.data().join("hub.db");
        let arrived = wait_for("all that was on the disk at the hub", DEADLINE, || {
            let there = readings::of_hub(&file, self.gateway)?;
            let missing = stored.iter().find(|(name, group)| {
                let other = there.get(name).map(|group| &group.polls);
                group
                    .polls
                    .iter()
                    .any(|(seq, poll)| other.and_then(|polls| polls.get(seq)) != Some(poll))
            });
            Ok(missing.is_none().then_some(()))
        });
        guest.qemu().kill9()?;
        arrived
    }
}

fn wait_for_page(guest: &mut Guest) -> Result<Api> {
    let page = Api::new(guest.page());
    guest
        .qemu()
        .wait_until("the agent in the guest to answer", BOOT, || {
            Ok(Some(page.enter_code(CODE)?))
        })
}

/// Anna makes an order and comments on it as fast as the box answers, until the power is cut.
fn staff(page: &Api, over: &AtomicBool) -> Result<BTreeSet<Uuid>> {
    let mut acts = BTreeSet::new();
    let mut random = Random(u64::try_from(now()?.0)?);
    let mut order = None;
    while !over.load(Ordering::SeqCst) {
        let key = Uuid::from_u64_pair(random.next(), random.next());
        let answer = match &order {
            None => page.try_post_once("/work-orders", key, &json!({"by": ANNA, "title": "Guard"})),
            Some(order) => {
                let path = format!("/work-orders/{order}/actions/comment");
                page.try_post_once(&path, key, &json!({"by": ANNA, "text": "seen"}))
            }
        };
        // No answer is no word that it is safe.
        let Ok(answer) = answer else { break };
        // Nor is the box's own word that it could not: the disk may be gone a moment before the
        // rest of the machine.
        if answer.status == STORE_FAILED {
            break;
        }
        acts.insert(key);
        let made = answer.ok()?;
        order = Some(text(&made, "/id")?.to_owned());
    }
    Ok(acts)
}

/// Somebody looks at alerts and values until the power is cut.
fn watch(page: &Api, over: &AtomicBool) -> Result<Seen> {
    let mut seen = Seen::default();
    while !over.load(Ordering::SeqCst) {
        let (Ok(alerts), Ok(sensors)) = (page.list("/alerts?state=all"), page.list("/sensors"))
        else {
            break;
        };
        for alert in &alerts {
            seen.alerts.insert(text(alert, "/id")?.parse()?);
        }
        let read = sensors.iter().filter(|sensor| !sensor["time"].is_null());
        for sensor in read {
            seen.values.insert(time(sensor, "/time")?);
        }
    }
    Ok(seen)
}

fn config(hub: &str, page: &str) -> String {
    let sensors: String = [
        ("vibration", 40_102),
        ("motor_current", 40_105),
        ("speed", 40_106),
    ]
    .map(|(name, address)| {
        format!("\n[[device.sensor]]\nname = \"{name}\"\naddress = {address}\ntype = \"i16\"\n")
    })
    .concat();
    // Their noise goes over the limits and back several times a second.
    let rules: String = [
        ("vibration", 210),
        ("motor_current", 4_100),
        ("speed", 14_778),
    ]
    .map(|(sensor, high)| {
        format!(
            "\n[[rule]]\nname = \"{sensor}\"\nsensor = \"pump-7/{sensor}\"\nhigh = {high}.0\n\
                 deadband = 1.0\nseverity = \"high\"\ntitle = \"High {sensor}\"\n"
        )
    })
    .concat();
    format!(
        r#"[gateway]
data_dir = "data"
name = "Hall B"
clock_trusted = true

[hub]
address = "{hub}"
keep_alive = "1s"
reconnect_max = "1s"

[storage]
commit_tick = "100ms"
seal_after = "10s"

[web]
{page}

[[port]]
name = "line"
protocol = "modbus"
address = "127.0.0.1:5020"

[[device]]
name = "pump-7"
port = "line"
asset = "P-7"
unit = 1
poll = "50ms"
{sensors}
{rules}"#
    )
}
