//! Which entities are in memory: residents, with a live actor, and dormant ones, of which only the
//! state is kept.
//!
//! A [`Residents`] counts the residents of a runner against its caps. Where there is no room, the
//! least recently used one that rests is asked to leave, and the new one enters when it is gone. What
//! runs is never asked, so a runner has at most its cap, and what runs beyond. [`Dormant`] keeps the
//! states of those that left, as long as there is room for their bytes.

mod dormant;
#[cfg(test)]
mod dormant_tests;
mod residents;
#[cfg(test)]
mod residents_tests;

pub use dormant::{Committed, Dormant};
pub use residents::{Caps, Move, ResidentId, Residents};
