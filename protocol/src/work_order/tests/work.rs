//! Tests of what work leaves behind: tasks, clocks, failure reports, signatures. Whatever two
//! sides enter at the same time, nothing is lost and both show the same.

use super::*;
use crate::attachment::ContentHash;
use crate::event::{
    ChecklistRef, FailureReport, PartMoved, Signed, SignedBy, SignedFor, TaskAnswer, TaskKind,
    TaskNew, TaskValue, TasksAdded,
};

const MINUTE_MS: i64 = 60_000;

fn task_id(number: u8) -> Uuid {
    Uuid::from_u128(500 + u128::from(number))
}

fn task(number: u8, kind: TaskKind, required: bool) -> TaskNew {
    TaskNew {
        id: task_id(number),
        title: format!("task {number}"),
        kind,
        required,
    }
}

fn pressure() -> TaskKind {
    TaskKind::Number {
        unit: "bar".into(),
        low: Some(2.0),
        high: Some(4.0),
    }
}

fn tasks(tasks: Vec<TaskNew>) -> E {
    E::TasksAdded(TasksAdded {
        checklist: Some(ChecklistRef {
            id: "pump-monthly".into(),
            version: 1,
            title: "Pump, monthly".into(),
        }),
        tasks,
    })
}

fn answer(number: u8, value: TaskValue) -> E {
    E::TaskAnswered(TaskAnswer {
        task: task_id(number),
        value,
        note: None,
    })
}

fn signature(digest: ContentHash) -> E {
    E::Signed(Signed {
        meaning: SignedFor::Performed,
        method: SignedBy::Pin,
        digest,
        task: None,
        note: None,
    })
}

/// Anything of it, over few tasks, so that things meet.
pub(super) fn body() -> impl Strategy<Value = WorkOrderEvent> {
    let one = (0_u8..3, any::<bool>()).prop_map(|(number, required)| {
        let kind = if number == 0 {
            pressure()
        } else {
            TaskKind::Check
        };
        tasks(vec![task(number, kind, required)])
    });
    let report = (prop::option::of(text()), prop::option::of(text())).prop_map(|(cause, code)| {
        E::FailureReported(FailureReport {
            cause,
            cause_code: code,
            ..FailureReport::default()
        })
    });
    prop_oneof![
        3 => one,
        2 => (0_u8..3, 0.0..6.0_f64).prop_map(|(n, value)| answer(n, TaskValue::Number(value))),
        2 => (0_u8..3, any::<bool>()).prop_map(|(n, good)| answer(n, TaskValue::Check(good))),
        1 => (0_u8..3).prop_map(|n| E::TaskCleared { task: task_id(n), reason: None }),
        2 => report,
        2 => Just(E::LabourStarted),
        2 => Just(E::LabourStopped { note: None }),
        1 => (-2.0..5.0_f64).prop_map(|quantity| E::PartMoved(PartMoved {
            part: "6204".into(), name: "Bearing".into(), quantity, place: None,
        })),
        1 => Just(signature(ContentHash([0; 32]))),
        1 => Just(E::Verified { note: None }),
        1 => Just(E::FollowedUp {
            order: WorkOrderId(Uuid::from_u128(90)), number: "B2-0418".into(), task: None,
        }),
    ]
}

/// Every result, clock, report and signature of `events` is in `order`, or its line says why not.
pub(super) fn nothing_of_it_is_lost(
    order: &WorkOrder,
    events: &[Event],
) -> Result<(), TestCaseError> {
    let of = |want: fn(&WorkOrderEvent) -> bool| {
        let is = move |event: &&Event| matches!(&event.body, Body::WorkOrder(body) if want(body));
        events.iter().filter(is)
    };
    let applied = |events: Vec<&Event>| {
        let followed = events.iter().filter(|event| line(order, event).applied);
        followed.count()
    };
    let answered = of(|body| matches!(body, E::TaskAnswered(_))).collect();
    let kept: usize = order
        .tasks
        .iter()
        .map(|task| task.earlier.len() + usize::from(task.result.is_some()))
        .sum();
    prop_assert_eq!(kept, applied(answered));
    let started = applied(of(|body| matches!(body, E::LabourStarted)).collect());
    let stopped = applied(of(|body| matches!(body, E::LabourStopped { .. })).collect());
    prop_assert_eq!(order.clocks.len(), started - stopped);
    let signed = of(|body| matches!(body, E::Signed(_))).count();
    prop_assert_eq!(order.signatures.len(), signed);
    let told = of(|body| matches!(body, E::FailureReported(report) if report.cause.is_some()));
    let told: Vec<_> = told.collect();
    prop_assert!(told.iter().all(|event| line(order, event).applied));
    prop_assert_eq!(order.failure.cause.value.is_some(), !told.is_empty());
    let followed = of(|body| matches!(body, E::FollowedUp { .. })).count();
    prop_assert_eq!(order.follow_ups.len(), followed);
    // Who entered something after the end is told to a planner, unless one looked at it.
    let late = order.history.iter().any(|line| {
        line.note == Some("entered after the order had ended")
            && matches!(line.what, "task" | "failure" | "part" | "labour")
    });
    let reviewed = of(|body| matches!(body, E::Reviewed { .. })).count() > 0;
    prop_assert!(!late || reviewed || order.needs_review);
    Ok(())
}

#[test]
fn a_result_outside_its_limits_is_marked_and_the_last_one_counts() {
    let mut scene = Scene::new();
    scene.gateway(tasks(vec![
        task(0, pressure(), true),
        task(1, TaskKind::Check, false),
    ]));
    scene.gateway(answer(0, TaskValue::Number(4.5)));
    let order = scene.merged();
    assert!(order.tasks[0].is_failed());
    assert_eq!(order.open_tasks().count(), 0, "it has a result");
    scene.hub(answer(0, TaskValue::Number(4.0)));
    let order = scene.merged();
    assert!(!order.tasks[0].is_failed(), "a limit is a good value");
    assert_eq!(order.tasks[0].earlier.len(), 1);
    assert!(order.conflicts.is_empty() && !order.needs_review);
    scene.gateway(E::TaskCleared {
        task: task_id(0),
        reason: Some("wrong gauge".into()),
    });
    let order = scene.merged();
    assert_eq!(order.tasks[0].earlier.len(), 2);
    assert_eq!(order.open_tasks().count(), 1);
}

#[test]
fn two_results_at_the_same_time_are_both_kept_and_a_planner_is_told() {
    let before = [tasks(vec![task(0, pressure(), true)])];
    let (here, there) = (
        answer(0, TaskValue::Number(3.0)),
        answer(0, TaskValue::Number(5.0)),
    );
    for order in both_ways(
        &before,
        std::slice::from_ref(&here),
        std::slice::from_ref(&there),
    ) {
        assert_eq!(order.conflicts.len(), 1);
        assert!(order.needs_review);
        assert_eq!(order.tasks[0].earlier.len(), 1);
    }
    // Who takes one result away does not take away another one that came meanwhile.
    let clear = E::TaskCleared {
        task: task_id(0),
        reason: None,
    };
    let [hub_last, box_last] = both_ways(&before, &[here], &[clear]);
    assert!(hub_last.tasks[0].result.is_some() && hub_last.needs_review);
    assert!(box_last.tasks[0].result.is_some());
}

#[test]
fn the_same_checklist_added_by_both_sides_is_there_once() {
    let list = || tasks(vec![task(0, pressure(), true)]);
    for order in both_ways(&[], &[list()], &[list()]) {
        assert_eq!(order.tasks.len(), 1);
        assert!(!order.needs_review);
    }
}

#[test]
fn what_is_no_result_of_a_task_is_kept_as_a_line() {
    let mut scene = Scene::new();
    scene.gateway(tasks(vec![task(0, pressure(), true)]));
    let wrong = scene.gateway(answer(0, TaskValue::Text("high".into())));
    let order = scene.merged();
    assert!(!line(&order, &wrong).applied);
    assert_eq!(order.tasks[0].result, None);
    assert!(order.needs_review);
}

#[test]
fn done_without_knowing_of_a_task_that_must_be_done_is_for_review() {
    let list = tasks(vec![task(0, pressure(), true)]);
    for order in both_ways(&[], &[done("all")], &[list]) {
        assert_eq!(order.state, S::Done);
        assert!(order.needs_review);
        assert_eq!(order.open_tasks().count(), 1);
    }
}

#[test]
fn actuals_after_the_end_count_and_are_marked() {
    let report = E::FailureReported(FailureReport {
        cause: Some("seal worn".into()),
        downtime_minutes: Some(90),
        ..FailureReport::default()
    });
    let part = E::PartMoved(PartMoved {
        part: "6204".into(),
        name: "Bearing".into(),
        quantity: 2.0,
        place: None,
    });
    let late = [answer(0, TaskValue::Number(3.0)), report, part];
    let before = [tasks(vec![task(0, pressure(), true)])];
    for end in [close(), cancel()] {
        let [_, after] = both_ways(&before, &late, std::slice::from_ref(&end));
        assert!(after.state.is_ended() && after.needs_review);
        assert!(after.tasks[0].result.as_ref().unwrap().late);
        assert!(after.parts[0].late);
        assert_eq!(after.failure.cause.value.as_deref(), Some("seal worn"));
        assert_eq!(after.failure.downtime_minutes.value, Some(90));
        let marked = after.history.iter();
        let marked = marked.filter(|line| line.note == Some("entered after the order had ended"));
        assert_eq!(marked.count(), 3);
    }
}

#[test]
fn a_failure_report_is_merged_field_by_field() {
    let report = |cause: Option<&str>, code: Option<&str>| {
        E::FailureReported(FailureReport {
            cause: cause.map(str::to_owned),
            cause_code: code.map(str::to_owned),
            ..FailureReport::default()
        })
    };
    for order in both_ways(
        &[],
        &[report(Some("seal worn"), None)],
        &[report(None, Some("2.4"))],
    ) {
        assert_eq!(order.failure.cause.value.as_deref(), Some("seal worn"));
        assert_eq!(order.failure.cause_code.value.as_deref(), Some("2.4"));
        assert!(!order.needs_review);
    }
    for order in both_ways(
        &[],
        &[report(Some("seal worn"), None)],
        &[report(Some("ran dry"), None)],
    ) {
        assert_eq!(order.conflicts.len(), 1);
        assert!(order.needs_review);
    }
}

#[test]
fn a_clock_counts_begun_minutes_and_time_told_twice_is_marked() {
    let mut scene = Scene::new();
    scene.gateway(E::LabourStarted);
    scene.ms += 29 * MINUTE_MS;
    let order = scene.merged();
    assert_eq!(order.clocks.len(), 1);
    let stopped = scene.gateway(E::LabourStopped {
        note: Some("seal".into()),
    });
    let order = scene.merged();
    assert_eq!((order.labour[0].minutes, order.clocks.len()), (30, 0));
    assert!(!order.labour[0].overlaps && !order.needs_review);
    assert_eq!(line(&order, &stopped).text.as_deref(), Some("30 min"));
    scene.gateway(E::LabourAdded {
        minutes: 25,
        note: None,
    });
    let order = scene.merged();
    assert!(order.labour[1].overlaps && order.needs_review);
    // Somebody else may well have worked at the same time.
    let mut scene = Scene::new();
    scene.gateway(E::LabourStarted);
    scene.meet();
    scene.ms += 30 * MINUTE_MS;
    scene.hub(E::LabourAdded {
        minutes: 25,
        note: None,
    });
    scene.gateway(E::LabourStopped { note: None });
    let order = scene.merged();
    assert!(order.labour.iter().all(|entry| !entry.overlaps));
}

#[test]
fn a_clock_that_was_forgotten_is_kept_and_marked() {
    let mut scene = Scene::new();
    scene.gateway(E::LabourStarted);
    scene.ms += 20 * 60 * MINUTE_MS;
    scene.gateway(E::LabourStopped { note: None });
    let order = scene.merged();
    assert_eq!(order.labour[0].minutes, 20 * 60 + 1);
    assert!(order.needs_review);
}

#[test]
fn a_signature_holds_until_what_was_signed_changes() {
    let mut scene = Scene::new();
    scene.gateway(tasks(vec![
        task(0, pressure(), true),
        task(1, TaskKind::Signature, true),
    ]));
    scene.gateway(answer(0, TaskValue::Number(3.0)));
    let digest = digest(ID, &scene.gateway.seen);
    let mut signed = signature(digest);
    if let E::Signed(signed) = &mut signed {
        signed.task = Some(task_id(1));
    }
    scene.gateway(signed);
    let order = scene.merged();
    let signature = &order.signatures[0];
    assert!(signature.holds && signature.changes_since == 0);
    assert_eq!(order.open_tasks().count(), 0, "the signature is the result");
    assert!(!order.needs_review);
    scene.hub(E::Commented {
        text: "well done".into(),
    });
    assert_eq!(scene.merged().signatures[0].changes_since, 0);
    scene.hub(answer(0, TaskValue::Number(2.5)));
    let order = scene.merged();
    assert!(order.signatures[0].holds, "what was signed is still there");
    assert_eq!(order.signatures[0].changes_since, 1);
    // A fact that was tampered with does not give the digest that was signed.
    let mut events = scene.gateway.seen.clone();
    for event in &mut events {
        if let Body::WorkOrder(E::TaskAnswered(answer)) = &mut event.body {
            answer.value = TaskValue::Number(2.0);
        }
    }
    assert!(!fold(ID, &events).unwrap().signatures[0].holds);
}

#[test]
fn a_signature_over_what_changed_at_the_same_time_is_for_review() {
    for hub_first in [true, false] {
        let mut scene = Scene::new();
        let report = E::FailureReported(FailureReport {
            cause: Some("ran dry".into()),
            ..FailureReport::default()
        });
        if hub_first {
            scene.hub(report.clone());
        }
        let digest = digest(ID, &scene.gateway.seen);
        scene.gateway(signature(digest));
        if !hub_first {
            scene.hub(report);
        }
        let order = scene.merged();
        assert!(order.signatures[0].holds);
        assert_eq!(order.signatures[0].changes_since, 1);
        assert_eq!(order.needs_review, hub_first);
    }
}

#[test]
fn verified_is_for_what_is_done_and_goes_with_a_reopen() {
    let mut scene = Scene::new();
    let early = scene.gateway(E::Verified { note: None });
    assert!(!line(&scene.merged(), &early).applied);
    scene.gateway(done("new seal"));
    scene.hub(E::Verified { note: None });
    let order = scene.merged();
    assert!(order.verified.is_some() && !order.may(Action::Verify));
    scene.gateway(E::Reopened {
        reason: "leaks".into(),
    });
    let order = scene.merged();
    assert_eq!(order.verified, None);
    // Closed meanwhile: to find it good is no mistake.
    for order in both_ways(
        &[done("new seal")],
        &[E::Verified { note: None }],
        &[close()],
    ) {
        assert!(order.verified.is_some());
        assert_eq!(order.state, S::Closed);
    }
}

#[test]
fn an_order_has_a_bounded_number_of_tasks() {
    let mut scene = Scene::new();
    let many = |event: u32| {
        let id = |number: u32| Uuid::from_u64_pair(u64::from(event), u64::from(number));
        let one = |number| TaskNew {
            id: id(number),
            ..task(0, TaskKind::Check, false)
        };
        tasks((0..200).map(one).collect())
    };
    for event in 0..6 {
        scene.gateway(many(event));
    }
    let order = scene.merged();
    assert_eq!(order.tasks.len(), crate::limits::TASKS_PER_ORDER_MAX);
    assert!(order.needs_review);
}
