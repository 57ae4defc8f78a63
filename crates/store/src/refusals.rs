//! What the database said to commits that it did not take.
//!
//! While it takes none (a disk that is full, a file system or database that is read-only, a server that
//! is gone) that is said once when it begins and once when it is over, however many commits are tried
//! meanwhile; metrics count them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quarry_ports::Host;
use quarry_types::Monotonic;

/// For how long a refusal tells of the present. Where nobody asks for a commit any more, because this
/// node says that it is not ready, only the next one can show that the database takes them again.
const COUNTS_FOR: Duration = Duration::from_secs(2);
/// An episode is over when a commit was written and none was refused for so long: a disk that is full
/// takes a small one between large ones.
const SETTLES_AFTER: Duration = Duration::from_secs(1);

/// The refusals of all lanes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The last refusal, if no commit was written since.
    last: Option<(Monotonic, String)>,
    episode: Option<Episode>,
}

/// A time in which commits are refused.
#[derive(Clone, Copy, Debug)]
struct Episode {
    began: Monotonic,
    last: Monotonic,
    refused: u64,
    /// When a commit was written, where none was refused since.
    written: Option<Monotonic>,
    /// Whether somebody looks for its end.
    is_watched: bool,
}

/// An episode that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Over {
    refused: u64,
    lasted: Duration,
}

impl State {
    /// So many commits are refused; whether that is the first of an episode.
    fn refused(&mut self, now: Monotonic, commits: u64) -> bool {
        if let Some(episode) = &mut self.episode {
            episode.refused = episode.refused.saturating_add(commits);
            (episode.last, episode.written) = (now, None);
            return false;
        }
        let (refused, written) = (commits, None);
        self.episode = Some(Episode { began: now, last: now, refused, written, is_watched: false });
        true
    }

    /// A commit is written; whether somebody has to look from now on for the end of an episode.
    fn written(&mut self, now: impl FnOnce() -> Monotonic) -> bool {
        self.last = None;
        let Some(episode) = &mut self.episode else { return false };
        episode.written.get_or_insert_with(now);
        !std::mem::replace(&mut episode.is_watched, true)
    }

    /// A look for the end: the episode where it is over, else when to look again; nothing where
    /// only another commit can show that.
    fn look(&mut self, now: Monotonic) -> Option<Result<Over, Monotonic>> {
        let episode = self.episode.as_mut()?;
        let Some(written) = episode.written else {
            episode.is_watched = false;
            return None;
        };
        let settled = episode.last.after(SETTLES_AFTER);
        if now < settled {
            return Some(Err(settled));
        }
        let over = Over { refused: episode.refused, lasted: written.since(episode.began) };
        self.episode = None;
        Some(Ok(over))
    }
}

impl Refusals {
    /// Held for a look or a change only, never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit was written.
    pub(crate) fn written(&self, host: &Host) {
        if self.state().written(|| host.now()) {
            let watch = self.clone().watch(host.clone());
            drop(host.spawn("store-refusals", watch));
        }
    }

    /// The database refused so many commits at once.
    pub(crate) fn refused(&self, now: Monotonic, commits: usize, reason: &str) {
        self.turned_away(now, commits, reason);
        self.state().last = Some((now, reason.to_owned()));
    }

    /// So many commits did not come to the database: that is no word of its own.
    pub(crate) fn turned_away(&self, now: Monotonic, commits: usize, reason: &str) {
        let commits = u64::try_from(commits).unwrap_or(u64::MAX);
        if self.state().refused(now, commits) {
            tracing::warn!(reason, "the store refuses commits");
        }
    }

    /// Looks for the end of an episode until it is told, or commits are refused again.
    async fn watch(self, host: Host) {
        loop {
            let look = self.state().look(host.now());
            match look {
                None => return,
                Some(Err(again)) => host.sleep_until(again).await,
                Some(Ok(Over { refused, lasted })) => {
                    tracing::info!(refused, ?lasted, "the store takes commits again");
                    return;
                }
            }
        }
    }

    /// Why the last commit was refused, where that tells of the present.
    pub(crate) fn last(&self, now: Monotonic) -> Option<String> {
        let state = self.state();
        let (_, reason) = state.last.as_ref().filter(|(at, _)| now.since(*at) < COUNTS_FOR)?;
        Some(format!("commits are refused: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic(0).after(Duration::from_millis(millis))
    }

    #[tokio::test]
    async fn a_refusal_counts_until_a_commit_is_written_or_it_is_old() {
        let refusals = Refusals::default();
        assert_eq!(refusals.last(at(0)), None);
        refusals.refused(at(0), 1, "full");
        assert_eq!(refusals.last(at(1_999)).as_deref(), Some("commits are refused: full"));
        assert_eq!(refusals.last(at(2_000)), None);
        refusals.refused(at(2_000), 1, "full");
        refusals.written(&Host::system());
        assert_eq!(refusals.last(at(2_001)), None);
        refusals.turned_away(at(2_002), 1, "too many wait");
        assert_eq!(refusals.last(at(2_003)), None, "the database said nothing");
    }

    #[test]
    fn an_episode_begins_once_and_is_over_when_none_is_refused_for_a_second() {
        let mut state = State::default();
        assert!(!state.written(|| at(0)), "there is none");
        assert!(state.refused(at(100), 3));
        assert!(!state.refused(at(200), 2));
        assert!(state.written(|| at(300)));
        assert!(!state.written(|| at(400)), "it is watched");
        assert_eq!(state.look(at(400)), Some(Err(at(1_200))));
        assert!(!state.refused(at(1_100), 1), "a disk that is full takes a small commit");
        assert_eq!(state.look(at(1_200)), None, "another commit has to show it");
        assert!(state.written(|| at(1_500)));
        assert!(!state.written(|| at(1_900)));
        assert_eq!(state.look(at(1_900)), Some(Err(at(2_100))));
        let over = Over { refused: 6, lasted: Duration::from_millis(1_400) };
        assert_eq!(state.look(at(2_100)), Some(Ok(over)));
        assert_eq!(state.look(at(2_100)), None);
        assert!(state.refused(at(2_200), 1), "another one");
    }

    #[test]
    fn an_episode_that_is_over_before_it_is_looked_at_is_told_with_its_own_length() {
        let mut state = State::default();
        assert!(state.refused(at(0), 1));
        assert!(state.written(|| at(5_000)));
        let over = Over { refused: 1, lasted: Duration::from_secs(5) };
        assert_eq!(state.look(at(5_000)), Some(Ok(over)), "nothing is waited for");
    }
}
