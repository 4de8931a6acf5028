//! What people hold back: shelves that end, out of service, maintenance; and that it survives.

use super::*;
use NoticeKind::{Again, Raised};
use protocol::alarm_point::Hold;

#[test]
fn what_is_shelved_is_not_told_and_is_told_when_the_shelf_is_over() {
    let mut plant = Plant::of_one("high", "");
    plant.shelve("hot", 30);
    plant.run(1_700, |_| vec![("t", 90.0)]);
    assert_eq!((plant.alerts().len(), plant.told().len()), (0, 0));
    let point = plant.point("hot");
    assert_eq!(point.withheld, Some((90.0, second(1))), "the page shows it");
    assert!(matches!(point.holds(plant.now), Some(Hold::Shelved(_))));
    plant.run(200, |_| vec![("t", 90.0)]);
    assert_eq!(plant.told(), [(Raised, "hot")]);
    let point = plant.point("hot");
    assert_eq!((point.shelved, point.withheld), (None, None));
    let line = point.history.last().unwrap();
    assert_eq!(
        (line.what, line.text.as_deref()),
        ("unshelved", Some("the time was over"))
    );
}

#[test]
fn an_alert_that_stands_can_be_shelved_and_comes_back() {
    let mut plant = Plant::of_one("high", "re_alarm = \"5m\"");
    plant.run(1, |_| vec![("t", 90.0)]);
    plant.shelve("hot", 60);
    plant.run(3_000, |_| vec![("t", 90.0)]);
    assert_eq!(
        plant.told(),
        [(Raised, "hot")],
        "no re-alarm while it is shelved"
    );
    plant.run(700, |_| vec![("t", 90.0)]);
    assert_eq!(plant.told()[1], (Again, "hot"));
    assert!(plant.notices[1].words.contains("shelf is over"));
    assert_eq!(plant.alerts().len(), 1);
}

#[test]
fn a_shelf_that_a_person_takes_back() {
    let mut plant = Plant::of_one("high", "");
    plant.shelve("hot", 60);
    plant.run(10, |_| vec![("t", 90.0)]);
    plant.on_point("hot", AlarmPointEvent::Unshelved { note: None });
    assert_eq!(
        plant.told(),
        [(Raised, "hot")],
        "at once, not with the next reading"
    );
    // Normal again while it was shelved: nothing to tell.
    let mut plant = Plant::of_one("high", "");
    plant.shelve("hot", 60);
    plant.run(10, |_| vec![("t", 90.0)]);
    plant.run(10, |_| vec![("t", 60.0)]);
    plant.on_point("hot", AlarmPointEvent::Unshelved { note: None });
    plant.run(10, |_| vec![("t", 60.0)]);
    assert_eq!((plant.alerts().len(), plant.told().len()), (0, 0));
}

#[test]
fn no_shelf_is_longer_than_the_configuration_allows_nor_survives_a_clock_that_is_set() {
    let mut plant = Plant::new(config(
        &["t"],
        &format!(
            "{}[alarms]\nshelve_max = \"1h\"\n",
            rule("hot", "t", "high", "")
        ),
    ));
    plant.shelve("hot", 10_000);
    plant.run(3_590, |_| vec![("t", 90.0)]);
    assert_eq!(plant.told(), []);
    plant.run(20, |_| vec![("t", 90.0)]);
    assert_eq!(plant.told(), [(Raised, "hot")]);

    for step_s in [-7_200, 86_400] {
        let mut plant = Plant::of_one("high", "");
        plant.shelve("hot", 30);
        plant.run(5, |_| vec![("t", 90.0)]);
        plant.now = plant.now.plus_micros(step_s * 1_000_000);
        plant.run(2, |_| vec![("t", 90.0)]);
        assert_eq!(plant.told(), [(Raised, "hot")], "a step of {step_s} s");
    }
}

#[test]
fn out_of_service_lasts_until_a_person_says_so() {
    let mut plant = Plant::of_one("high", "");
    plant.on_point(
        "hot",
        AlarmPointEvent::OutOfService {
            rule: "hot".into(),
            sensor_path: "d/t".into(),
            reason: "wire broken".into(),
        },
    );
    plant.run(100_000, |at| {
        vec![("t", if at % 60 < 30 { 90.0 } else { 60.0 })]
    });
    assert_eq!((plant.alerts().len(), plant.told().len()), (0, 0));
    let events = plant.events.values();
    let withheld =
        events.filter(|e| matches!(e.body, Body::AlarmPoint(AlarmPointEvent::Withheld { .. })));
    assert_eq!(withheld.count(), 1, "noted once, not a thousand times");
    plant.run(1, |_| vec![("t", 90.0)]);
    plant.on_point("hot", AlarmPointEvent::InService { note: None });
    assert_eq!(plant.told(), [(Raised, "hot")]);
}

#[test]
fn maintenance_of_an_asset_holds_back_what_is_below_it() {
    let rest = "[[asset]]\ntag = \"LINE\"\n[[asset]]\ntag = \"P-1\"\nparent = \"LINE\"\n";
    let rest = format!("{rest}{}", rule("hot", "t", "high", ""));
    for of in [
        Maintained::Asset("LINE".into()),
        Maintained::Device("d".into()),
    ] {
        let mut plant = Plant::new(config(&["t"], &rest));
        let began = |until| AlarmPointEvent::MaintenanceBegan {
            of: of.clone(),
            reason: "seal".into(),
            until,
        };
        plant.maintain(&of, began(None));
        plant.run(60, |_| vec![("t", 90.0)]);
        assert_eq!(plant.told(), []);
        let (cause, _) = plant.point("hot").suppressed.unwrap();
        assert_eq!(
            cause,
            SuppressionCause::Maintenance {
                of: of.name().into()
            }
        );
        plant.maintain(&of, AlarmPointEvent::MaintenanceEnded { note: None });
        plant.run(29, |_| vec![("t", 90.0)]);
        assert_eq!(plant.told(), [], "it needs a moment");
        plant.run(5, |_| vec![("t", 90.0)]);
        assert_eq!(plant.told(), [(Raised, "hot")]);
        // With an end it ends by itself.
        plant.acknowledge(plant.open()[0].id);
        plant.run(5, |_| vec![("t", 60.0)]);
        plant.maintain(&of, began(Some(plant.now.plus_micros(60_000_000))));
        plant.run(100, |_| vec![("t", 90.0)]);
        assert_eq!(plant.told().len(), 2);
        let is_device = matches!(of, Maintained::Device(_));
        let id = AlarmPointId::maintenance(GATEWAY, of.name(), is_device);
        let switch = alarm_point::fold(id, &plant.all()).unwrap();
        assert_eq!(switch.maintenance, None);
    }
}

#[test]
fn what_people_hold_back_survives_a_restart_without_anything_saved() {
    let mut plant = Plant::of_one("high", "");
    plant.shelve("hot", 30);
    plant.run(10, |_| vec![("t", 90.0)]);
    plant.restart(SavedAlarms::default(), &[]);
    plant.settle();
    plant.run(600, |_| vec![("t", 90.0)]);
    assert_eq!((plant.alerts().len(), plant.told().len()), (0, 0));
    plant.run(1_300, |_| vec![("t", 90.0)]);
    assert_eq!(plant.told(), [(Raised, "hot")]);
}
