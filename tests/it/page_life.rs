//! A day of work on the box's page with the hub gone: starts a hub with people, machines, parts, a
//! checklist and failure codes, and a box that has them and whose pump runs hot; stops the hub and
//! hands the addresses to `tests/e2e/life.mjs`. Never looks at a page itself.

use crate::browser::{PumpBox, Script};
use anyhow::{Result, bail};
use harness::registers::Registers;
use harness::{Hub, Scratch, in_scratch, wait_for};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const SITE: &str = "North works";
/// Tenths of a degree.
pub(crate) const HOT: u16 = 910;
const PEOPLE: &str = "name,role\nEva Lang,technician\nJo Brandt,planner\nAna Ruiz,engineer\n";
pub(crate) const PINS: [(&str, &str); 3] = [
    ("Eva Lang", "271828"),
    ("Jo Brandt", "314159"),
    ("Ana Ruiz", "161803"),
];
const ASSETS: &str = "tag,name,parent,criticality,class,location\n\
    HALL-2,Press hall 2,,B,,Building 7\nP-247,Cooling water pump,HALL-2,B,pump,Axis C4\n\
    P-247-M,Motor of the cooling water pump,P-247,C,motor,\n";
const PARTS: &str = "number,name,stock,unit,place,minimum\n\
    4711,Grease LGMT 2,3,piece,A-12,5\nS-45,Seal 45 x 62 x 8,2,piece,B-01,1\n";
const CHECKLISTS: &str = "checklist,title,class,step,required,answer,unit,low,high,choices\n\
    pump-monthly,\"Pump, monthly\",pump,Locked out and tagged,yes,yes,,,,\n\
    pump-monthly,\"Pump, monthly\",pump,Bearing temperature,yes,number,Cel,20,80,\n\
    pump-monthly,\"Pump, monthly\",pump,State of the seal,yes,choice,,,,dry|weeps|leaks\n\
    pump-monthly,\"Pump, monthly\",pump,Photo of the seal,no,photo,,,,\n";
const CODES: &str = "code,kind,title,class,under\n\
    OHE,problem,Overheats,pump,\nLUB,cause,Too little grease,pump,OHE\nGRE,remedy,Greased,,\n";

#[test]
fn page_life() -> Result<()> {
    in_scratch("page_life", |scratch| {
        let plant = Registers::start()?;
        plant.set(1, 0, HOT);
        let mut hub = Hub::start(scratch)?;
        let mut agent = PumpBox {
            name: "Press hall 2",
            plant: plant.address(),
            hub: Some(&hub),
            bearing: "type = \"i16\"\nscale = 0.1",
            motor: 1,
            limit: 80.0,
        }
        .prepare(scratch)?;
        agent.enrol(&hub.claim(SITE, "Press hall 2", "B2")?)?;
        agent.start()?;
        know_the_site(&hub, scratch)?;
        wait_for("the site and the alert on the box", DEADLINE, || {
            let api = agent.api();
            let held = api.get("/session")?["people"].as_array().map(Vec::len);
            let lists = api.get("/checklists")?["data"].as_array().map(Vec::len);
            let codes = api.get("/failure-codes")?["data"].as_array().map(Vec::len);
            let alerts = api.list("/alerts")?.len();
            Ok(
                (held == Some(3) && lists == Some(1) && codes == Some(3) && alerts == 1)
                    .then_some(()),
            )
        })?;
        hub.stop()?;
        let script = Script::start(
            "life.mjs",
            &[
                ("CHATTERFIX_BOX", agent.api().base().to_owned()),
                ("CHATTERFIX_PINS", serde_json::to_string(&PINS)?),
            ],
        )?;
        script.run(|wanted| bail!("the script asks for {wanted}"))?;
        agent.stop()
    })
}

/// What the central team keeps of the site.
pub(crate) fn know_the_site(hub: &Hub, scratch: &Scratch) -> Result<()> {
    for (kind, csv) in [
        ("people", PEOPLE),
        ("assets", ASSETS),
        ("parts", PARTS),
        ("checklists", CHECKLISTS),
        ("failure-codes", CODES),
    ] {
        let name = format!("{kind}.csv");
        scratch.write(&name, csv)?;
        let file = scratch.file(&name).display().to_string();
        let args = [
            "reference",
            "import",
            &file,
            "--kind",
            kind,
            "--site",
            SITE,
            "--json",
            "--write",
        ];
        hub.cli(&args)?;
    }
    for (name, pin) in PINS {
        scratch.write("pin", &format!("{pin}\n"))?;
        let file = scratch.file("pin").display().to_string();
        hub.cli(&["user", "pin", name, "--pin-file", &file, "--json"])?;
    }
    Ok(())
}
