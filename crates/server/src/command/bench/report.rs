//! What a run found, as a table and as JSON.

use serde::Serialize;

use super::{baseline::Baseline, conditions::Conditions, load::Round, meter::Cost};
use crate::{
    cli::Format,
    failure::Failure,
    output::{Output, table},
};

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report<F = Figure> {
    /// What was measured.
    pub(crate) bench: &'static str,
    /// Under which conditions.
    pub(crate) conditions: Conditions,
    /// What the machine itself can do, where that does not stand in the figures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) baselines: Vec<Baseline>,
    /// The figures.
    pub(crate) results: Vec<F>,
}

/// A line of a table.
pub(crate) trait Row: Serialize {
    /// What stands above.
    const COLUMNS: &'static [&'static str];

    /// What stands in it.
    fn row(&self) -> Vec<String>;
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// `in process` or `http`.
    pub(crate) surface: String,
    /// Callers at a time.
    pub(crate) concurrency: u32,
    /// Calls per second, over the rounds.
    pub(crate) per_second: Spread,
    /// The middle of the rounds to the baseline.
    pub(crate) ratio: f64,
    /// The middle of the times of all rounds, in milliseconds.
    pub(crate) p50_ms: f64,
    /// The time within which 99 of 100 calls were answered, in milliseconds.
    pub(crate) p99_ms: f64,
    /// The longest call, in milliseconds.
    pub(crate) max_ms: f64,
    /// Synchronous commits per call.
    pub(crate) commits_per_message: Option<f64>,
    /// Flushes per message, where they are counted: of PostgreSQL those of its log, of SQLite those of
    /// the whole device.
    pub(crate) syncs_per_message: Option<f64>,
    /// Bytes written per message: to the log of PostgreSQL; of SQLite, to all files.
    pub(crate) bytes_per_message: Option<f64>,
    /// Calls that were not answered with success.
    pub(crate) errors: u32,
    /// What the first of them was told.
    pub(crate) first_error: Option<String>,
}

/// The least, the middle and the most of some rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The least.
    pub(crate) min: f64,
    /// The middle.
    pub(crate) median: f64,
    /// The most.
    pub(crate) max: f64,
}

impl Spread {
    /// That of `values`; zeros where there are none.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        Self { min: at(0), median: at(values.len() / 2), max: at(values.len().saturating_sub(1)) }
    }

    /// Its three values with so many digits.
    pub(crate) fn cell(self, digits: usize) -> String {
        let Self { min, median, max } = self;
        format!("{min:.digits$} / {median:.digits$} / {max:.digits$}")
    }
}

impl Figure {
    /// What `rounds` come to, beside `baseline` calls per second.
    pub(crate) fn of(
        surface: &str,
        concurrency: u32,
        rounds: &[Round],
        commits_per_message: Option<f64>,
        baseline: &Baseline,
    ) -> Self {
        let per_second = Spread::of(rounds.iter().map(Round::per_second).collect());
        let middle = |share: f64| {
            let times = rounds.iter().map(|round| round.percentile(share).as_secs_f64() * 1e3);
            Spread::of(times.collect())
        };
        Self {
            surface: surface.to_owned(),
            concurrency,
            per_second,
            ratio: per_second.median / baseline.per_second.max(1e-9),
            p50_ms: middle(0.5).median,
            p99_ms: middle(0.99).median,
            max_ms: middle(1.0).max,
            commits_per_message,
            syncs_per_message: None,
            bytes_per_message: None,
            errors: rounds.iter().map(|round| round.errors).sum(),
            first_error: rounds.iter().find_map(|round| round.first_error.clone()),
        }
    }
}

impl Figure {
    /// The same with what each message cost the disk.
    pub(crate) fn with_cost(self, cost: Cost) -> Self {
        Self { syncs_per_message: cost.syncs, bytes_per_message: cost.bytes, ..self }
    }
}

impl<F: Row> Report<F> {
    /// Prints it.
    pub(crate) fn print(&self, output: Output) -> Result<(), Failure> {
        if output.format() != Format::Table {
            return output.record(&[], self);
        }
        output.line(&self.conditions.lines(self.bench))?;
        output.line("")?;
        if !self.baselines.is_empty() {
            let rows = self.baselines.iter().map(|baseline| {
                vec![
                    baseline.name.to_owned(),
                    baseline.concurrency.to_string(),
                    format!("{:.0}", baseline.per_second),
                    format!("{:.1}", baseline.p50_us),
                ]
            });
            output
                .line(&table(&["baseline", "callers", "per second", "p50 µs"], rows.collect()))?;
            output.line("")?;
        }
        output.line(&table(F::COLUMNS, self.results.iter().map(Row::row).collect()))
    }
}

impl Row for Figure {
    const COLUMNS: &'static [&'static str] = &[
        "calls", "callers", "min/s", "median/s", "max/s", "ratio", "p50 ms", "p99 ms", "max ms",
        "commits", "syncs", "bytes", "errors",
    ];

    fn row(&self) -> Vec<String> {
        vec![
            self.surface.clone(),
            self.concurrency.to_string(),
            format!("{:.0}", self.per_second.min),
            format!("{:.0}", self.per_second.median),
            format!("{:.0}", self.per_second.max),
            format!("{:.3}", self.ratio),
            format!("{:.3}", self.p50_ms),
            format!("{:.3}", self.p99_ms),
            format!("{:.1}", self.max_ms),
            or_dash(self.commits_per_message, 3),
            or_dash(self.syncs_per_message, 3),
            or_dash(self.bytes_per_message, 0),
            self.errors.to_string(),
        ]
    }
}

/// A figure with so many digits, where there is one.
pub(super) fn or_dash(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_least_the_middle_and_the_most() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!(spread, Spread { min: 1.0, median: 2.0, max: 3.0 });
    }
}
