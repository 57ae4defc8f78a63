//! Calls to entities that a fault has nothing to do with.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    Registers,
    load::{Load, LoadRun},
};
use crate::wait::{Stopwatch, until};

/// Clients side by side.
const CLIENTS: u32 = 4;
/// How long a client waits between two of its calls; a call that takes longer puts the next one off.
const EVERY: Duration = Duration::from_millis(20);
/// How long it may take until every register was called once.
const BEGUN_WITHIN: Duration = Duration::from_secs(30);
/// Clients count from here; those of loads from 0.
const FIRST_CLIENT: u32 = 2_000_000;

/// When a call began and how long it took, all its attempts together.
type Call = (Duration, Duration);

/// Clients that append to registers in turn and measure each call, until they are stopped.
#[derive(Debug)]
pub struct Bystanders {
    registers: Registers,
    run: LoadRun,
    watch: Stopwatch,
    calls: Arc<Mutex<Vec<Call>>>,
    /// From when on calls count.
    from: Duration,
}

/// What bystanders saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The longest call.
    pub longest: Duration,
    /// Calls that were answered.
    pub calls: usize,
    /// Attempts that were answered, and not with success.
    pub failed: Vec<String>,
}

impl fmt::Display for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { longest, calls, failed } = self;
        write!(out, "{calls} calls, the longest {longest:.0?}, attempts that failed {failed:?}")
    }
}

impl Bystanders {
    /// Begins to append to the registers of these `ids`, through the addresses of `registers`. Returns
    /// when each of them has answered: no call that counts is the first of its register.
    pub async fn start(registers: Registers, ids: Vec<String>) -> Result<Self> {
        let count = u32::try_from(ids.len())?;
        ensure!(count > 0, "there are no bystanders");
        let (calls, watch) = (Arc::<Mutex<Vec<Call>>>::default(), Stopwatch::start());
        let (ids, noted, clock) = (Arc::<[String]>::from(ids), Arc::clone(&calls), watch.clone());
        let caller = registers.clone();
        let run = Load::endless(CLIENTS, count).start(move |client, number| {
            let (registers, ids) = (caller.clone(), Arc::clone(&ids));
            let (noted, clock) = (Arc::clone(&noted), clock.clone());
            async move {
                let id = ids.get(usize::try_from(number % count)?).context("a register")?;
                let begun = clock.elapsed();
                let value = registers.next_value(FIRST_CLIENT + client);
                let first = usize::try_from(number)?;
                let appended = registers.append(FIRST_CLIENT + client, id, &value, first).await?;
                let call = (begun, clock.elapsed().saturating_sub(begun));
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(call);
                tokio::time::sleep(EVERY).await;
                Ok(appended.is_some())
            }
        });
        let mut bystanders = Self { registers, run, watch, calls, from: Duration::ZERO };
        let each = usize::try_from(count)?;
        until("each bystander is called", BEGUN_WITHIN, async || {
            (bystanders.calls().len() > each).then_some(())
        })
        .await?;
        bystanders.from = bystanders.watch.elapsed();
        Ok(bystanders)
    }

    /// Ends; what was seen in calls that were not over at the start. Every call has to be answered.
    pub async fn stop(self) -> Result<Seen> {
        let Self { registers, run, calls, from, .. } = self;
        let unanswered = run.stop().await?;
        ensure!(unanswered == 0, "{unanswered} calls to other entities were never answered");
        let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = calls.iter().filter(|(begun, took)| *begun + *took >= from);
        let took: Vec<Duration> = counted.map(|(_, took)| *took).collect();
        let longest = took.iter().max().copied().context("no call was made meanwhile")?;
        Ok(Seen { longest, calls: took.len(), failed: registers.failed() })
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
