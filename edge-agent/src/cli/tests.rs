//! The command line as people type it.

mod field;

use super::*;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
    Staying::command().debug_assert();
}

#[test]
fn the_program_that_stays_is_started_by_run_alone() {
    for line in [
        &["edge-agent", "run"][..],
        &["edge-agent", "--config", "e.toml", "run", "--log", "debug"],
        &["edge-agent", "run", "--config", "e.toml", "--json"],
    ] {
        let short = Staying::try_parse_from(line).unwrap();
        let long = Cli::try_parse_from(line).unwrap();
        assert_eq!(format!("{:?}", short.all), format!("{:?}", long.all));
        let (OnlyRun::Run(short), Command::Run(long)) = (short.command, long.command) else {
            panic!("{line:?} is another command");
        };
        assert_eq!(format!("{short:?}"), format!("{long:?}"));
    }
    for line in [
        &["edge-agent", "check"][..],
        &["edge-agent", "run", "--help"],
        &["edge-agent", "run", "--bogus"],
        &["edge-agent", "--version"],
    ] {
        assert!(Staying::try_parse_from(line).is_err(), "{line:?}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for line in [
        &["edge-agent"][..],
        &["edge-agent", "fly"],
        &["edge-agent", "enrol"],
        &["edge-agent", "read", "tcp://10.0.0.5:502"],
        &[
            "edge-agent",
            "read",
            "tcp://10.0.0.5:502",
            "hr:0",
            "--unit",
            "256",
        ],
        &[
            "edge-agent",
            "read",
            "tcp://10.0.0.5:502",
            "hr:0",
            "--timeout",
            "0s",
        ],
        &["edge-agent", "wo", "hold", "B1-0001"],
        &["edge-agent", "wo", "hold", "B1-0001", "--reason", "rain"],
        &["edge-agent", "wo", "new"],
        &["edge-agent", "wo", "new", "Grease it", "--priority", "6"],
        &["edge-agent", "alerts", "close", "1234"],
        &["edge-agent", "simulate", "--listen", "here"],
        &["edge-agent", "simulate", "--speed", "10"],
        &[
            "edge-agent",
            "simulate",
            "--csv",
            "a.csv",
            "--speed",
            "fast",
        ],
        &["edge-agent", "simulate", "--csv", "a.csv", "--rows", "9..3"],
    ] {
        let error = Cli::try_parse_from(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line:?}: {error}");
    }
}

/// Where nobody takes requests.
pub(super) fn idle_desk(config: &Config) -> crate::documents::Desk {
    crate::documents::Documents::look(&config.gateway.data_dir, false)
        .desk()
        .0
}

/// A box without ports that runs, and its configuration as a command of the same box sees it.
async fn running_box(web: &str) -> (tempfile::TempDir, crate::agent::Agent, Config) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("code"), "654321\n").unwrap();
    let text = format!("[gateway]\nname = \"Test box\"\ndata_dir = \"data\"\n[web]\n{web}\n");
    let mut config = Config::parse(&folder.path().join("edge.toml"), &text).unwrap();
    let agent = crate::agent::Agent::start(config.clone(), idle_desk(&config))
        .await
        .unwrap();
    config.web.listen.set_port(agent.web.port());
    (folder, agent, config)
}

/// Runs a command line against the running box, as `main` does.
async fn ask(config: &Config, line: &[&str]) -> anyhow::Result<(Value, String)> {
    let config = config.clone();
    let cli = Cli::try_parse_from(line).unwrap();
    let work = move || {
        let mut client = Client::new(&config);
        match cli.command {
            Command::Status => status::status(&mut client),
            Command::Alerts(command) => command.run(&mut client),
            Command::Wo(command) => command.run(&mut client),
            other => panic!("{other:?}"),
        }
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn an_order_is_written_worked_and_found_by_its_number() {
    let (_folder, agent, config) = running_box("listen = \"127.0.0.1:0\"").await;
    let wo = async |line: &[&str]| {
        let line = [&["edge-agent", "wo", "--by", "Eva"], line].concat();
        ask(&config, &line).await
    };
    let (order, words) = wo(&["new", "Grease P-247", "--asset", "P-247"])
        .await
        .unwrap();
    let number = order["number"].as_str().unwrap().to_owned();
    assert!(
        words.contains(&format!("Work order   {number}  Grease P-247\n")),
        "{words}"
    );
    for (line, state) in [
        (&["start", number.as_str()][..], "in_progress"),
        (
            &[
                "hold",
                &number,
                "--reason",
                "material",
                "--note",
                "no grease",
            ],
            "on_hold",
        ),
        (&["resume", &number.to_lowercase()], "in_progress"),
        (&["note", &number, "it was dry"], "in_progress"),
        (&["part", &number, "grease EP2", "0.5"], "in_progress"),
        (
            &[
                "complete",
                &number,
                "--remedy",
                "greased",
                "--minutes",
                "20",
            ],
            "done",
        ),
    ] {
        let (order, _) = wo(line).await.unwrap();
        assert_eq!(order["state"], state, "{line:?}");
    }
    let (_, words) = wo(&["show", order["id"].as_str().unwrap()]).await.unwrap();
    for expected in [
        "worked 20 minutes",
        "used 0.5 x grease EP2",
        "it was dry",
        " by Eva\n",
    ] {
        assert!(words.contains(expected), "{expected} is not in\n{words}");
    }
    let error = wo(&["start", &number]).await.unwrap_err().to_string();
    assert!(error.starts_with("This is not possible now: "), "{error}");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn lists_show_all_and_what_is_not_there_is_told_with_the_way_to_find_it() {
    let (_folder, agent, config) = running_box("listen = \"127.0.0.1:0\"").await;
    let ask = async |line: &[&str]| ask(&config, &[&["edge-agent"], line].concat()).await;
    for title in ["Grease P-247", "Paint the door"] {
        ask(&["wo", "new", title, "--by", "Eva"]).await.unwrap();
    }
    let (list, words) = ask(&["wo", "list", "--all"]).await.unwrap();
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    assert!(
        words.starts_with("NUMBER") && words.contains("Grease P-247"),
        "{words}"
    );
    let error = ask(&["wo", "show", "B9-1"]).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "none of the work orders is \"B9-1\"; `edge-agent wo list --all` shows them"
    );
    let error = ask(&["alerts", "ack", "12345678", "--by", "Eva"]).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`edge-agent alerts list --all`"), "{error}");
    let (_, words) = ask(&["alerts"]).await.unwrap();
    assert_eq!(words, "There is no alert.");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn the_access_code_is_taken_from_the_configuration() {
    let web = "listen = \"0.0.0.0:0\"\naccess_code_file = \"code\"";
    let (folder, agent, mut config) = running_box(web).await;
    let (status, words) = ask(&config, &["edge-agent", "status"]).await.unwrap();
    assert_eq!(status["gateway"]["id"], agent.gateway.to_string());
    assert!(words.starts_with("Box          Test box (WO)\n"), "{words}");
    assert!(words.contains("Link         not enrolled since"), "{words}");
    std::fs::write(folder.path().join("code"), "000000").unwrap();
    let error = ask(&config, &["edge-agent", "wo"]).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("entering the access code of") && error.contains("is wrong"),
        "{error}"
    );
    config.web.access_code_file = None;
    let error = ask(&config, &["edge-agent", "status"]).await.unwrap_err();
    assert!(error.to_string().contains("access_code_file"), "{error}");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_box_that_does_not_run_says_what_to_do() {
    let (_folder, agent, config) = running_box("listen = \"127.0.0.1:0\"").await;
    agent.stop().await.unwrap();
    let error = ask(&config, &["edge-agent", "status"]).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("start it with `edge-agent run`"), "{error}");
}
