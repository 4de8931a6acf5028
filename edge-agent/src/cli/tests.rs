//! The command line as people type it.

use super::*;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
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
