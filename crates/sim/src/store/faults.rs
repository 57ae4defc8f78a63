//! Faults of the in-memory store, switched by the test: deterministic, never by chance.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What became of a commit whose answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostCommit {
    /// It is durable; only the answer is lost.
    Written,
    /// It never reached the database.
    NotWritten,
}

#[derive(Debug, Default)]
struct Switches {
    unavailable: Option<String>,
    lost: Vec<LostCommit>,
    commit_time: Duration,
    rows_to_lose: u32,
}

/// The switches of one database; shared by all stores opened on it.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Switches>);

impl Faults {
    fn switches(&self) -> MutexGuard<'_, Switches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing is answered but `reason`.
    pub fn set_unavailable(&self, reason: &str) {
        self.switches().unavailable = Some(reason.to_owned());
    }

    /// The database answers again.
    pub fn set_available(&self) {
        self.switches().unavailable = None;
    }

    /// The answers of the next commits are lost, in this order; their fate cannot be decided.
    pub fn lose_answers(&self, commits: impl IntoIterator<Item = LostCommit>) {
        self.switches().lost.extend(commits);
    }

    /// How long a commit takes until it is answered; zero at the start.
    pub fn set_commit_time(&self, time: Duration) {
        self.switches().commit_time = time;
    }

    /// The next pages of open messages that hold any lack their first one, until `rows` were lost.
    pub fn lose_rows(&self, rows: u32) {
        self.switches().rows_to_lose = rows;
    }

    /// How many rows are still to be lost.
    pub fn rows_to_lose(&self) -> u32 {
        self.switches().rows_to_lose
    }

    pub(super) fn loses_row(&self) -> bool {
        let mut switches = self.switches();
        let left = switches.rows_to_lose.checked_sub(1);
        switches.rows_to_lose = left.unwrap_or(0);
        left.is_some()
    }

    pub(super) fn unavailable(&self) -> Option<String> {
        self.switches().unavailable.clone()
    }

    pub(super) fn next_lost(&self) -> Option<LostCommit> {
        let mut switches = self.switches();
        if switches.lost.is_empty() { None } else { Some(switches.lost.remove(0)) }
    }

    pub(super) fn commit_time(&self) -> Duration {
        self.switches().commit_time
    }
}
