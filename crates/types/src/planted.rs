//! Bugs that can be planted to see whether the checks find them.
//!
//! Without the feature `planted-bugs` nothing can be planted, and each place asks a constant. With it
//! nothing is planted until a program names a bug; and no release can be built with it.

use core::fmt;

#[cfg(all(feature = "planted-bugs", not(debug_assertions)))]
compile_error!("the feature `planted-bugs` is for tests: nothing that is released may have it");

/// A bug that checks have to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Bug {
    /// The store takes commits of any epoch, and of any sequence (L3).
    NoFence = 1,
    /// The fence is raised by the first commit of an owner instead of its load (L4).
    FenceLate,
    /// A restarted process goes on under the grants of the one before it (L5).
    GrantReuse,
    /// A key is not looked for among what is stored (G5).
    NoDedupe,
    /// A commit is acknowledged when it is sent (G1).
    AckEarly,
    /// Sends are written by a commit of their own, behind the one of their handler (G2).
    OutboxOutsideTransaction,
    /// The fence is not checked before a current read is answered (L4).
    StaleRead,
    /// A lease that was held once is taken for held for ever (L2).
    LeaseIgnored,
    /// A lease is ended after a third of its time (L2).
    RegrantEarly,
    /// A send is closed whatever its target said (G1).
    SendClosedEarly,
    /// A voter's vote is not written to its disk (S1).
    VoteForgotten,
    /// A journal is not told that an attempt began anew (G2).
    ResetUnrecorded,
    /// A state is written by a commit of its own, behind the one of the outcome (D2).
    StateOutsideTransaction,
    /// A message whose attempt failed waits behind the others of its entity (D3).
    RetryBehind,
    /// No message is ever out of attempts (D4).
    AttemptsUnbounded,
    /// Runners give a shard away that is within their share (S2).
    GiveTooMuch,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::NoFence,
        Self::FenceLate,
        Self::GrantReuse,
        Self::NoDedupe,
        Self::AckEarly,
        Self::OutboxOutsideTransaction,
        Self::StaleRead,
        Self::LeaseIgnored,
        Self::RegrantEarly,
        Self::SendClosedEarly,
        Self::VoteForgotten,
        Self::ResetUnrecorded,
        Self::StateOutsideTransaction,
        Self::RetryBehind,
        Self::AttemptsUnbounded,
        Self::GiveTooMuch,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoFence => "no-fence",
            Self::FenceLate => "fence-late",
            Self::GrantReuse => "grant-reuse",
            Self::NoDedupe => "no-dedupe",
            Self::AckEarly => "ack-early",
            Self::OutboxOutsideTransaction => "outbox-outside-transaction",
            Self::StaleRead => "stale-read",
            Self::LeaseIgnored => "lease-ignored",
            Self::RegrantEarly => "regrant-early",
            Self::SendClosedEarly => "send-closed-early",
            Self::VoteForgotten => "vote-forgotten",
            Self::ResetUnrecorded => "reset-unrecorded",
            Self::StateOutsideTransaction => "state-outside-transaction",
            Self::RetryBehind => "retry-behind",
            Self::AttemptsUnbounded => "attempts-unbounded",
            Self::GiveTooMuch => "give-too-much",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(feature = "planted-bugs")]
static PLANTED: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Plants `bug` in this process in place of any other, or none.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), core::sync::atomic::Ordering::Relaxed);
}

/// Whether `bug` is planted.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.load(core::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether `bug` is planted: never, without the feature.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
