//! Whole-process tests: the real agent and the real hub beside a third-party Modbus server, with an
//! uplink that can be cut. Each test judges by what stands in both stores, row by row, and by what
//! both interfaces show; never by what a program says of itself alone.
#![expect(
    clippy::indexing_slicing,
    reason = "a part of an answer that is not there is null, and the comparison with it fails"
)]

mod alarm_life;
mod alarms;
mod attachments;
mod backlog;
mod browser;
mod bundle;
mod carried;
mod clock;
mod commands;
mod damage;
mod disks;
mod documents;
mod errors;
mod https;
mod hub_pages;
mod hub_shelf;
mod kills;
mod live;
mod modbus;
mod notify;
mod offline_page;
mod orders;
mod outage;
mod page_life;
mod plant;
mod power;
mod readings;
mod records;
mod reload;
mod restored;
mod rules;
mod stick;
mod texts;
mod transport;
mod trusted_page;
mod tui;
mod week;

/// A figure of docs/promises.md.
#[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
fn measured(text: &str) {
    println!("measured: {text}");
}

/// What another program printed.
#[expect(clippy::print_stdout, reason = "the test shows it as it came")]
fn told(line: &str) {
    println!("{line}");
}
