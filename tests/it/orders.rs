//! One order worked whole by three people on the box with no uplink, with a power cut in the middle,
//! while two planners at the hub change everything that can be changed: afterwards both sides show
//! the same to the last field, and nothing of it is lost.

use crate::bundle::{import, pin};
use crate::plant::{DEADLINE, Plant, text};
use crate::records;
use anyhow::{Context as _, Result, bail, ensure};
use harness::{Api, PeerOptions, Scratch, in_scratch, wait_for};
use serde_json::{Value, json};

const PEOPLE: &str = "name,role
Mara Lind,planner
Tom Ruiz,technician
Ilse Wolf,technician
";
const PARTS: &str = "number,name,stock,unit,place,minimum
SKF-6204,Bearing 6204,3,piece,A-3,2
";
const CHECKLISTS: &str = "checklist,title,class,step,required,answer,unit,low,high,choices
pump-monthly,Pump monthly,,Guard closed,yes,yes,,,,
pump-monthly,,,Oil level,yes,number,mm,10,40.5,
pump-monthly,,,Released,yes,signature,,,,
";
const MARA: (&str, &str) = ("Mara Lind", "518304");
const TOM: (&str, &str) = ("Tom Ruiz", "7719");
const ILSE: (&str, &str) = ("Ilse Wolf", "2846");

#[test]
fn both_sides_change_everything_at_once() -> Result<()> {
    in_scratch("orders", |scratch| {
        let plant = Plant::start(scratch, PeerOptions::default())?;
        run(plant, scratch)
    })
}

/// Who works on the order, each signed in on the box.
struct People {
    mara: Api,
    tom: Api,
    ilse: Api,
}

/// The site's list is on the box, and everybody is signed in.
fn people(plant: &Plant, scratch: &Scratch) -> Result<People> {
    for (kind, csv) in [
        ("people", PEOPLE),
        ("parts", PARTS),
        ("checklists", CHECKLISTS),
    ] {
        import(plant, scratch, kind, csv, &["--write"])?;
    }
    for (name, number) in [MARA, TOM, ILSE] {
        pin(plant, scratch, name, number)?;
    }
    wait_for("the checklist on the box", DEADLINE, || {
        let lists = plant.here.get("/checklists")?;
        Ok((lists["data"].as_array().map(Vec::len) == Some(1)).then_some(()))
    })?;
    let mara = wait_for("the PINs on the box", DEADLINE, || {
        plant.here.sign_in_pin(MARA.0, MARA.1).map(Some)
    })?;
    let tom = plant.here.sign_in_pin(TOM.0, TOM.1)?;
    let ilse = wait_for("the last PIN on the box", DEADLINE, || {
        plant.here.sign_in_pin(ILSE.0, ILSE.1).map(Some)
    })?;
    Ok(People { mara, tom, ilse })
}

/// All that three people do on the box without the hub, with a power cut in the middle.
fn work(plant: &mut Plant, people: &People, order: &Order) -> Result<()> {
    let People { mara, tom, ilse } = people;
    order.act(mara, "approve", json!({}))?;
    order.act(
        mara,
        "edit",
        json!({"title": "Pump P-7 is loud", "priority": 1,
        "due": "2030-01-02T08:00:00Z", "asset": "P-7", "description": "since Monday"}),
    )?;
    order.act(tom, "assign", json!({"name": TOM.0}))?;
    order.act(tom, "checklist", json!({"checklist": "pump-monthly"}))?;
    order.act(tom, "labour_start", json!({"ago_s": 2_700}))?;
    // Ilse's phone had no network for hours; what she did has its own time.
    order.act(ilse, "labour", json!({"minutes": 25, "ago_s": 7_200}))?;
    order.act(ilse, "part", json!({"part": "SKF-6204", "quantity": 4}))?;
    at_the_hub(&plant.there, order)?;
    let tasks = order.tasks(tom)?;
    order.act(tom, "task", json!({"task": tasks[0], "value": true}))?;
    // The power goes: what was answered is there.
    plant.agent.kill9()?;
    plant.agent.start()?;
    let after = tom.get(&order.path())?;
    ensure!(
        after["tasks"][0]["result"]["good"] == json!(true),
        "{after}"
    );
    order.act(tom, "task", json!({"task": tasks[1], "value": 44}))?;
    order.act(tom, "follow_up", json!({"task": tasks[1]}))?;
    order.act(
        ilse,
        "failure",
        json!({"problem": "loud", "cause": "bearing worn",
        "effect": "reduced", "downtime_minutes": 40}),
    )?;
    order.act(
        tom,
        "sign",
        json!({"meaning": "released", "task": tasks[2], "pin": TOM.1}),
    )?;
    order.act(tom, "complete", json!({"remedy": "new bearing"}))?;
    order.act(ilse, "verify", json!({"note": "runs quietly"}))?;
    order.act(mara, "close", json!({}))?;
    for tag in ["P-7/motor", "P 7", "thing"] {
        let new = json!({"tag": tag, "name": format!("Found: {tag}"), "parent": "P-7"});
        tom.post("/assets", &new)?;
    }
    Ok(())
}

fn run(mut plant: Plant, scratch: &Scratch) -> Result<()> {
    let people = people(&plant, scratch)?;
    let made = people.tom.post(
        "/work-orders",
        &json!({"title": "Pump is loud", "request": true}),
    )?;
    let order = Order(text(&made, "/id")?.to_owned());
    plant.wait_until_in_sync()?;
    plant.relay.cut();
    plant.wait_for_link("offline")?;

    work(&mut plant, &people, &order)?;

    ensure!(plant.relay.is_cut());
    plant.relay.restore();
    plant.wait_until_in_sync()?;
    let stock = same_stock(&plant)?;
    ensure!(stock == json!(-1.0), "3 and -4 are {stock}");
    the_hub_decides(&plant, &people.tom)?;
    let (_, orders) = plant.come_to_rest()?;
    let events = records::compare_events(&plant)?;
    let order = orders.get(&order.0).context("the order is gone")?;
    whole(order)?;
    ensure!(
        orders.len() == 2,
        "the order and its follow-up: {orders:#?}"
    );
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: {} lines of one order by three people on the box and one at the hub, {} \
             conflicts shown, {events} events on both sides once and only once, the same to the \
             last field",
            records::history(order)?.len(),
            order["conflicts"].as_array().map_or(0, Vec::len),
        );
    }
    Ok(())
}

/// An order by its id.
struct Order(String);

impl Order {
    fn path(&self) -> String {
        format!("/work-orders/{}", self.0)
    }

    fn act(&self, side: &Api, action: &str, body: impl Into<Value>) -> Result<Value> {
        side.post(&format!("{}/actions/{action}", self.path()), &body.into())
    }

    fn tasks(&self, side: &Api) -> Result<Vec<Value>> {
        let order = side.get(&self.path())?;
        let tasks = order["tasks"].as_array().context("no tasks")?;
        Ok(tasks.iter().map(|task| task["id"].clone()).collect())
    }
}

/// What the planner does at the hub, who knows nothing of what is done on the box.
fn at_the_hub(hub: &Api, order: &Order) -> Result<()> {
    hub.patch(
        &order.path(),
        &json!({"title": "Look at the pump", "priority": 4,
        "due": "2031-05-06T08:00:00Z", "asset": "P-8", "description": "when there is time"}),
    )?;
    order.act(hub, "assign", json!({"name": "Bo"}))?;
    order.act(hub, "checklist", json!({"checklist": "pump-monthly"}))?;
    let tasks = order.tasks(hub)?;
    order.act(hub, "task", json!({"task": tasks[1], "value": 12}))?;
    order.act(hub, "task_add", json!({"title": "Call the maker"}))?;
    order.act(
        hub,
        "failure",
        json!({"cause": "ran dry", "cause_code": "DRY"}),
    )?;
    order.act(
        hub,
        "labour",
        json!({"minutes": 10, "note": "on the telephone"}),
    )?;
    order.act(hub, "part", json!({"part": "grease", "quantity": 1}))?;
    order.act(hub, "comment", json!({"text": "is it the bearing?"}))?;
    order.act(hub, "cancel", json!({"reason": "a new pump is ordered"}))?;
    Ok(())
}

/// The planner counts a part and says what becomes of what was made on the box; the box hears of it.
fn the_hub_decides(plant: &Plant, tom: &Api) -> Result<()> {
    let hub = format!("/gateways/{}", plant.gateway);
    let counted = json!({"quantity": 5, "note": "two were in the wrong drawer"});
    let path = format!("{hub}/stock/SKF-6204/actions/count");
    ensure!(plant.there.post(&path, &counted)?["stock"] == json!(5.0));
    let below = plant.there.try_post(&path, &json!({"quantity": -1}))?;
    ensure!(
        below.status == 400,
        "{} for a count below zero",
        below.status
    );
    let decided = [
        ("P-7%2Fmotor", "accept", json!({"tag": "P-7-M"}), "accepted"),
        ("P%207", "merge", json!({"into": "P-7"}), "merged"),
        ("thing", "refuse", json!({"reason": "a bucket"}), "refused"),
    ];
    for (tag, action, body, _) in &decided {
        let path = format!("{hub}/assets/{tag}/actions/{action}");
        plant.there.post(&path, body)?;
    }
    plant.wait_until_in_sync()?;
    ensure!(same_stock(plant)? == json!(5.0));
    for (tag, .., state) in &decided {
        wait_for(&format!("{tag} to be {state}"), DEADLINE, || {
            let made = tom.get(&format!("/assets/{tag}"))?;
            Ok((made["provisional"]["state"] == json!(state)).then_some(()))
        })?;
    }
    let none = format!("{hub}/assets/nothing/actions/accept");
    let none = plant.there.try_post(&none, &json!({}))?;
    ensure!(none.status == 404, "{} for what nobody made", none.status);
    Ok(())
}

/// The stock as both sides show it.
fn same_stock(plant: &Plant) -> Result<Value> {
    let here = plant
        .here
        .sign_in_pin(TOM.0, TOM.1)?
        .get("/stock/SKF-6204")?;
    let gateway = plant.gateway;
    let there = plant
        .there
        .get(&format!("/gateways/{gateway}/stock/SKF-6204"))?;
    ensure!(
        here == there,
        "the stock is {here} on the box and {there} at the hub"
    );
    Ok(here["stock"].clone())
}

/// What must have come out, whatever the order of the stamps.
fn whole(order: &Value) -> Result<()> {
    let count = |list: &str| order[list].as_array().map_or(0, Vec::len);
    let wanted = [
        ("tasks", 4),
        ("labour", 3),
        ("parts", 2),
        ("signatures", 1),
        ("follow_ups", 1),
        ("comments", 1),
    ];
    for (list, number) in wanted {
        ensure!(count(list) == number, "{number} {list}: {}", order[list]);
    }
    // Work that was done counts more than a cancel that did not know of it.
    ensure!(order["state"] == json!("closed"), "{}", order["state"]);
    ensure!(order["needs_review"] == json!(true), "nobody is told");
    ensure!(
        order["signatures"][0]["holds"] == json!(true),
        "{}",
        order["signatures"]
    );
    ensure!(
        order["verified_by"] == json!("Ilse Wolf"),
        "{}",
        order["verified_by"]
    );
    ensure!(
        order["failure"]["cause_code"] == json!("DRY"),
        "{}",
        order["failure"]
    );
    let fields: Vec<&str> = order["conflicts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|conflict| conflict["field"].as_str())
        .collect();
    for field in [
        "title",
        "priority",
        "due",
        "asset",
        "description",
        "assignee",
        "cause",
    ] {
        if !fields.contains(&field) {
            bail!("the two values of {field} are not shown: {fields:?}");
        }
    }
    let result = &order["tasks"][1];
    let earlier = result["earlier"].as_array().map_or(0, Vec::len);
    ensure!(earlier == 1, "both results are kept: {result}");
    Ok(())
}
