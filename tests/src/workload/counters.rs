//! Counters, to which clients add one at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use anyhow::{Result, bail};
use serde_json::json;

use super::{
    Registers,
    caller::{Asked, Caller},
    load::{Load, LoadRun},
    pace::{Pace, Timed},
};
use crate::{
    client::Message,
    history::{AddEnd, CounterBreach, Recorder, around, check_counters},
};

/// Who adds for the last time; load clients count from 0.
const LAST: u32 = 1_000_000;

/// Counters, the addresses through which they are reached, and what was added to them.
#[derive(Debug, Clone)]
pub struct Counters {
    caller: Caller,
    recorder: Arc<Recorder>,
    done: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
    prefix: String,
}

/// What counters without a breach hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Counters that were used.
    pub counters: usize,
    /// Additions that were answered with success.
    pub acknowledged: usize,
    /// Their totals, together.
    pub total: i64,
}

impl Counters {
    /// Counters behind the addresses of `registers`, which are noted in the same history; their ids
    /// begin with `prefix`.
    pub fn beside(registers: &Registers, prefix: &str) -> Self {
        let (caller, recorder) = (registers.caller.clone(), Arc::clone(&registers.recorder));
        let prefix = prefix.to_owned();
        Self { caller, recorder, done: Arc::default(), is_over: Arc::default(), prefix }
    }

    /// Additions that ended so far.
    pub fn done(&self) -> u32 {
        self.done.load(Ordering::Relaxed)
    }

    /// Ends the calls that are made at the times of a pace: no more begin.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Adds to `count` counters in turn at the times of `pace`; each addition has to be answered.
    pub async fn paced(&self, pace: Pace, count: u32) -> Result<Vec<Timed>> {
        let counters = self.clone();
        pace.run(&self.is_over, move |client, number| {
            let counters = counters.clone();
            async move {
                let counter = format!("{}{}", counters.prefix, number % count);
                let key = format!("p{client}-{number}");
                let first = usize::try_from(number)?;
                match counters.add(client, &counter, &key, first).await? {
                    AddEnd::Acknowledged(_) => Ok(()),
                    end => bail!("Counter/{counter} did not answer: {end:?}"),
                }
            }
        })
        .await
    }

    /// Asks for the totals of `count` counters in turn at the times of `pace`, by volatile messages that
    /// are sent once: how each ended counts, those that failed are among [`Counters::failed`]. Only an
    /// address at which nobody takes connections is passed over, see [`Counters::passed_over`].
    pub async fn asked(&self, pace: Pace, count: u32) -> Result<Vec<Timed>> {
        let counters = self.clone();
        pace.run(&self.is_over, move |_, number| {
            let counters = counters.clone();
            async move {
                let id = format!("{}{}", counters.prefix, number % count);
                let (method, body) = ("get", json!({}));
                let message =
                    Message { entity_type: "Counter", id: &id, method, key: None, body: &body };
                counters.caller.ask_once(&message, usize::try_from(number)?).await.map(drop)
            }
        })
        .await
    }

    /// The attempts so far that failed, those of all that share the addresses: that a node answered and
    /// not with success, and calls that are sent once and whose connection broke.
    pub fn failed(&self) -> Vec<String> {
        self.caller.failed()
    }

    /// The attempts so far whose connection broke, and which were repeated under their key.
    pub fn broken(&self) -> Vec<String> {
        self.caller.broken()
    }

    /// How often an address was passed over so far, at which nobody took connections: nothing was sent.
    pub fn passed_over(&self) -> u32 {
        self.caller.passed_over()
    }

    /// Starts `load`. Each client adds one after the other, to counters in turn. Ends with the number
    /// of additions that were not answered.
    pub fn load(&self, load: Load) -> LoadRun {
        let counters = self.clone();
        load.start(move |client, number| {
            let counters = counters.clone();
            async move {
                let counter = format!("{}{}", counters.prefix, number % load.registers);
                let first = load.first_address(client, number)?;
                let key = format!("c{client}-{number}");
                let end = counters.add(client, &counter, &key, first).await?;
                Ok(matches!(end, AddEnd::Acknowledged(_)))
            }
        })
    }

    /// Adds one; how that ended.
    async fn add(&self, client: u32, counter: &str, key: &str, first: usize) -> Result<AddEnd> {
        let body = json!(1);
        let message = Message {
            entity_type: "Counter",
            id: counter,
            method: "add",
            key: Some(key),
            body: &body,
        };
        let id = self.recorder.begin_add(client, counter);
        let end = match self.caller.ask(&message, first).await? {
            Asked::Done(total) => AddEnd::Acknowledged(serde_json::from_value(total)?),
            Asked::Refused => AddEnd::Refused,
            Asked::Unknown => AddEnd::Unknown,
        };
        self.recorder.end_add(id, end);
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(end)
    }

    /// Adds one more to every counter that was used, through every address, and checks the history:
    /// the last answer is the total.
    pub async fn verify(&self) -> Result<Counted> {
        let adds = self.recorder.history().adds;
        let used: BTreeSet<String> = adds.into_iter().map(|add| add.counter).collect();
        let mut finals = BTreeMap::new();
        for counter in used {
            for address in 0..self.caller.addresses() {
                let key = format!("final-{address}");
                match self.add(LAST, &counter, &key, address).await? {
                    AddEnd::Acknowledged(total) => drop(finals.insert(counter.clone(), total)),
                    end => bail!("Counter/{counter} does not answer any more: {end:?}"),
                }
            }
        }
        let history = self.recorder.history();
        let breaches = check_counters(&history, &finals);
        if let Some(first) = breaches.first() {
            let lines: Vec<String> =
                breaches.iter().take(20).map(CounterBreach::to_string).collect();
            let (count, lines, shown) = (breaches.len(), lines.join("\n"), around(&history, first));
            bail!("{count} breaches:\n{lines}\nwhat happened around the first:\n{shown}");
        }
        let acknowledged = |end: AddEnd| matches!(end, AddEnd::Acknowledged(_));
        Ok(Counted {
            counters: finals.len(),
            acknowledged: history.adds.iter().filter(|add| acknowledged(add.end)).count(),
            total: finals.values().sum(),
        })
    }
}
