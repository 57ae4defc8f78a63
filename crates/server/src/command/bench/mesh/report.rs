//! What the calls came to, as a table and as JSON.

use serde::Serialize;

use super::figures::{Crossed, Measured};
use crate::{
    cli::Format,
    command::bench::{
        conditions::Conditions,
        load::Round,
        report::{Spread, or_dash},
    },
    failure::Failure,
    output::{Output, table},
};

/// A whole run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What was measured.
    pub(super) bench: &'static str,
    /// How many nodes were called, and how many processes echoed.
    pub(super) nodes: u64,
    /// Bytes of a frame of the echo: what a call sent in the warm-up.
    pub(super) echo_bytes: u32,
    /// Under which conditions.
    pub(super) conditions: Conditions,
    /// The figures.
    pub(super) results: Vec<Figure>,
}

/// The calls and the echo of one number of callers.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    /// Callers at a time.
    pub(super) concurrency: u32,
    /// The calls.
    pub(super) calls: Side,
    /// The echo.
    pub(super) echo: Side,
    /// Calls to echoes per second, of rounds that followed one another.
    pub(super) ratio: Spread,
    /// What crossed the links, per call.
    pub(super) crossed: Crossed,
}

/// What some rounds came to.
#[derive(Debug, Serialize)]
pub(super) struct Side {
    /// Per second.
    pub(super) per_second: Spread,
    /// The middle of the times of the rounds, in milliseconds.
    pub(super) p50_ms: f64,
    /// The time within which 99 of 100 were answered, in milliseconds; the middle of the rounds.
    pub(super) p99_ms: f64,
    /// The longest, in milliseconds.
    pub(super) max_ms: f64,
    /// Processor time of the calling process, in microseconds for each.
    pub(super) caller_cpu_us: f64,
    /// Processor time of the processes that answered.
    pub(super) answerer_cpu_us: f64,
    /// How many were not answered with success.
    pub(super) errors: u32,
    /// What the first of them was told.
    pub(super) first_error: Option<String>,
}

impl Side {
    fn of(rounds: &[Measured]) -> Self {
        let spread = |of: &dyn Fn(&Measured) -> f64| Spread::of(rounds.iter().map(of).collect());
        let within = |share: f64| {
            spread(&move |measured| measured.round.percentile(share).as_secs_f64() * 1e3)
        };
        Self {
            per_second: spread(&|measured| measured.round.per_second()),
            p50_ms: within(0.5).median,
            p99_ms: within(0.99).median,
            max_ms: within(1.0).max,
            caller_cpu_us: spread(&|measured| measured.cpu_us[0]).median,
            answerer_cpu_us: spread(&|measured| measured.cpu_us[1]).median,
            errors: rounds.iter().map(|measured| measured.round.errors).sum(),
            first_error: rounds.iter().find_map(|measured| measured.round.first_error.clone()),
        }
    }

    fn row(
        &self,
        what: &str,
        concurrency: u32,
        ratio: Option<f64>,
        frames: Option<f64>,
    ) -> Vec<String> {
        vec![
            what.to_owned(),
            concurrency.to_string(),
            format!("{:.0}", self.per_second.min),
            format!("{:.0}", self.per_second.median),
            format!("{:.0}", self.per_second.max),
            or_dash(ratio, 3),
            format!("{:.3}", self.p50_ms),
            format!("{:.3}", self.p99_ms),
            format!("{:.1}", self.max_ms),
            format!("{:.1} + {:.1}", self.caller_cpu_us, self.answerer_cpu_us),
            or_dash(frames, 3),
            self.errors.to_string(),
        ]
    }
}

impl Figure {
    /// What the rounds come to; each of `called` followed one of `echoed`.
    pub(super) fn of(concurrency: u32, called: &[Measured], echoed: &[Measured]) -> Self {
        let rate = |measured: &Measured| Round::per_second(&measured.round);
        let pairs = called.iter().zip(echoed);
        let ratios = pairs.map(|(call, echo)| rate(call) / rate(echo).max(1e-9));
        let crossed = |of: fn(&Crossed) -> f64| {
            Spread::of(called.iter().map(|measured| of(&measured.crossed)).collect()).median
        };
        Self {
            concurrency,
            calls: Side::of(called),
            echo: Side::of(echoed),
            ratio: Spread::of(ratios.collect()),
            crossed: Crossed {
                requests: crossed(|crossed| crossed.requests),
                replies: crossed(|crossed| crossed.replies),
                bytes_sent: crossed(|crossed| crossed.bytes_sent),
                bytes_received: crossed(|crossed| crossed.bytes_received),
            },
        }
    }

    fn rows(&self) -> [Vec<String>; 2] {
        let frames = self.crossed.requests + self.crossed.replies;
        [
            self.echo.row("echo", self.concurrency, None, None),
            self.calls.row("calls", self.concurrency, Some(self.ratio.median), Some(frames)),
        ]
    }
}

impl Report {
    /// Prints it.
    pub(super) fn print(&self, output: Output) -> Result<(), Failure> {
        if output.format() != Format::Table {
            return output.record(&[], self);
        }
        output.line(&self.conditions.lines(self.bench))?;
        let nodes = format!(
            "processes  {} nodes, {} echoes of {} bytes, this one",
            self.nodes, self.nodes, self.echo_bytes
        );
        output.line(&format!("{nodes}\n"))?;
        let columns = [
            "what", "callers", "min/s", "median/s", "max/s", "ratio", "p50 ms", "p99 ms", "max ms",
            "cpu µs", "frames", "errors",
        ];
        output.line(&table(&columns, self.results.iter().flat_map(Figure::rows).collect()))
    }
}
