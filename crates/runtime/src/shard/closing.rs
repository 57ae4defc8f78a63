//! When a shard that is asked to move closes.

use std::time::Duration;

use quarry_types::Monotonic;

/// A handler that has run for this long is long: the shard goes on admitting and handling while it is
/// asked to move, until the drain time is over. Where none is, nothing new begins for as long, so that all
/// that runs ends; where something does not, the shard goes on, and waits twice as long when it tries again.
const LONG_RUN: Duration = Duration::from_millis(100);
/// After each such time twice as much is not long yet: where handlers of many entities overlap, one of
/// them may always have run for some time.
const PATIENCE: Duration = Duration::from_secs(1);
/// So often either time is doubled at most.
const DOUBLED: u32 = 3;
/// What was stopped because the drain time was over is told to the store within this time; then the
/// shard is given up as it is.
const LAST_COMMITS: Duration = Duration::from_secs(1);

/// What a shard does now that is to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// As before.
    Wait,
    /// Begin nothing new.
    Pause,
    /// Begin what waits.
    GoOn,
    /// Admit nothing more.
    Close,
    /// Stop what runs, and close.
    CutOff,
    /// End as it is.
    GiveUp,
}

/// How far a shard is on its way to close.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// When it was asked to.
    asked: Option<Monotonic>,
    /// Since when nothing more begins.
    silent_since: Option<Monotonic>,
    /// Until when nothing new begins, so that what runs ends.
    paused_until: Option<Monotonic>,
    /// How often that was in vain.
    pauses: u32,
}

impl Closing {
    /// Since when nothing more begins.
    pub(super) const fn silent_since(&self) -> Option<Monotonic> {
        self.silent_since
    }

    /// What comes at `now`, where `longest` is how long the handler has run that runs longest, if one
    /// does, and `close_by` the end of the drain time.
    pub(super) fn step(
        &mut self,
        now: Monotonic,
        close_by: Monotonic,
        longest: Option<Duration>,
    ) -> Step {
        if now >= close_by {
            self.silent_since.get_or_insert(now);
            return if now >= close_by.after(LAST_COMMITS) { Step::GiveUp } else { Step::CutOff };
        }
        let waited = now.since(*self.asked.get_or_insert(now));
        let Some(longest) = longest else {
            self.silent_since.get_or_insert(now);
            return Step::Close;
        };
        match self.paused_until {
            Some(until) if now < until => Step::Wait,
            Some(_) => {
                (self.paused_until, self.silent_since) = (None, None);
                self.pauses = self.pauses.saturating_add(1);
                Step::GoOn
            }
            None if longest < long(waited) => {
                let pause = doubled(LONG_RUN, u64::from(self.pauses));
                self.paused_until = Some(now.after(pause.max(long(waited))));
                self.silent_since = Some(now);
                Step::Pause
            }
            None => Step::Wait,
        }
    }
}

/// How long a handler has run that is long, where the shard has waited for so long.
fn long(waited: Duration) -> Duration {
    doubled(LONG_RUN, waited.as_secs() / PATIENCE.as_secs().max(1))
}

fn doubled(time: Duration, times: u64) -> Duration {
    time.saturating_mul(1 << times.min(u64::from(DOUBLED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSE_BY: Monotonic = at(10_000);

    const fn at(millis: u64) -> Monotonic {
        Monotonic(millis * 1_000_000)
    }

    const fn ran(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_quiet_shard_closes_at_once() {
        let mut closing = Closing::default();
        assert_eq!(closing.step(at(1), CLOSE_BY, None), Step::Close);
        assert_eq!(closing.silent_since(), Some(at(1)));
    }

    #[test]
    fn what_is_young_may_end_while_nothing_begins() {
        let mut closing = Closing::default();
        assert_eq!(closing.step(at(0), CLOSE_BY, Some(ran(99))), Step::Pause);
        assert_eq!(closing.step(at(99), CLOSE_BY, Some(ran(198))), Step::Wait);
        assert_eq!(closing.step(at(99), CLOSE_BY, None), Step::Close);
        assert_eq!(closing.silent_since(), Some(at(0)), "since the pause began");
    }

    #[test]
    fn pauses_in_vain_end_and_grow() {
        let (mut closing, mut now) = (Closing::default(), 0);
        for pause in [100, 200, 400, 800, 800] {
            assert_eq!(closing.step(at(now), CLOSE_BY, Some(ran(800))), Step::Wait, "one is long");
            assert_eq!(closing.step(at(now), CLOSE_BY, Some(ran(50))), Step::Pause);
            assert_eq!(closing.step(at(now + pause - 1), CLOSE_BY, Some(ran(50))), Step::Wait);
            assert_eq!(closing.step(at(now + pause), CLOSE_BY, Some(ran(50 + pause))), Step::GoOn);
            assert_eq!(closing.silent_since(), None);
            now += pause;
        }
    }

    #[test]
    fn what_is_long_grows_while_the_shard_waits() {
        let mut closing = Closing::default();
        assert_eq!(closing.step(at(0), CLOSE_BY, Some(ran(150))), Step::Wait);
        assert_eq!(closing.step(at(999), CLOSE_BY, Some(ran(150))), Step::Wait);
        assert_eq!(closing.step(at(1_000), CLOSE_BY, Some(ran(200))), Step::Wait);
        assert_eq!(closing.step(at(1_000), CLOSE_BY, Some(ran(199))), Step::Pause);
        assert_eq!(closing.step(at(1_199), CLOSE_BY, Some(ran(398))), Step::Wait);
        assert_eq!(closing.step(at(1_200), CLOSE_BY, Some(ran(399))), Step::GoOn);
        assert_eq!(
            closing.step(at(9_000), CLOSE_BY, Some(ran(800))),
            Step::Wait,
            "no more than that"
        );
    }

    #[test]
    fn when_the_drain_time_is_over_what_runs_is_stopped_and_then_left() {
        let mut closing = Closing::default();
        assert_eq!(closing.step(at(9_950), CLOSE_BY, Some(ran(1))), Step::Pause);
        assert_eq!(closing.step(CLOSE_BY, CLOSE_BY, Some(ran(51))), Step::CutOff);
        assert_eq!(closing.step(at(10_999), CLOSE_BY, Some(ran(1_050))), Step::CutOff);
        assert_eq!(closing.step(at(11_000), CLOSE_BY, None), Step::GiveUp);
    }
}
