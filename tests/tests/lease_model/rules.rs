//! The rules of the protocol, and what is left out to see whether the model notices.

/// Sound, or broken in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// As the store and the runtime do it.
    Sound,
    /// A commit is written whatever epoch stands in the fence.
    NoFenceOnWrites,
    /// A takeover reads without raising the fence; the first write of the new owner raises it.
    FenceAtFirstWrite,
    /// A commit is written whatever the last sequence is, and sent again when its answer is lost.
    NoWriteSequence,
    /// A fence is raised where the epoch is the same, whichever process asks.
    GrantLoadableTwice,
    /// The fate of a commit whose answer was lost is decided by looking, not by writing.
    LookInsteadOfVoid,
}

/// What the network between runners and store does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Delivers in any order, late, never, or as often as it likes.
    Duplicating,
    /// Delivers in any order, late or never, but each request once.
    AtMostOnce,
}

/// How far the model goes. Everything else is free: when a lease ends, how long a runner believes
/// in it, which process runs next, what arrives when, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Grants of the shard, of which any may be to any node.
    pub(crate) grants: u64,
    /// Writes that clients ask for, each as often as they like.
    pub(crate) writes: u8,
    /// Restarts of processes, of all nodes together.
    pub(crate) restarts: u8,
    /// Commits of the shard, void ones included.
    pub(crate) sequences: u64,
}

/// What is kept of the requests that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requests {
    /// All.
    Kept,
    /// All but those that can change nothing any more, by rules that are sound: fences and
    /// sequences only grow, so they never will. There are fewer states, and the same to be seen.
    KeptWhileLive,
}

/// How a model goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) rules: Rules,
    pub(crate) network: Network,
    pub(crate) requests: Requests,
}
