//! What the takeovers came to, as a table and as JSON.

use serde::Serialize;

use super::serve::Taken;
use crate::command::bench::report::{Row, Spread};

/// Takeovers of one backlog.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    /// Messages that were pending.
    pub(super) backlog: u32,
    /// From the first owned shard to the first old message that was handled, in milliseconds.
    pub(super) first_ms: Spread,
    /// Until a new message to an entity with a backlog was accepted: p50, p99 and most, each the
    /// middle of the rounds.
    pub(super) accepted_ms: [f64; 3],
    /// Until a new message to another entity was handled.
    pub(super) handled_ms: [f64; 3],
    /// New messages that were answered in all rounds, and those that were not taken.
    pub(super) new: [usize; 2],
    /// What the first of those was told.
    pub(super) first_error: Option<String>,
    /// Old messages handled per second.
    pub(super) per_second: Spread,
    /// The most resident memory, in MiB.
    pub(super) memory_mib: Spread,
    /// What the process had before it owned anything.
    pub(super) memory_before_mib: f64,
    /// The most messages in memory.
    pub(super) held: i64,
}

impl Figure {
    pub(super) fn of(backlog: u32, taken: &[Taken]) -> Self {
        let spread = |of: fn(&Taken) -> f64| Spread::of(taken.iter().map(of).collect());
        Self {
            backlog,
            first_ms: spread(|taken| taken.first_ms),
            accepted_ms: [
                spread(|taken| taken.accepted_ms[0]).median,
                spread(|taken| taken.accepted_ms[1]).median,
                spread(|taken| taken.accepted_ms[2]).median,
            ],
            handled_ms: [
                spread(|taken| taken.handled_ms[0]).median,
                spread(|taken| taken.handled_ms[1]).median,
                spread(|taken| taken.handled_ms[2]).median,
            ],
            new: [0, 1]
                .map(|which: usize| taken.iter().filter_map(|taken| taken.new.get(which)).sum()),
            first_error: taken.iter().find_map(|taken| taken.first_error.clone()),
            per_second: spread(|taken| taken.per_second),
            memory_mib: spread(|taken| taken.memory_mib[0]),
            memory_before_mib: spread(|taken| taken.memory_mib[1]).median,
            held: taken.iter().map(|taken| taken.held).max().unwrap_or(0),
        }
    }
}

impl Row for Figure {
    const COLUMNS: &'static [&'static str] = &[
        "backlog",
        "first old ms (min/med/max)",
        "accepted ms (p50/p99/max)",
        "handled ms (p50/p99/max)",
        "new / refused",
        "old/s",
        "memory MiB (min/med/max)",
        "before",
        "held",
    ];

    fn row(&self) -> Vec<String> {
        let three = |values: [f64; 3]| values.map(|value| format!("{value:.1}")).join(" / ");
        let spread = |of: Spread| three([of.min, of.median, of.max]);
        vec![
            self.backlog.to_string(),
            spread(self.first_ms),
            three(self.accepted_ms),
            three(self.handled_ms),
            self.new.map(|count| count.to_string()).join(" / "),
            format!("{:.0}", self.per_second.median),
            spread(self.memory_mib),
            format!("{:.1}", self.memory_before_mib),
            self.held.to_string(),
        ]
    }
}
