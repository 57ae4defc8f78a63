//! The catalogue of invariants: what the core asserts, the simulator checks and metrics count.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)+) => {
        /// The id of an invariant, as it stands in comments, metrics and reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum InvariantId {
            $($(#[$doc])* $name,)+
        }

        impl InvariantId {
            /// All of them, in the order of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The id as it stands in metrics and reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What holds, for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

catalogue! {
    /// Ownership is a function.
    S1 => "every slot belongs to exactly one shard, and every shard to at most one (runner, epoch)",
    /// Plans move little.
    S2 => "a plan moves no shard whose owner stays and stays within its share; one node's leaving \
           moves only its shards",
    /// Epochs grow.
    L1 => "epochs of a shard only grow, and no two grants of one shard share one",
    /// Leases do not overlap.
    L2 => "a runner stops admitting and committing before the coordinator may regrant its shards, \
           with the rate bound of the failure model; a lease ended early needs proof of death, or \
           opens the shard for durable work only",
    /// The store is fenced.
    L3 => "the store accepts a commit only where the epoch equals the recorded one and its \
           sequence is the last one plus one, in the same transaction",
    /// Fence first, then read.
    L4 => "no read of a shard's rows precedes the commit of its fence; reads that claim to be \
           current check it too",
    /// A grant is one process's.
    L5 => "a grant is good for the process that first loaded it: a restarted one needs a new epoch, \
           enforced by the store",
    /// Stored, then answered.
    D1 => "a message row exists before success is answered",
    /// One outcome.
    D2 => "at most one outcome per message, and none without its state change",
    /// Order of admission.
    D3 => "the handled order of an entity's messages is the admitted order, retries of a failed one \
           included",
    /// Attempts are bounded.
    D4 => "attempts never exceed the limit; what reaches it is in quarantine",
    /// Chunks have no gaps.
    R1 => "chunk sequence numbers of a message are 0, 1, 2 … without a gap, and none follows the \
           final one",
    /// Steps are recorded once.
    W1 => "a step's recorded result is never overwritten, and never handed to another step",
    /// Suspended workflows wake up.
    W2 => "a suspended workflow has a timer, a pending child or an open promise",
    /// Journals have no gaps.
    J1 => "sequence numbers of a journal stream are gapless in commit order",
    /// Effects follow commits.
    O1 => "an effect is delivered only after the commit that made it, and an effect with an \
           acknowledged dedupe key is not delivered again",
    /// Limits hold.
    B1 => "rolling and concurrency limits: granted, unexpired estimates never exceed the capacity \
           in force when granted, at any instant; fixed windows: at most the capacity per aligned \
           window; buckets: at most burst + rate · t over any t; debt and pending decreases are apart",
    /// Reservations end.
    B2 => "every reservation ends: by complete or by expiry",
}

impl fmt::Display for InvariantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{collections::BTreeSet, vec::Vec};

    #[test]
    fn every_invariant_has_its_own_id_and_text() {
        let ids: Vec<&str> = InvariantId::ALL.iter().map(|id| id.as_str()).collect();
        let known = [
            "S1", "S2", "L1", "L2", "L3", "L4", "L5", "D1", "D2", "D3", "D4", "R1", "W1", "W2",
            "J1", "O1", "B1", "B2",
        ];
        assert_eq!(ids, known);
        let texts: BTreeSet<&str> = InvariantId::ALL.iter().map(|id| id.text()).collect();
        assert_eq!(texts.len(), known.len());
        assert!(texts.iter().all(|text| !text.contains("  ")), "{texts:?}");
    }
}
