//! The agent on the box. What it does is in `edge_agent::cli`. Never holds code of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    edge_agent::cli::main()
}
