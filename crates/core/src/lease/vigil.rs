//! How a leader tells, before a lease has run out, that its process is gone.

use core::time::Duration;

use quarry_types::Monotonic;

/// What to do next about a process that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// Ask after so long once more whether anybody listens.
    Probe(Duration),
    /// Ask after so long for another stream.
    Attend(Duration),
    /// Nobody listens: the process seems to be gone.
    Gone,
}

/// The watch over one process: a stream to it, and connections to its address when that has ended.
///
/// A process is gone when [`Vigil::REFUSALS`] connections in a row were refused over at least
/// [`Vigil::REFUSED_FOR`]. One that was taken says that the process is there only while its kernel is
/// not busy with its end: of a process that is killed, it may close the stream some moments before the
/// socket on which the process listened. So another stream is asked for soon, and later only where
/// that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Vigil {
    /// When the first of the refusals in a row came, and how many there were.
    refused: Option<(Monotonic, u32)>,
    /// How long to wait before the next stream.
    pause: Duration,
}

impl Vigil {
    /// How many connections in a row have to be refused.
    pub const REFUSALS: u32 = 3;
    /// Over which time at least.
    pub const REFUSED_FOR: Duration = Duration::from_millis(150);
    /// How long to wait after a connection that was refused.
    pub const PROBE_PAUSE: Duration = Duration::from_millis(80);
    /// How long to wait after the first connection that was taken; it doubles.
    pub const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
    /// The longest time between two streams; one that lasted for so long was a good one.
    pub const LONGEST_PAUSE: Duration = Duration::from_millis(500);

    /// A watch that begins.
    #[must_use]
    pub const fn new() -> Self {
        Self { refused: None, pause: Self::SHORTEST_PAUSE }
    }

    /// The stream ended after it had lasted for `held`, nothing where it was not accepted. Now the
    /// address is to be probed.
    pub fn ended(&mut self, held: Duration) {
        self.refused = None;
        if held >= Self::LONGEST_PAUSE {
            self.pause = Self::SHORTEST_PAUSE;
        }
    }

    /// A connection to the address was refused, as known at `now`.
    pub fn refused(&mut self, now: Monotonic) -> Watching {
        let (first, times) = self.refused.unwrap_or((now, 0));
        let times = times.saturating_add(1);
        self.refused = Some((first, times));
        if times >= Self::REFUSALS && now.since(first) >= Self::REFUSED_FOR {
            Watching::Gone
        } else {
            Watching::Probe(Self::PROBE_PAUSE)
        }
    }

    /// A connection to the address was taken, or nobody said anything.
    pub fn not_refused(&mut self) -> Watching {
        self.refused = None;
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(Self::LONGEST_PAUSE);
        Watching::Attend(pause)
    }
}

impl Default for Vigil {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// How long it takes until a process is gone whose stream lasted for a minute, where so many
    /// connections are taken after its end and all others refused, each at once.
    fn gone_after(taken: usize) -> Duration {
        let (mut vigil, mut now) = (Vigil::new(), Monotonic(0));
        vigil.ended(LONG);
        for probe in 0..100 {
            let next = if probe < taken { vigil.not_refused() } else { vigil.refused(now) };
            match next {
                Watching::Gone => return now.since(Monotonic(0)),
                Watching::Probe(pause) => now = now.after(pause),
                Watching::Attend(pause) => {
                    now = now.after(pause);
                    vigil.ended(Duration::ZERO);
                }
            }
        }
        panic!("never gone");
    }

    #[test]
    fn a_process_is_gone_soon_also_where_its_kernel_takes_connections_for_a_moment() {
        // given connections that are taken, then the milliseconds until the process is gone
        let table = [(0, 160), (1, 180), (2, 220), (3, 300), (5, 780)];
        for (taken, then) in table {
            assert_eq!(gone_after(taken), millis(then), "{taken}");
        }
    }

    #[test]
    fn refusals_count_only_in_a_row_and_over_a_time() {
        let mut vigil = Vigil::new();
        vigil.ended(LONG);
        let at = |millis: u64| Monotonic(millis * 1_000_000);
        for now in [at(0), at(1), at(2), at(149)] {
            assert_eq!(vigil.refused(now), Watching::Probe(Vigil::PROBE_PAUSE));
        }
        assert_eq!(vigil.not_refused(), Watching::Attend(Vigil::SHORTEST_PAUSE));
        for now in [at(200), at(400)] {
            assert_eq!(vigil.refused(now), Watching::Probe(Vigil::PROBE_PAUSE), "they begin anew");
        }
        vigil.ended(Duration::ZERO);
        for now in [at(600), at(800)] {
            assert_eq!(vigil.refused(now), Watching::Probe(Vigil::PROBE_PAUSE), "and once more");
        }
        assert_eq!(vigil.refused(at(900)), Watching::Gone);
    }

    #[test]
    fn streams_are_asked_for_less_often_while_none_lasts() {
        let mut vigil = Vigil::new();
        let mut pauses = |held: Duration| -> Vec<Duration> {
            (0..7)
                .map(|_| {
                    vigil.ended(held);
                    match vigil.not_refused() {
                        Watching::Attend(pause) => pause,
                        other => panic!("{other:?}"),
                    }
                })
                .collect()
        };
        let growing = [20, 40, 80, 160, 320, 500, 500].map(millis);
        assert_eq!(pauses(Duration::ZERO), growing);
        assert_eq!(pauses(millis(499)), [millis(500); 7]);
        assert_eq!(pauses(LONG), [millis(20); 7]);
    }
}
