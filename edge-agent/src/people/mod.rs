//! Who acts on the box: PINs of the site bundle, sessions, lock-outs, and what each role may do.
//! Values only: never reads a clock, a file or a socket; time and random bytes are arguments.

mod act;
mod incoming;
mod pin;
mod sign_ins;

pub use act::Act;
pub use incoming::Incoming;
pub use pin::{PIN_DIGITS, is_pin, verify};
pub use sign_ins::{Held, SESSION_US, SignIns, TRIES_US};
