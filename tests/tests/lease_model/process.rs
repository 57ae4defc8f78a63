//! A node's process: what it holds of the shard, and what it waits for.

use quarry_types::{BootId, Epoch, NodeId, Sequence};

use super::{
    message::Answer,
    storage::{Fate, Writes},
};

/// A process of a node. Its lease is not seen: it may believe in it for as long as it likes (it is
/// frozen, or slow, or its clock is), and stop at any moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) restarts: u8,
    /// The newest grant that it began to load: it begins none twice, and none before it (`spent` of
    /// the runtime's `Runner`; views of the cluster grow only).
    pub(crate) spent: Epoch,
    pub(crate) phase: Phase,
}

/// Where a process is with the shard; the runtime's `ShardTask`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// It does nothing with it.
    #[default]
    Idle,
    /// It asked the store for the fence (`ShardTask::load`).
    Loading { epoch: Epoch },
    /// The store said that its fence stands; no row was read yet.
    Loaded { epoch: Epoch, sequence: Sequence },
    /// It read the rows (`ShardTask::recover`) and answers.
    Serving(Serving),
}

/// The shard's head (`Head` of `quarry-store`) and the state in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Serving {
    pub(crate) epoch: Epoch,
    pub(crate) sequence: Sequence,
    pub(crate) known: Writes,
    /// One commit of a shard is under way at a time.
    pub(crate) sending: Option<Sending>,
}

/// A commit under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sending {
    pub(crate) write: u8,
    /// Its answer is not waited for any more; its fate is being decided (`Standing::Deciding`).
    pub(crate) is_lost: bool,
}

/// What a process tells the client of the commit that it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Done.
    Acknowledged(u8),
    /// Surely not done: the commit with this epoch and sequence will never be there.
    Refused(Epoch, Sequence),
}

impl Process {
    /// Random in the code; here different for every process of every node.
    pub(crate) fn boot(&self, node: NodeId) -> BootId {
        BootId(10 * (node.0 + 1) + u64::from(self.restarts))
    }

    /// Whether an answer that was sent to this process could still be taken by it.
    pub(crate) fn awaits(&self, answer: &Answer) -> bool {
        let sending = |epoch: Epoch, sequence: Sequence| match self.phase {
            Phase::Serving(serving)
                if serving.epoch == epoch && serving.sequence.next() == sequence =>
            {
                serving.sending
            }
            _ => None,
        };
        match *answer {
            Answer::Loaded { epoch, .. } => self.phase == Phase::Loading { epoch },
            Answer::Committed { epoch, sequence, .. } => {
                sending(epoch, sequence).is_some_and(|sending| !sending.is_lost)
            }
            Answer::Decided { epoch, sequence, .. } => {
                sending(epoch, sequence).is_some_and(|sending| sending.is_lost)
            }
        }
    }

    /// Takes an answer that it awaits.
    pub(crate) fn hear(&mut self, answer: &Answer) -> Option<Told> {
        let fate = match *answer {
            Answer::Loaded { epoch, sequence, .. } => {
                self.phase = Phase::Loaded { epoch, sequence };
                return None;
            }
            Answer::Committed { written: true, .. } => Fate::Written,
            Answer::Committed { written: false, .. } => Fate::Fenced { written: false },
            Answer::Decided { fate, .. } => fate,
        };
        self.settle(fate)
    }

    /// `Committer::settle` and `Committer::decided` of `quarry-store`: the head goes on, or is lost.
    fn settle(&mut self, fate: Fate) -> Option<Told> {
        let Phase::Serving(mut serving) = self.phase else { return None };
        let write = serving.sending.take()?.write;
        let next = serving.sequence.next();
        let told = match fate {
            Fate::Written | Fate::Fenced { written: true } => Told::Acknowledged(write),
            Fate::Voided | Fate::Absent | Fate::Fenced { written: false } => {
                Told::Refused(serving.epoch, next)
            }
        };
        match fate {
            Fate::Written => {
                serving.known = serving.known.with(write);
                serving.sequence = next;
            }
            Fate::Voided => serving.sequence = next,
            Fate::Absent | Fate::Fenced { .. } => {}
        }
        self.phase = match fate {
            Fate::Fenced { .. } => Phase::Idle,
            _ => Phase::Serving(serving),
        };
        Some(told)
    }
}
