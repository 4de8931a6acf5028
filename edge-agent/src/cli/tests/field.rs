//! A running box with one simulated port: its bus is looked at, listened to and written to, by the
//! commands as people type them.

use super::*;
use crate::drivers::modbus::frame::Framing;
use crate::drivers::modbus::read::read_once;
use crate::simulate::{Plant, Station, serve};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::net::TcpListener;

struct Scene {
    folder: tempfile::TempDir,
    agent: crate::agent::Agent,
    plant: String,
}

/// The demonstration plant, and a box that reads one sensor of it and may write setpoints.
async fn scene() -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plant = listener.local_addr().unwrap().to_string();
    let station = Station::new(Plant::demo(1), Instant::now());
    tokio::spawn(serve(
        listener,
        Framing::Mbap,
        Arc::new(Mutex::new(station)),
    ));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.toml");
    let text = |web: &str| {
        format!(
            "[gateway]\ndata_dir = \"data\"\n[web]\nlisten = \"{web}\"\n\
             [[port]]\nname = \"line a\"\nprotocol = \"modbus\"\naddress = \"{plant}\"\n\
             [[device]]\nname = \"pump-7\"\nport = \"line a\"\npoll = \"100ms\"\nwrite = [\"hr:200-209\"]\n\
             [[device.sensor]]\nname = \"setpoint\"\naddress = \"hr:200\"\nscale = 0.1\nrange = [0.0, 50.0]\n\
             [[device.sensor]]\nname = \"running\"\naddress = \"hr:98\"\n"
        )
    };
    let config = Config::parse(&file, &text("127.0.0.1:0")).unwrap();
    let desk = idle_desk(&config);
    let agent = crate::agent::Agent::start(config, desk).await.unwrap();
    std::fs::write(&file, text(&agent.web.to_string())).unwrap();
    Scene {
        folder,
        agent,
        plant,
    }
}

impl Scene {
    /// Runs a command line as `main` does.
    async fn run(&self, line: &[&str]) -> anyhow::Result<()> {
        let file = self.folder.path().join("edge.toml");
        let config = ["--config", file.to_str().unwrap(), "--json"];
        let cli = Cli::try_parse_from([&["edge-agent"], line, &config].concat()).unwrap();
        tokio::task::spawn_blocking(move || run(cli)).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let file = self.folder.path().join("edge.toml");
        let path = path.to_owned();
        let ask = move || {
            Client::new(&Config::load(&file).unwrap())
                .get(&path)
                .unwrap()
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// Waits until the bus has carried something.
    async fn until_it_polls(&self) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let bus = self.get("/bus").await;
            if bus
                .pointer("/data/0/units/0/answers")
                .and_then(Value::as_u64)
                > Some(2)
            {
                return bus;
            }
            assert!(Instant::now() < deadline, "{bus}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_bus_is_told_and_listened_to() {
    let scene = scene().await;
    let bus = scene.until_it_polls().await;
    assert_eq!(bus["data"][0]["port"], "line a");
    let unit = &bus["data"][0]["units"][0];
    assert_eq!((&unit["unit"], &unit["timeouts"]), (&json!(1), &json!(0)));
    assert!(unit["utilisation_percent"].as_f64().unwrap() > 0.0);
    assert!(unit["turnaround_ms"]["mean"].as_f64().unwrap() > 0.0);
    scene.run(&["bus", "stats"]).await.unwrap();
    scene.run(&["bus", "stats", "line a"]).await.unwrap();
    let error = scene.run(&["bus", "stats", "line b"]).await.unwrap_err();
    assert!(error.to_string().contains("no such port"), "{error}");
    // It ends by itself after so many frames.
    let begin = Instant::now();
    scene
        .run(&["capture", "line a", "--frames", "4", "--for", "60s"])
        .await
        .unwrap();
    assert!(begin.elapsed() < Duration::from_secs(30));
    let file = scene.folder.path().join("edge.toml");
    let listen = move || {
        let mut client = Client::new(&Config::load(&file).unwrap());
        let answer = client
            .get_for_bytes("/bus/line%20a/capture?seconds=60")
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(answer));
        serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap()
    };
    let piece = tokio::task::spawn_blocking(listen).await.unwrap();
    assert!(piece["hex"].as_str().unwrap().len() >= 16, "{piece}");
    scene.agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_written_only_where_it_is_released_and_noted_with_its_writer() {
    let scene = scene().await;
    scene.until_it_polls().await;
    let write = async |line: &[&str]| {
        let line = [&["write", "--by", "Eva", "--yes"], line].concat();
        scene.run(&line).await
    };
    write(&["pump-7/setpoint", "21.5"]).await.unwrap();
    write(&["pump-7", "500", "--point", "hr:201"])
        .await
        .unwrap();
    for (line, words) in [
        (&["pump-7/setpoint", "51"][..], "range is 0 to 50"),
        (&["pump-7/running", "1"], "not released"),
        (&["pump-7", "1", "--point", "hr:98"], "not released"),
        (&["pump-7/gone", "1"], "no sensor"),
        (&["pump-8/setpoint", "1"], "no such device"),
    ] {
        let error = format!("{:#}", write(line).await.unwrap_err());
        assert!(error.contains(words), "{line:?}: {error}");
    }
    let unasked = scene
        .run(&["write", "pump-7/setpoint", "1", "--by", "Eva"])
        .await;
    assert!(unasked.unwrap_err().to_string().contains("add --yes"));
    // Its own port is not written to behind the agent's back.
    let target = format!("tcp://{}", scene.plant);
    let direct = [
        "write",
        &target,
        "7",
        "--point",
        "hr:202",
        "--yes",
        "--yes-write-to-device",
    ];
    let error = scene.run(&direct).await.unwrap_err().to_string();
    assert!(error.contains("write through the running agent"), "{error}");
    let points = ["hr:200", "hr:201", "hr:202"].map(str::to_owned);
    let answer = read_once(&target, 1, &points, Duration::from_secs(2)).await;
    let values = answer.unwrap().points;
    let words: Vec<u16> = values.iter().map(|point| point.words[0].u16).collect();
    assert_eq!(words, [215, 500, 0]);
    let config = scene.folder.path().join("data");
    scene.agent.stop().await.unwrap();
    let noted = noted(&config).await;
    assert_eq!(noted.len(), 12, "{noted:#?}");
    assert_eq!(
        noted[0],
        ("Eva".into(), "setpoint".into(), "21.5".into(), None)
    );
    let outcome = noted[1].3.as_deref().unwrap();
    assert!(outcome.starts_with("0 before, 215 written"), "{outcome}");
    assert!(noted[5].3.as_deref().unwrap().contains("range is 0 to 50"));
}

/// Who wrote what where, and what came of it, from the box's own events.
async fn noted(folder: &Path) -> Vec<(String, String, String, Option<String>)> {
    use crate::storage::{Keep, Storage, StorageOptions};
    use protocol::event::{Body, GatewayEvent};
    let options = StorageOptions {
        folder: folder.to_owned(),
        commit_tick: Duration::from_millis(50),
        seal_after: Duration::from_secs(3_600),
        buffer_bytes_max: 10 << 20,
        core_bytes_max: 10 << 20,
        ballast_bytes: 0,
        attachments_bytes_max: 1 << 20,
        keep: Keep::default(),
        disk: crate::storage::Disk::of,
        queue_polls_max: 64,
        now: crate::clock::now,
        clock: crate::clock::state,
    };
    let (sender, _committed) = tokio::sync::mpsc::channel(16);
    let (storage, _) = Storage::open(options, sender).unwrap();
    let mut events = Vec::new();
    for own in storage.sync_state().await.unwrap().events {
        let after = storage.events_after(own.incarnation, 0, 1 << 20).await;
        events.extend(after.unwrap());
    }
    let wrote = events.iter().filter_map(|(_, bytes)| {
        let event = protocol::wire::decode_event(bytes).unwrap();
        match event.body {
            Body::Gateway(GatewayEvent::Wrote {
                place,
                value,
                outcome,
                ..
            }) => Some((event.actor.name().to_owned(), place, value, outcome)),
            _ => None,
        }
    });
    wrote.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_nobody_configured_is_written_to_only_when_it_is_said_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    let station = Station::new(Plant::demo(1), Instant::now());
    tokio::spawn(serve(
        listener,
        Framing::Mbap,
        Arc::new(Mutex::new(station)),
    ));
    let write = async |line: &[&str]| {
        let line = [&["edge-agent", "write", &target], line, &["--json"]].concat();
        let cli = Cli::try_parse_from(line).unwrap();
        tokio::task::spawn_blocking(move || run(cli)).await.unwrap()
    };
    let point = ["--point", "hr:203:i16", "--unit", "2"];
    let error = write(&[&["-7"], &point[..]].concat()).await.unwrap_err();
    assert!(
        error.to_string().contains("--yes-write-to-device"),
        "{error}"
    );
    let meant = [&["-7", "--yes-write-to-device"], &point[..]].concat();
    let error = write(&meant).await.unwrap_err().to_string();
    assert!(
        error.contains("now: 0") && error.contains("add --yes"),
        "{error}"
    );
    write(&[&meant[..], &["--yes"]].concat()).await.unwrap();
    let points = ["hr:203:i16".to_owned()];
    let read = read_once(&target, 2, &points, Duration::from_secs(2)).await;
    assert_eq!(read.unwrap().points[0].words[0].i16, -7);
    let wrong = ["1", "--point", "ir:5", "--yes", "--yes-write-to-device"];
    let error = write(&wrong).await.unwrap_err().to_string();
    assert!(error.contains("can only be read"), "{error}");
}
