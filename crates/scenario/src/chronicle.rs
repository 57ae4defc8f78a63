//! What happened in a run.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quarry_ports::Host;
use quarry_types::Monotonic;
use xxhash_rust::xxh3::xxh3_64;

/// What has to happen in some runs; else they prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// A lease was ended before its time, because its process was found gone.
    LeaseEndedEarly,
    /// A commit of a process that had lost its shard was refused by the fence.
    ZombieRefused,
    /// A shard was loaded by its next owner while a commit of the one before was on its way.
    HandoffDuringCommit,
    /// The answer of a commit was lost.
    LostCommitAnswer,
    /// A call was answered that had been sent more than once.
    Resend,
    /// A message was set aside after its last attempt.
    Quarantine,
    /// Readers of a stream were told to start over.
    StreamReset,
    /// Another voter took the lead.
    LeaderChange,
    /// A shard was loaded by another process than before.
    Takeover,
    /// A process was frozen for longer than its lease.
    FrozenBeyondLease,
    /// A node was drained, and ended in order.
    Drained,
    /// Outcomes went when their retention was over.
    Retired,
    /// A half of a shard was loaded, and the whole closed.
    Split,
    /// A handler ended its process.
    ProcessEnded,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::LeaseEndedEarly,
        Self::ZombieRefused,
        Self::HandoffDuringCommit,
        Self::LostCommitAnswer,
        Self::Resend,
        Self::Quarantine,
        Self::StreamReset,
        Self::LeaderChange,
        Self::Takeover,
        Self::FrozenBeyondLease,
        Self::Drained,
        Self::Retired,
        Self::Split,
        Self::ProcessEnded,
    ];

    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeaseEndedEarly => "lease ended early",
            Self::ZombieRefused => "zombie refused",
            Self::HandoffDuringCommit => "handoff during a commit",
            Self::LostCommitAnswer => "lost commit answer",
            Self::Resend => "resend",
            Self::Quarantine => "quarantine",
            Self::StreamReset => "reset of a stream",
            Self::LeaderChange => "leader change",
            Self::Takeover => "takeover",
            Self::FrozenBeyondLease => "frozen beyond its lease",
            Self::Drained => "drained",
            Self::Retired => "retired",
            Self::Split => "split",
            Self::ProcessEnded => "process ended by a handler",
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What broke an invariant or a promise, in order; empty where all is well.
    pub violations: Vec<String>,
    /// How often each point was reached.
    pub reached: BTreeMap<Point, u64>,
    /// Calls that were acknowledged.
    pub acknowledged: u64,
    /// Commits that were written.
    pub commits: u64,
    /// How long it lasted in virtual time.
    pub lasted: Duration,
    /// What happened, line by line: `seconds what`.
    pub trace: String,
}

impl Report {
    /// Stands for the whole trace.
    pub fn digest(&self) -> u64 {
        xxh3_64(self.trace.as_bytes())
    }
}

#[derive(Default)]
struct Pages {
    trace: String,
    violations: Vec<String>,
    reached: BTreeMap<Point, u64>,
    acknowledged: u64,
    commits: u64,
}

/// Takes down what happens.
pub(crate) struct Chronicle {
    host: Host,
    begun: Monotonic,
    pages: Mutex<Pages>,
}

/// Beyond so many, no more is told of what is wrong.
const MOST_VIOLATIONS: usize = 20;

impl Chronicle {
    pub(crate) fn new(host: Host) -> Self {
        let begun = host.now();
        Self { host, begun, pages: Mutex::default() }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        self.host.now().since(self.begun)
    }

    pub(crate) fn note(&self, what: &str) {
        let at = self.elapsed().as_secs_f64();
        // Writing to a text cannot fail.
        let _ = writeln!(self.pages().trace, "{at:.6} {what}");
    }

    pub(crate) fn reach(&self, point: Point) {
        *self.pages().reached.entry(point).or_default() += 1;
    }

    pub(crate) fn violation(&self, what: &str) {
        self.note(&format!("VIOLATION {what}"));
        let mut pages = self.pages();
        if pages.violations.len() < MOST_VIOLATIONS {
            pages.violations.push(what.to_owned());
        }
    }

    /// Says what is wrong where something is.
    pub(crate) fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violation(&what());
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        !self.pages().violations.is_empty()
    }

    pub(crate) fn acknowledged(&self) {
        self.pages().acknowledged += 1;
    }

    pub(crate) fn committed(&self) {
        self.pages().commits += 1;
    }

    pub(crate) fn close(&self, seed: u64) -> Report {
        let lasted = self.elapsed();
        let pages = std::mem::take(&mut *self.pages());
        Report {
            seed,
            violations: pages.violations,
            reached: pages.reached,
            acknowledged: pages.acknowledged,
            commits: pages.commits,
            lasted,
            trace: pages.trace,
        }
    }
}
