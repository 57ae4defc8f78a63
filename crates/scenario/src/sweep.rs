//! Many seeds.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quarry_ports::Host;

use crate::{Plan, Point, Report, simulate};

/// What many runs came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many runs there were.
    pub runs: u64,
    /// The runs in which something is wrong, by their seeds.
    pub broken: BTreeMap<u64, Report>,
    /// In how many runs each point was reached.
    pub reached: BTreeMap<Point, u64>,
    /// Calls that were acknowledged.
    pub acknowledged: u64,
    /// Commits that were written.
    pub commits: u64,
    /// How long all of them lasted in virtual time.
    pub lasted: Duration,
    /// How long they took of a thread's real time, all together.
    pub took: Duration,
}

impl Tally {
    fn add(&mut self, report: Report, took: Duration) {
        self.runs += 1;
        self.acknowledged += report.acknowledged;
        self.commits += report.commits;
        self.lasted += report.lasted;
        self.took += took;
        for point in report.reached.keys() {
            *self.reached.entry(*point).or_default() += 1;
        }
        if !report.violations.is_empty() {
            self.broken.insert(report.seed, report);
        }
    }

    /// Virtual time per real time of one thread.
    pub fn speed(&self) -> f64 {
        self.lasted.as_secs_f64() / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// Of 100 runs, in how many `point` was reached.
    pub fn per_cent(&self, point: Point) -> u64 {
        let reached = self.reached.get(&point).copied().unwrap_or(0);
        (reached * 100).checked_div(self.runs).unwrap_or(0)
    }

    /// For people: one line of figures, one of the points, one per seed that broke something.
    pub fn lines(&self) -> Vec<String> {
        let figures = format!(
            "{} runs, {} broken, {} calls acknowledged, {} commits, {:.0} s of virtual time in {:.0} s: \
             {:.0} x",
            self.runs,
            self.broken.len(),
            self.acknowledged,
            self.commits,
            self.lasted.as_secs_f64(),
            self.took.as_secs_f64(),
            self.speed(),
        );
        let points =
            Point::ALL.map(|point| format!("{} {} %", point.as_str(), self.per_cent(point)));
        let broken = self.broken.iter().map(|(seed, report)| {
            format!("seed {seed}: {}", report.violations.first().map_or("", String::as_str))
        });
        [figures, points.join(", ")].into_iter().chain(broken).collect()
    }
}

/// Runs `seeds` on so many threads, each by the plan that `plan` makes of it.
///
/// # Errors
/// Where the system gives no runtime.
pub fn sweep(
    seeds: Range<u64>,
    threads: usize,
    plan: impl Fn(u64) -> Plan + Sync,
) -> io::Result<Tally> {
    let clock = Host::system().clock;
    let next = AtomicU64::new(seeds.start);
    let tally = Mutex::new(Tally::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(());
            }
            let begun = clock.monotonic();
            let report = simulate(plan(seed))?;
            let took = clock.monotonic().since(begun);
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(report, took);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a simulation panicked")))
        })
    })?;
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}
