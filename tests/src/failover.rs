//! Takes a node away under load, and measures how long its entities were silent.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cluster::Cluster,
    wait::{Stopwatch, until},
    workload::{Appended, Registers},
};

/// Who sends the probes; load clients count from 0.
const PROBE: u32 = 1_000_000;

/// How a node is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP; the process stays and may wake.
    Freeze,
}

/// An entity that is silent for longer fails the test.
pub const SILENT_AT_MOST: Duration = Duration::from_secs(10);

/// How long an entity was silent.
#[derive(Debug, Clone)]
pub struct Failover {
    /// What was done.
    pub fault: Fault,
    /// The node that was taken away.
    pub victim: u16,
    /// A register that it owned.
    pub register: String,
    /// From the fault to the first acknowledged append to that register.
    pub silent: Duration,
    /// That append's answer.
    pub next: Appended,
}

impl fmt::Display for Failover {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, victim, register, silent, next } = self;
        write!(
            out,
            "{fault:?} node {victim}: Register/{register} answered after {:.0} ms by node {} in epoch {}",
            silent.as_secs_f64() * 1000.0,
            next.owner,
            next.epoch,
        )
    }
}

/// Waits until `done` appends of the load are over.
pub async fn progressed(registers: &Registers, done: u32, within: Duration) -> Result<()> {
    let what = format!("{done} appends are over");
    until(&what, within, async || (registers.done() >= done).then_some(())).await
}

/// Takes `victim` away while it owns a register, and appends to that register through the other
/// addresses until it is answered.
pub async fn strike(
    cluster: &mut Cluster,
    registers: &Registers,
    victim: u16,
    fault: Fault,
) -> Result<Failover> {
    let survivors = registers.through(cluster.urls_beside(victim));
    let register = owned_by(&survivors, victim).await?;
    let value = survivors.next_value(PROBE);
    let watch = Stopwatch::start();
    match fault {
        Fault::Kill => cluster.kill(victim).await?,
        Fault::Freeze => cluster.freeze(victim)?,
    }
    let next = survivors.append(PROBE, &register, &value, 0).await?;
    let next = next.with_context(|| format!("Register/{register} stayed silent"))?;
    let silent = watch.elapsed();
    ensure!(silent <= SILENT_AT_MOST, "Register/{register} was silent for {silent:?}");
    Ok(Failover { fault, victim, register, silent, next })
}

/// Who answers an append to each of `r0` and up.
pub async fn owners(registers: &Registers, count: u32) -> Result<BTreeMap<String, u16>> {
    let mut owners = BTreeMap::new();
    for number in 0..count {
        let register = format!("r{number}");
        let owner = owner(registers, &register).await?;
        owners.insert(register, owner);
    }
    Ok(owners)
}

/// Who answers an append to `register`.
pub async fn owner(registers: &Registers, register: &str) -> Result<u16> {
    let value = registers.next_value(PROBE);
    let appended = registers.append(PROBE, register, &value, 0).await?;
    appended.with_context(|| format!("Register/{register} is silent"))?.owner_node()
}

/// Asks one register after the other until one answers that `node` owns it.
pub async fn owned_by(registers: &Registers, node: u16) -> Result<String> {
    for number in 0..100 {
        let register = format!("r{}", number % 50);
        if owner(registers, &register).await? == node {
            return Ok(register);
        }
    }
    bail!("node {node} owns none of fifty registers")
}
