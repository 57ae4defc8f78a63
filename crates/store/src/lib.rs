//! SQL adapters of Quarry's store: SQLite and PostgreSQL.
//!
//! One adapter, [`open`]ed by URL, over two databases:
//!
//! * `queue` and `committer`: commits wait in a lane; whatever waits together is flushed together
//!   (group commit). A shard belongs to exactly one lane, which numbers its commits.
//! * `check`: what can be told of a commit without the database; encodes what is stored encoded.
//! * `group`: what a group of commits writes, row by row, as a value; no SQL.
//! * `database`: what the two databases do differently; `sqlite` and `postgres` implement it.
//! * `read`: queries that both databases understand.
//! * `known`: what was acknowledged last, for a mark beside the store.
//! * `retire`: what is past its retention.
//! * `examine`: whether a database could be used, without changing it; `uses`: of which types it has rows.
//! * `unreadable`: what cannot be read is told once, and nothing else waits for it.
//! * `schema`: the embedded migrations.

mod adapter;
mod check;
mod committer;
mod database;
mod examine;
mod fence_sql;
mod group;
mod head;
mod known;
mod lookup;
mod open;
mod postgres;
mod queue;
mod read;
mod read_chunks;
mod read_journal;
mod read_open;
mod read_sends;
mod record;
mod refusals;
mod retire;
mod schema;
mod sqlite;
mod unreadable;
mod uses;

pub use examine::{Examined, examine};
pub use open::{OpenError, Options, open, sqlite_path};
pub use uses::{Uses, uses};
