//! Silence, late answers, rubbish, closed connections: told, and the rest of the port goes on.

use super::*;

#[tokio::test]
async fn a_silent_unit_is_told_costs_its_neighbour_little_and_is_read_again_when_it_is_back() {
    let alive = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&alive);
    let server = Server::start(move |asked| match asked.unit {
        7 if !switch.load(Ordering::Relaxed) => Play::Nothing,
        _ => Play::Send(asked.right()),
    })
    .await;
    let mut run = Run::start(&server.endpoint, &[("dead", 7, &[0]), ("pump", 1, &[0])]);
    run.until("silent", |run| {
        run.told("dead", DeviceState::Silent).is_some()
    })
    .await;
    let words = run.told("dead", DeviceState::Silent).unwrap().words.clone();
    assert_eq!(
        words,
        format!(
            "unit 7 at {} does not answer within 150 ms; check its address switch and wiring. \
             Neighbours on the same port are still polled.",
            server.endpoint
        )
    );
    // In back-off it costs nothing, and each of its periods still brings a poll that says why.
    let from = run.polls.len();
    let no_answer = missing(Cause::NoAnswer);
    run.until("polls in back-off", |run| run.polls.len() >= from + 30)
        .await;
    let later: Vec<_> = run.polls[from..]
        .iter()
        .filter(|(_, poll)| poll.group == 0)
        .collect();
    assert!(
        later.len() >= 10
            && later
                .iter()
                .all(|(_, poll)| poll.cells == [no_answer.clone()])
    );
    let asked = server.log().iter().filter(|asked| asked.unit == 7).count();
    assert!(asked <= 4, "asked {asked} times");
    // The neighbour: never longer without a reading than its period and one time-out.
    let times: Vec<Instant> = run
        .polls
        .iter()
        .filter(|(_, poll)| poll.group == 1)
        .map(|(at, _)| *at)
        .collect();
    assert!(run.of(1).all(|poll| poll.cells == [value(1_000)]));
    let longest = times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    let slack = Duration::from_millis(150);
    assert!(
        longest <= Duration::from_millis(50) + TIMEOUT + slack,
        "{longest:?}"
    );
    alive.store(true, Ordering::Relaxed);
    run.until("back", |run| {
        run.last_state("dead") == Some(DeviceState::Ok)
    })
    .await;
    run.until("values", |run| run.count(0, value(7_000)) >= 2)
        .await;
    assert_eq!(run.last_state("pump"), Some(DeviceState::Ok));
    run.end().await;
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_next_ones() {
    // Unit 1 answers too late, with the number that the next request on this connection would
    // have, as a serial gateway does that pairs answers by order: only a fresh connection helps.
    // Both requests have the same length.
    let server = Server::start(|asked| {
        if asked.unit == 1 {
            let late = Asked {
                id: asked.id.wrapping_add(1),
                unit: 2,
                ..*asked
            };
            let mut stale = late.right();
            *stale.last_mut().unwrap() = 99;
            Play::SendLate(TIMEOUT + Duration::from_millis(20), stale)
        } else {
            Play::SendLate(Duration::from_millis(60), asked.right())
        }
    })
    .await;
    let devices: &[(&str, u8, &[u16])] = &[("late", 1, &[0]), ("good", 2, &[0])];
    let mut run = Run::start_with(&server.endpoint, "retries = 1", devices);
    run.until("polls of both", |run| {
        run.count(1, value(2_000)) >= 8 && run.count(0, missing(Cause::NoAnswer)) >= 8
    })
    .await;
    assert!(run.of(1).all(|poll| poll.cells == [value(2_000)]));
    assert!(
        run.of(0)
            .all(|poll| poll.cells == [missing(Cause::NoAnswer)])
    );
    // No connection was used again after a request that was given up.
    let log = server.log();
    let given_up = log.windows(2).filter(|pair| pair[0].unit == 1);
    for (number, pair) in given_up.enumerate() {
        assert!(pair[1].connection > pair[0].connection, "{pair:?}");
        // As long as it was told at first, and its retry; then until its neighbour is due.
        let least = if number < 2 {
            TIMEOUT
        } else {
            Duration::from_millis(50)
        };
        assert!(pair[1].at - pair[0].at >= least, "{number}: {pair:?}");
    }
    run.end().await;
}

#[tokio::test]
async fn what_is_not_an_answer_is_told_and_the_neighbour_goes_on() {
    type Wrong = fn(&Asked) -> Vec<u8>;
    let wrong: [(&str, Wrong); 6] = [
        ("another unit", |asked| {
            frame(asked.id, 9, &asked.right()[7..])
        }),
        ("another number", |asked| {
            frame(asked.id.wrapping_add(5), 7, &asked.right()[7..])
        }),
        ("another protocol", |_| {
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()
        }),
        ("another function", |asked| {
            frame(asked.id, 7, &[4, 2, 0, 1])
        }),
        ("too short inside", |asked| frame(asked.id, 7, &[3, 4, 0])),
        ("fewer registers", |asked| frame(asked.id, 7, &[3, 2, 0, 1])),
    ];
    for (name, wrong) in wrong {
        let server = Server::start(move |asked| match asked.unit {
            7 => Play::Send(wrong(asked)),
            _ => Play::Send(asked.right()),
        })
        .await;
        let mut run = Run::start(&server.endpoint, &[("odd", 7, &[0, 1]), ("pump", 1, &[0])]);
        run.until(name, |run| {
            run.told("odd", DeviceState::Error).is_some() && run.count(1, value(1_000)) >= 5
        })
        .await;
        assert!(
            run.of(0)
                .all(|poll| poll.cells == vec![missing(Cause::BadAnswer); 2]),
            "{name}"
        );
        assert!(run.of(1).all(|poll| poll.cells == [value(1_000)]), "{name}");
        let words = &run.told("odd", DeviceState::Error).unwrap().words;
        assert!(
            words.contains("unit 7") && words.len() < 400,
            "{name}: {words}"
        );
        let log = server.log();
        for pair in log.windows(2).filter(|pair| pair[0].unit == 7) {
            assert!(pair[1].connection > pair[0].connection, "{name}: {pair:?}");
        }
        run.end().await;
    }
}

#[tokio::test]
async fn a_gateway_that_says_its_unit_is_silent_is_believed_without_a_new_connection() {
    let server = Server::start(|asked| match asked.unit {
        7 => Play::Send(asked.refused(11)),
        _ => Play::Send(asked.right()),
    })
    .await;
    let mut run = Run::start(&server.endpoint, &[("dead", 7, &[0]), ("pump", 1, &[0])]);
    run.until("silent", |run| {
        run.told("dead", DeviceState::Silent).is_some() && run.count(1, value(1_000)) >= 5
    })
    .await;
    assert!(
        run.of(0)
            .all(|poll| poll.cells == [missing(Cause::NoAnswer)])
    );
    assert!(server.log().iter().all(|asked| asked.connection == 0));
    run.end().await;
}

#[tokio::test]
async fn a_connection_closed_in_the_middle_of_an_answer_is_made_anew() {
    let server = Server::start(|asked| {
        // The third, eighth … answer ends after its header.
        if asked.id == 2 {
            Play::SendThenClose(asked.right()[..8].to_vec())
        } else {
            Play::Send(asked.right())
        }
    })
    .await;
    let mut run = Run::start(&server.endpoint, &[("pump", 1, &[0])]);
    run.until("polls over several connections", |run| {
        run.of(0).count() >= 10
            && server
                .log()
                .last()
                .is_some_and(|asked| asked.connection >= 3)
    })
    .await;
    // It had answered on this connection, so the request goes out once more on a fresh one.
    assert!(run.of(0).all(|poll| poll.cells == [value(1_000)]));
    assert_eq!(run.reports.len(), 1);
    run.end().await;
}

#[tokio::test]
async fn a_server_that_closes_whatever_is_asked_is_told_and_not_hammered() {
    let server = Server::start(|_| Play::SendThenClose(Vec::new())).await;
    let mut run = Run::start(&server.endpoint, &[("pump", 1, &[0])]);
    run.until("silent", |run| {
        run.told("pump", DeviceState::Silent).is_some()
    })
    .await;
    let words = &run.told("pump", DeviceState::Silent).unwrap().words;
    assert!(words.contains("closed the connection"), "{words}");
    let from = run.of(0).count();
    run.until("polls in back-off", |run| run.of(0).count() >= from + 10)
        .await;
    assert!(
        run.of(0)
            .all(|poll| poll.cells == [missing(Cause::NoConnection)])
    );
    assert!(server.log().len() <= 6, "{} requests", server.log().len());
    run.end().await;
}

#[tokio::test]
async fn without_a_server_it_says_so_and_reads_as_soon_as_there_is_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap();
    drop(listener);
    let mut run = Run::start(
        &endpoint.to_string(),
        &[("pump", 1, &[0]), ("fan", 2, &[0])],
    );
    run.until("told", |run| {
        run.told("pump", DeviceState::Silent).is_some()
            && run.told("fan", DeviceState::Silent).is_some()
            && run.count(1, missing(Cause::NoConnection)) >= 3
    })
    .await;
    let words = &run.told("pump", DeviceState::Silent).unwrap().words;
    assert!(
        words.starts_with(&format!("no connection to {endpoint} (")),
        "{words}"
    );
    assert!(words.contains("check that the device is on"), "{words}");
    let server = Server::on(TcpListener::bind(endpoint).await.unwrap(), |asked| {
        Play::Send(asked.right())
    });
    run.until("values of both", |run| {
        run.count(0, value(1_000)) >= 1 && run.count(1, value(2_000)) >= 1
    })
    .await;
    assert_eq!(server.endpoint, endpoint.to_string());
    run.until("ok", |run| run.last_state("fan") == Some(DeviceState::Ok))
        .await;
    run.end().await;
}

#[tokio::test]
async fn retries_are_made_on_fresh_connections_and_help() {
    let server = Server::start(|asked| {
        if asked.connection == 0 {
            Play::Nothing
        } else {
            Play::Send(asked.right())
        }
    })
    .await;
    let mut run = Run::start_with(&server.endpoint, "retries = 1", &[("pump", 1, &[0])]);
    run.until("polls", |run| run.of(0).count() >= 3).await;
    assert!(run.of(0).all(|poll| poll.cells == [value(1_000)]));
    run.end().await;
}

#[tokio::test]
async fn eight_dead_units_cost_a_live_one_no_more_than_one_does() {
    let server = Server::start(|asked| match asked.unit {
        1 => Play::Send(asked.right()),
        _ => Play::Nothing,
    })
    .await;
    let names: Vec<String> = (2..10).map(|unit| format!("dead-{unit}")).collect();
    let dead = names
        .iter()
        .zip(2..)
        .map(|(name, unit)| (name.as_str(), unit, &[0_u16][..]));
    let devices: Vec<_> = dead.chain([("pump", 1, &[0_u16][..])]).collect();
    let mut run = Run::start(&server.endpoint, &devices);
    run.until("all told, and a while after", |run| {
        let told = |name: &String| run.told(name, DeviceState::Silent).is_some();
        names.iter().all(told) && run.count(8, value(1_000)) >= 60
    })
    .await;
    let times: Vec<Instant> = run
        .polls
        .iter()
        .filter(|(_, poll)| poll.group == 8)
        .map(|(at, _)| *at)
        .collect();
    let longest = times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    println!("longest time without a reading of the live unit: {longest:?}");
    let slack = Duration::from_millis(150);
    assert!(
        longest <= Duration::from_millis(50) + TIMEOUT + slack,
        "{longest:?}"
    );
    // Told silent, all eight together are tried a few times at first and then hardly ever.
    let told_at = run
        .reports
        .iter()
        .rposition(|report| report.state == DeviceState::Silent);
    assert_eq!(told_at, Some(run.reports.len() - 1));
    let asked = server.log().iter().filter(|asked| asked.unit != 1).count();
    assert!(asked <= 8 * 2 + 5, "asked {asked} times");
    run.end().await;
}
