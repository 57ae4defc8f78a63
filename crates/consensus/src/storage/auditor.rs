//! Holds every applied entry against the invariants of ownership, in every build: to look costs about
//! as much as to apply.

use quarry_core::coordinator::{Command, Ownership, Response, State, audit};
use quarry_ports::Metrics;

use super::Witness;

/// Counts and logs what entries break: nothing, unless the program is wrong.
pub(crate) struct Auditor(Metrics);

impl Auditor {
    /// Counts in `metrics`.
    pub(crate) const fn new(metrics: Metrics) -> Self {
        Self(metrics)
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
        for breach in audit(before, command, response, after) {
            self.0.invariant_violations.with_label_values(&[breach.id.as_str()]).inc();
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
        let auditor = Auditor::new(metrics.clone());
        let (mut state, at) = (State::default(), At { index: 1, time: Timestamp(0) });
        let nothing = state.ownership();
        let command = Command::Initialize { cluster: ClusterId(7), shards: 4, max_moves: 1 };
        let response = state.apply(at, command.clone());
        auditor.applied(1, &nothing, &command, &response, &state);
        assert_eq!(counted("S1"), 0);
        // As if the same entry had lost all four shards.
        auditor.applied(2, &state.ownership(), &command, &response, &State::default());
        assert_eq!(counted("S1"), 8, "each is gone, and has no halves");
    }
}
