//! The promises of the store: each fact once, all of a transaction or nothing, nothing lost.

mod contents;
mod crash;
mod events;
mod group;
mod lists;
mod orders;
mod readings;
mod rows;
mod upkeep;
mod words;
