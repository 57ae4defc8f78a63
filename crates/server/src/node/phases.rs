//! How long each part of the start took.

use std::time::Duration;

use quarry_ports::Host;
use quarry_types::Monotonic;

use crate::output::Output;

/// The parts of a start and their times.
#[derive(Debug)]
pub(crate) struct Phases {
    host: Host,
    began: Monotonic,
    last: Monotonic,
    marks: Vec<(&'static str, Duration)>,
}

impl Phases {
    /// Begins now.
    pub(crate) fn begin(host: &Host) -> Self {
        let now = host.now();
        Self { host: host.clone(), began: now, last: now, marks: Vec::new() }
    }

    /// Ends the part `name`, which began where the one before ended.
    pub(crate) fn mark(&mut self, name: &'static str) {
        let now = self.host.now();
        self.marks.push((name, now.since(self.last)));
        self.last = now;
    }

    /// Says all parts to a person who asked for more.
    pub(crate) fn say(&self, output: Output) {
        let parts: Vec<String> = self
            .marks
            .iter()
            .map(|(name, took)| format!("{name} {:.1}", took.as_secs_f64() * 1_000.0))
            .collect();
        let total = self.last.since(self.began).as_secs_f64() * 1_000.0;
        output.say_more(&format!("started in {total:.1} ms: {}", parts.join(", ")));
    }
}
