//! The rules of the repository as tests. Each rule is a function from text to complaints, with a
//! bad sample beside it that shows that it can fail; here they meet the real tree.
//! Never changes a file: a complaint says what to change.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::indexing_slicing,
    reason = "all of it is test code: what it does not expect must fail the run"
)]

mod configs;
mod docs;
mod lengths;
mod rooms;
mod source;
mod text;

use source::Tree;

/// Fails with all complaints, one per line.
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let table = include_str!("edges.toml");
    none(&rooms::complaints(&Tree::read(), table));
}

#[test]
fn functions_and_files_are_short() {
    none(&lengths::complaints(
        &Tree::read(),
        include_str!("ratchet.toml"),
    ));
}

#[test]
fn every_rust_file_says_what_it_is() {
    none(&text::without_opening(&Tree::read()));
}

#[test]
fn nothing_unfinished_and_no_path_of_a_machine() {
    none(&text::unfinished_or_local(&Tree::read()));
}

#[test]
fn only_the_stores_name_the_database() {
    none(&text::database_outside_its_room(&Tree::read()));
}

#[test]
fn one_module_per_program_reads_the_clock() {
    none(&text::clock_outside_its_module(&Tree::read()));
}

#[test]
fn cited_sections_of_the_protocol_exist() {
    none(&docs::missing_sections(&Tree::read()));
}

#[test]
fn every_configuration_parses() {
    none(&configs::complaints(&Tree::read()));
}

#[test]
fn driver_folders_are_complete() {
    none(&docs::driver_folders(&Tree::read()));
}

#[test]
fn promises_parse_and_their_commands_exist() {
    none(&docs::promises(&Tree::read()));
}
