//! One run: clients call while faults strike, and everything they were told is checked.

use std::{fmt, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{Arena, Schedule, Sound, Step, judge, schedule::DECK, watched};
use crate::{
    cluster::{self, Cluster},
    failover::progressed,
    network::Forbidden,
    report::say,
    wait::Stopwatch,
    workload::{Counters, Load, LoadRun, Registers},
};

const APPENDS: Load = Load::endless(6, 40);
const ADDITIONS: Load = Load::endless(3, 10);
/// Each read is kept until its round is checked.
const READS: Load = Load::endless(4, 40);
const READ_EVERY: Duration = Duration::from_millis(200);
/// How soon after the end of its faults the cluster has to be whole again.
const WHOLE_WITHIN: Duration = Duration::from_secs(30);
/// How many appends have to be answered then.
const ANSWERS: u32 = 30;

/// What a run without a breach came through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survived {
    /// Steps of the schedule.
    pub steps: usize,
    /// Appends that were acknowledged.
    pub appends: usize,
    /// Additions that were acknowledged.
    pub additions: usize,
    /// Loads of shards that were seen.
    pub loads: usize,
    /// The longest time from the end of a step's faults until all nodes were ready and answered.
    pub recovery_most: Duration,
}

impl fmt::Display for Survived {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, appends, additions, loads, recovery_most } = self;
        write!(
            out,
            "{steps} steps, {appends} appends and {additions} additions acknowledged, {loads} loads \
             of shards, whole again within {recovery_most:?}"
        )
    }
}

/// Does all of `schedule` to a cluster of so many nodes, which `prepare` may change before they
/// start. What it says is the schedule and how it goes. The error is the first breach, with what happened around it; the inner answer says why
/// this machine has no network for it.
pub async fn run(
    schedule: &Schedule,
    nodes: u16,
    prepare: impl FnOnce(&mut Cluster) -> Result<()>,
) -> Result<Result<Survived, Forbidden>> {
    let (mut arena, mut cluster) = match Arena::build(nodes, schedule.seed).await? {
        Ok(built) => built,
        Err(forbidden) => return Ok(Err(forbidden)),
    };
    prepare(&mut cluster)?;
    say(format!("seed {}, {nodes} nodes, {} steps:", schedule.seed, schedule.steps.len()));
    for (number, step) in (1..).zip(&schedule.steps) {
        say(format!("{number:>4}. {step}"));
    }
    let mut survived = Survived::default();
    let ran = cluster::run_prepared(cluster, async |cluster| {
        let store = cluster.store_url().to_owned();
        let all = async {
            // Then what was written is checked, and other entities are written: states that grow for
            // ever would measure themselves.
            for (round, steps) in (1..).zip(schedule.steps.chunks(DECK)) {
                run_round(&mut arena, cluster, round, steps, &mut survived).await?;
            }
            anyhow::Ok(())
        };
        // A round is large.
        let ((), loads) = watched(&store, Box::pin(all)).await?;
        survived.loads = loads.count();
        Ok(())
    })
    .await;
    ran.with_context(|| format!("seed {}", schedule.seed))?;
    Ok(Ok(survived))
}

/// Some steps over entities of their own, and the check of all that was done to those.
async fn run_round(
    arena: &mut Arena,
    cluster: &mut Cluster,
    round: usize,
    steps: &[Step],
    survived: &mut Survived,
) -> Result<()> {
    let prefix = format!("x{round}-");
    let registers = Registers::new(cluster.client().clone(), cluster.urls()).named(&prefix);
    let counters = Counters::beside(&registers, &prefix);
    let reads = registers.reads(READS, READ_EVERY);
    let mut loads = [registers.load(APPENDS), counters.load(ADDITIONS), reads];
    progressed(&registers, ANSWERS, WHOLE_WITHIN).await?;
    for step in steps {
        let recovery = run_step(arena, cluster, &registers, step, &mut loads).await;
        let number = survived.steps + 1;
        let recovery = recovery.with_context(|| format!("step {number}: {step}"))?;
        say(format!("{number:>4}. whole again after {recovery:?}"));
        survived.steps = number;
        survived.recovery_most = survived.recovery_most.max(recovery);
    }
    for load in loads {
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} calls were never answered");
    }
    let Sound { appended, added, audited } = judge(cluster, &registers).await?;
    say(format!("round {round}: {appended:?}, {added:?}"));
    say(format!("round {round}: {audited:?}"));
    // The few steps at the end of a schedule may move none that was written meanwhile.
    let is_rest = round > 1 && steps.len() < DECK;
    ensure!(appended.reads >= steps.len(), "registers were hardly read: {appended:?}");
    ensure!(appended.epochs_most > 1 || is_rest, "no register ever moved");
    survived.appends += appended.acknowledged;
    survived.additions += added.acknowledged;
    Ok(())
}

/// How long it took after the end of the faults until all nodes were ready and answered.
async fn run_step(
    arena: &mut Arena,
    cluster: &mut Cluster,
    registers: &Registers,
    step: &Step,
    loads: &mut [LoadRun],
) -> Result<Duration> {
    registers.recorder().note(format!("begins: {step}"));
    let struck = Stopwatch::start();
    arena.strike(cluster, &step.faults).await?;
    struck.reaches(step.lasts).await?;
    arena.undo(cluster, &step.faults).await?;
    registers.recorder().note(format!("ends: {step}"));
    let undone = Stopwatch::start();
    for node in cluster.ids() {
        cluster.ready(node, WHOLE_WITHIN).await?;
    }
    let answered = progressed(registers, registers.done() + ANSWERS, WHOLE_WITHIN).await;
    for load in loads {
        load.broken()?;
    }
    answered?;
    let recovery = undone.elapsed();
    let calm = Stopwatch::start();
    calm.reaches(step.calm).await?;
    Ok(recovery)
}
