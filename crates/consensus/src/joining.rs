//! Of several processes that say that they are the same node, one joins at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quarry_types::{BootId, NodeId};

/// A process, by the node that it says it is.
type Process = (NodeId, BootId);

/// The joins that are under way with one leader.
#[derive(Clone, Default)]
pub(crate) struct Joining(Arc<Mutex<Vec<Process>>>);

/// The turn of one process to join: while this lives no other one of its node has one. It belongs to
/// what becomes of the join, not to who waits for that.
pub(crate) struct Turn {
    joining: Joining,
    process: Process,
}

impl Joining {
    /// The turn of `process`, unless another one of its node has it. The same process may ask again
    /// before its first join has ended.
    pub(crate) fn turn(&self, process: Process) -> Option<Turn> {
        let mut under_way = self.under_way();
        let is_another = |other: &Process| other.0 == process.0 && other.1 != process.1;
        if under_way.iter().any(is_another) {
            return None;
        }
        under_way.push(process);
        Some(Turn { joining: self.clone(), process })
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<Process>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = self.joining.under_way();
        if let Some(at) = under_way.iter().position(|process| *process == self.process) {
            under_way.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_of_a_node_has_its_turn_until_all_that_it_asked_for_has_ended() {
        let joining = Joining::default();
        let (node, other) = (NodeId(1), NodeId(2));
        let first = joining.turn((node, BootId(10))).expect("it is the only one");
        let again = joining.turn((node, BootId(10))).expect("the same process");
        assert!(joining.turn((node, BootId(11))).is_none());
        assert!(joining.turn((other, BootId(11))).is_some());
        drop(first);
        assert!(joining.turn((node, BootId(11))).is_none(), "one of its joins is under way");
        drop(again);
        assert!(joining.turn((node, BootId(11))).is_some());
    }
}
