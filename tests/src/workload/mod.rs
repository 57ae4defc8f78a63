//! Clients that call entities, through all addresses, until they are answered.
//!
//! [`Registers`] and [`Counters`] note what they do in one history, so that both are ordered by the
//! same stamps.

mod bystanders;
mod caller;
mod counters;
mod crowd;
mod load;
mod pace;
mod registers;

pub use bystanders::{Bystanders, Seen};
pub use counters::{Counted, Counters};
pub use crowd::Crowd;
pub use load::{Load, LoadRun};
pub use pace::{Pace, Timed, quantile};
pub use registers::{Appended, Registers, Verified};
