//! Sends between entities: what a handler sent is a row of the sender's shard, written in the commit
//! of its state and outcome, and passed on from there to the target's owner until that has it.
//!
//! The [`Outbox`] of a shard decides what is passed on when. It is told what became durable, what a
//! page of the store holds and what a target's owner answered; it never speaks of a send before the
//! commit that made it (O1). Rules that shape it:
//! * Sends from one entity to one target go one after another, each after the one before was
//!   accepted (G4); others go side by side, within a window.
//! * A send is admitted under the key of its [`SendId`], so passing it on again does nothing twice.
//!   An owner that found it in the store says so, since it may have been passed on before.
//! * What is held in memory is a beginning of what is open, in the order of its making. The rest
//!   stays in the store and is read in pages, after a takeover as after an overflow.
//! * A send that is accepted is closed by a later commit of its shard. One that no target takes is
//!   given up, visibly, while the target still knows every key that it might have accepted it under.

mod entry;
mod limits;
mod machine;
#[cfg(test)]
mod tests;

pub use entry::{Closed, Ending, Entry, Outgoing, Passing, Place, SendId, Verdict};
pub use limits::OutboxLimits;
pub use machine::Outbox;
