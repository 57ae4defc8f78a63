//! The life of a message in its shard, as one machine per owned shard.
//!
//! The machine admits, dedupes, orders, runs, commits, answers, retries and quarantines. It is told
//! what happened ([`Shard::admit`], [`Shard::intervene`], [`Shard::looked_up`],
//! [`Shard::activated`], [`Shard::ran`], [`Shard::committed`], …) and pushes [`Effect`]s for its shell to perform. `W` is the shell's way
//! back to a caller; the machine only moves it around.
//!
//! Rules that shape it:
//! * One commit of a shard is in flight at a time; what is ready meanwhile goes together in the
//!   next. So a failed commit has nothing behind it in the store.
//! * Handlers may run ahead of their entity's commits, bounded; no answer leaves before the commit
//!   of every state that its handler could see.
//! * An entity's messages run in admitted order, a failed one's retries included (D3). One that is
//!   quarantined lets the later ones go on, or holds them up, as its type says.
//! * A message that may have ended its process twice runs alone, so that it can be blamed.
//! * What waits and would never be woken is looked for, and let go on (G9).
//! * Memory holds a window of what is open; the rest is read in pages, in order (G7). So it is with a
//!   message's chunks, which a handler that runs again is compared with.

mod admit;
#[cfg(test)]
mod ahead_tests;
mod attempts;
mod audit;
#[cfg(test)]
mod audit_tests;
mod backlog;
#[cfg(test)]
mod backlog_tests;
mod batch;
mod burden;
mod close;
mod delay;
#[cfg(test)]
mod delay_tests;
#[cfg(test)]
mod discard_tests;
mod emit;
mod entity;
mod fail;
#[cfg(test)]
mod fail_tests;
mod hold;
#[cfg(test)]
mod hold_tests;
mod horizon;
#[cfg(test)]
mod horizon_tests;
mod limits;
mod look;
mod marks;
mod message;
#[cfg(test)]
mod model_tests;
mod operate;
#[cfg(test)]
mod operate_tests;
mod part;
mod read;
mod reading;
mod record;
mod recover;
mod rest;
mod run;
mod send;
#[cfg(test)]
mod send_tests;
mod settle;
mod shard;
mod stream;
#[cfg(test)]
mod stream_model_tests;
#[cfg(test)]
mod stream_page_tests;
#[cfg(test)]
mod stream_tests;
mod suspect;
#[cfg(test)]
mod suspect_tests;
#[cfg(test)]
mod tests;
mod turns;
#[cfg(test)]
mod turns_tests;

pub use backlog::{BacklogLimits, OpenPage, OpenRead, Which};
pub use batch::{Accept, Batch, ChunkRecord, CommitFailure, Finish, OpenRecord, OpenRecordState};
pub use emit::{ChunkLimits, ChunkRead};
pub use limits::{AfterQuarantine, Limits, TypeLimits};
pub use look::InMemory;
pub use message::{Cursor, Found, FoundState, Position, Recovered};
pub use operate::{Fetched, FetchedState};
pub use run::{ActivationFailure, Ran, RunId, RunKind, Work};
pub use send::SendPage;
pub use shard::{Check, Effect, KeyQuestion, Shard};
pub use stream::{Chunk, Emission};
