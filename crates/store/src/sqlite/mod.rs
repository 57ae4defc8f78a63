//! SQLite: one file, one writer at a time, several processes of one host.
//!
//! WAL with `synchronous=FULL`: a commit is durable when it returns. Writes of one process go
//! through one connection in turn; between processes the file's lock decides, and waiting for it is
//! ours (`busy_timeout` is 0), short and jittered. Checkpoints never run inside a commit.

mod checkpoint;
mod connect;
mod fence;
mod file;
mod journal;
mod machine;
mod retire;
mod script;
mod sends;
mod statements;
mod tally;
mod time;
mod trust;
mod write;
mod writer;

pub(crate) use file::Sqlite;
pub(crate) use machine::{Machine, serves_another};
