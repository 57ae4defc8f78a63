//! Holds every applied entry against the invariants of ownership, in every build: to look costs about
//! as much as to apply.

use quarry_core::coordinator::{Command, Ownership, Response, State, audit};
use quarry_ports::Metrics;

use super::Witness;

/// Counts and logs what entries break: nothing, unless the program is wrong.
pub(crate) struct Auditor {
    metrics: Metrics,
    /// The last entry that was in the log when it was opened: up to it all was looked at before, or is of
    /// an older program, which held entries against less.
    behind: u64,
}

impl Auditor {
    /// Counts in `metrics` what entries behind `behind` break.
    pub(crate) const fn new(metrics: Metrics, behind: u64) -> Self {
        Self { metrics, behind }
    }
}

impl Witness for Auditor {
    fn applied(
        &self,
        index: u64,
        before: &Ownership,
        command: &Command,
        response: &Response,
        after: &State,
    ) {
        if index <= self.behind {
            return;
        }
        for breach in audit(before, command, response, after) {
            self.metrics.invariant_violations.with_label_values(&[breach.id.as_str()]).inc();
            tracing::error!(
                index,
                invariant = breach.id.as_str(),
                what = breach.what,
                ?command,
                "an entry of the coordinator's log broke an invariant: report this"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use quarry_core::coordinator::At;
    use quarry_types::{ClusterId, Timestamp};

    use super::*;

    #[test]
    fn what_an_entry_breaks_is_counted_and_what_it_may_do_is_not() {
        let metrics = Metrics::new().unwrap();
        let counted = |id| metrics.invariant_violations.with_label_values(&[id]).get();
        let auditor = Auditor::new(metrics.clone(), 1);
        let (mut state, at) = (State::default(), At { index: 1, time: Timestamp(0) });
        let nothing = state.ownership();
        let command = Command::Initialize { cluster: ClusterId(7), shards: 4, max_moves: 1 };
        let response = state.apply(at, command.clone());
        auditor.applied(2, &nothing, &command, &response, &state);
        assert_eq!(counted("S1"), 0);
        auditor.applied(1, &state.ownership(), &command, &response, &State::default());
        assert_eq!(counted("S1"), 0, "it was looked at before");
        // As if the same entry had lost all four shards.
        auditor.applied(2, &state.ownership(), &command, &response, &State::default());
        assert_eq!(counted("S1"), 8, "each is gone, and has no halves");
    }
}
