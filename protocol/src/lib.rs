//! The shared language of gateway and hub: facts, folds, blocks, frames and the sans-IO sessions.
//!
//! Never touches a clock, a file, a socket or a source of randomness: time and random bytes come
//! in as arguments, bytes and actions go out. Both programs and every test use the same code.

pub mod action;
pub mod alarm_load;
pub mod alarm_point;
pub mod alert;
pub mod asset;
pub mod attachment;
pub mod block;
pub mod bundle;
pub mod catalog;
pub mod claim;
pub mod event;
pub mod exchange;
pub mod id;
pub mod limits;
pub mod mux;
pub mod post;
pub mod ranges;
pub mod reading;
pub mod record;
pub mod rollup;
pub mod series;
pub mod smtp;
pub mod stock;
pub mod sync;
pub mod time;
pub mod unit;
pub mod view;
pub mod wire;
pub mod work_order;
