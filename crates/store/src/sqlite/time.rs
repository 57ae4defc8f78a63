//! Store time of a file: its clock is the host's, which may jump.

use quarry_types::Timestamp;

/// A moment on both clocks of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// The run of the machine in which `elapsed` counts; 0 where it is not known.
    pub(super) run: u64,
    /// Milliseconds of the clock that no setting moves.
    pub(super) elapsed: i64,
    /// By the wall clock, or by the store.
    pub(super) time: Timestamp,
}

impl Moment {
    /// Store time at this moment, where it was that of `last` then. Within one run of the machine it
    /// advances as the clock that no setting moves; beyond, only the wall clock knows. It never goes
    /// back.
    pub(super) fn behind(self, last: Self) -> Timestamp {
        let time = if self.run != 0 && self.run == last.run {
            last.time.0.saturating_add(self.elapsed.saturating_sub(last.elapsed).max(0))
        } else {
            self.time.0
        };
        Timestamp(time).max(last.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_clock_that_jumps_moves_store_time_only_across_a_start_of_the_machine() {
        let last = Moment { run: 7, elapsed: 1_000, time: Timestamp(50 * HOUR) };
        for (run, elapsed, wall, expected) in [
            (7, 11_000, 50 * HOUR + 10_000, 50 * HOUR + 10_000),
            (7, 11_000, 75 * HOUR, 50 * HOUR + 10_000),
            (7, 11_000, 25 * HOUR, 50 * HOUR + 10_000),
            (7, 1_000 + 200 * HOUR, 275 * HOUR, 250 * HOUR),
            (7, 1_000, 75 * HOUR, 50 * HOUR),
            // A clock that cannot go back went back: time stands.
            (7, 0, 75 * HOUR, 50 * HOUR),
            // The machine was started again, or nothing is known.
            (8, 11_000, 75 * HOUR, 75 * HOUR),
            (0, 11_000, 75 * HOUR, 75 * HOUR),
            (8, 11_000, 25 * HOUR, 50 * HOUR),
        ] {
            let now = Moment { run, elapsed, time: Timestamp(wall) };
            assert_eq!(now.behind(last), Timestamp(expected), "{now:?}");
        }
        let unknown = Moment { run: 0, elapsed: 0, time: Timestamp(50 * HOUR) };
        let now = Moment { run: 0, elapsed: 5, time: Timestamp(51 * HOUR) };
        assert_eq!(now.behind(unknown), now.time);
    }
}
