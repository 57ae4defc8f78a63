//! The coordinator's replicated state machine: who is in the cluster, and who owns what.
//!
//! A voter applies each committed log entry with [`State::apply`]; the same entries give the same
//! state on every voter. Time never enters: leases are counted by [`crate::lease`] on the leader,
//! and only their ends are entries.
//!
//! Ownership changes in two ways. A shard whose owner is gone is granted to another runner in the
//! same entry. A shard whose owner lives is marked with `moving_to`; the owner finishes what runs,
//! closes the shard and says so with [`Command::Release`], and only then it is granted.
//!
//! A shard that is split is replaced by its halves in one entry. Its owner owns both of them from
//! then on, under one new epoch, and the store closes the fence of the whole when the first half is
//! loaded, whoever owns it by then.
//!
//! A group that entity types are bound to has a space of its own: shards that hold every slot once, and
//! that only runners of the group own. A type is bound where the cluster is made, or before its first
//! use, which is an entry of its own: so no entity is ever looked for in two spaces.

mod apply;
mod audit;
mod command;
mod forecast;
mod history;
mod ownership;
#[cfg(test)]
mod random_tests;
mod response;
#[cfg(test)]
mod space_tests;
mod spaces;
mod split;
mod state;
#[cfg(test)]
mod tests;
mod versions;

pub use apply::MAX_RECORDED;
pub use audit::{Breach, Ownership, audit};
pub use command::{At, Command, Founding, LeaseEnd, Loads, Member};
pub use forecast::{Forecast, Foreseen, Unknown, forecast};
pub use ownership::planner_input;
pub use response::{Changes, Ignored, Refused, Response};
pub use state::State;
pub use versions::{Unfit, Versions, fit};
