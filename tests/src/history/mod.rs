//! What clients did to registers and counters, and whether what stands there can have come of it.
//!
//! [`Recorder`] collects a [`History`] while clients run; [`check`] and [`check_counters`] are pure
//! functions over it and the final content, and [`around`] shows what happened where they found
//! something.

mod check;
mod counters;
mod recorder;
mod window;

pub use check::{Breach, check};
pub use counters::{CounterBreach, CounterBreachKind, check_counters};
pub use recorder::{Add, AddEnd, AddId, Call, CallId, End, Entry, History, Note, Read, Recorder};
pub use window::{Place, around};
