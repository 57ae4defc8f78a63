//! What the database said to commits that it did not take.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quarry_types::Monotonic;

/// For how long a refusal tells of the present. Where nobody asks for a commit any more, because this
/// node says that it is not ready, only the next one can show that the database takes them again.
const COUNTS_FOR: Duration = Duration::from_secs(2);

/// The last refusal, if no commit was written since. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(Arc<Mutex<Option<(Monotonic, String)>>>);

impl Refusals {
    /// Held for a look or a change only, never across an await.
    fn last_refusal(&self) -> MutexGuard<'_, Option<(Monotonic, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit was written.
    pub(crate) fn written(&self) {
        *self.last_refusal() = None;
    }

    /// A commit was refused.
    pub(crate) fn refused(&self, now: Monotonic, reason: &str) {
        *self.last_refusal() = Some((now, reason.to_owned()));
    }

    /// Why the last commit was refused, where that tells of the present.
    pub(crate) fn last(&self, now: Monotonic) -> Option<String> {
        let last = self.last_refusal();
        let (_, reason) = last.as_ref().filter(|(at, _)| now.since(*at) < COUNTS_FOR)?;
        Some(format!("commits are refused: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_until_a_commit_is_written_or_it_is_old() {
        let refusals = Refusals::default();
        let at = |millis| Monotonic(0).after(Duration::from_millis(millis));
        assert_eq!(refusals.last(at(0)), None);
        refusals.refused(at(0), "full");
        assert_eq!(refusals.last(at(1_999)).as_deref(), Some("commits are refused: full"));
        assert_eq!(refusals.last(at(2_000)), None);
        refusals.refused(at(2_000), "full");
        refusals.written();
        assert_eq!(refusals.last(at(2_001)), None);
    }
}
