//! An owner stands still, under load, until others have long been; what it does when it wakes is read
//! from the data itself.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    chaos::judge,
    cluster::Cluster,
    environment::figures_are_checked,
    failover::{SILENT_AT_MOST, owner, owners},
    grants::{Grants, Served, takes_part},
    ledger::{CommitRow, Ledger},
    metrics::Metrics,
    ownership::at_rest,
    report::say,
    wait::{Stopwatch, until},
    wire::Wire,
    workload::{Load, LoadRun, Registers},
};

/// Who appends meanwhile.
pub const LOAD: Load = Load::endless(8, 50);
/// Several times as long as a lease.
pub const FROZEN_FOR: Duration = Duration::from_secs(10);
/// How long a step of a test may take.
pub const STEP_WITHIN: Duration = Duration::from_mins(1);
/// How long a node may take to be ready again.
pub const READY_WITHIN: Duration = Duration::from_secs(30);
/// Shards of a frozen node are loaded elsewhere within its lease and some time for the loading.
const TAKEN_WITHIN: Duration = Duration::from_secs(8);
/// What is promised: others answer for all of its registers.
const PROMISED: Duration = Duration::from_secs(5);

/// What is promised: a node that wakes serves nothing under its old grants for longer.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(1);

const REFUSED: &str = "quarry_commits_refused_total";
const REASONS: [&str; 5] = ["fence", "lease_over", "rejected", "unavailable", "undecided"];

/// Commits that a node refused, by reason.
pub type Refusals = BTreeMap<&'static str, u64>;

/// The commits that a node had refused when it showed this page.
pub fn refusals(page: &Metrics) -> Refusals {
    REASONS.map(|reason| (reason, page.sum_where(REFUSED, &[("reason", reason)]))).into()
}

/// What a node has, and what it did, before it stands still.
#[derive(Debug)]
pub struct Before {
    grants: Grants,
    refused: Refusals,
    served: Served,
}

impl Before {
    /// That of `node`.
    pub async fn of(cluster: &Cluster, node: u16) -> Result<Self> {
        let grants = Grants::of(cluster, node).await?;
        let refused = refusals(&cluster.metrics(node).await?);
        let served = Served::by(cluster, node).await?;
        ensure!(served.kept(served) > 0, "node {node} serves no shard");
        Ok(Self { grants, refused, served })
    }
}

/// What a node did when it woke up.
#[derive(Debug)]
pub struct Woken {
    /// The node.
    pub node: u16,
    /// After which time it served nothing any more under the grants that it had.
    pub gave_up: Duration,
    /// The commits that it refused.
    pub refused: Refusals,
    /// What was committed under the grants that it had, after others had loaded its shards.
    pub late: Vec<CommitRow>,
}

impl Woken {
    /// Nothing was committed under a grant of the past.
    pub fn nothing_is_late(&self) -> Result<()> {
        let Self { node, late, .. } = self;
        ensure!(
            late.is_empty(),
            "node {node} committed under its old grants after it woke up: {late:?}"
        );
        Ok(())
    }

    /// It gave the grants of the past up at once.
    pub fn gave_up_at_once(&self) -> Result<()> {
        let Self { node, gave_up, .. } = self;
        ensure!(
            *gave_up <= GIVEN_UP_WITHIN,
            "node {node} served shards under its old grants until {gave_up:?} after it woke up"
        );
        Ok(())
    }
}

/// Waits until `node`, which wakes up now, serves nothing under the grants of before; after which time.
async fn gives_up(cluster: &Cluster, node: u16, before: &Before) -> Result<Duration> {
    let woken = Stopwatch::start();
    until("it has given up its old grants", READY_WITHIN, async || {
        let served = Served::by(cluster, node).await.ok()?;
        (before.served.kept(served) == 0).then_some(())
    })
    .await?;
    Ok(woken.elapsed())
}

/// A node that stood still under a load, which goes on.
#[derive(Debug)]
pub struct Stood {
    /// What it did when it woke up.
    pub woken: Woken,
    /// What is written.
    pub registers: Registers,
    /// Who writes.
    pub load: LoadRun,
}

/// Ends the load and checks everything that is left, as chaos does.
pub async fn nothing_is_wrong(
    cluster: &Cluster,
    registers: &Registers,
    load: LoadRun,
) -> Result<()> {
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    say(format!("{:?}", judge(cluster, registers).await?));
    Ok(())
}

/// Lets `node` go on when it was frozen for the whole time and others have loaded its shards, and what
/// `wire` holds of it when it is ready again; waits until it takes part again.
pub async fn wake(
    cluster: &mut Cluster,
    node: u16,
    before: &Before,
    frozen: &Stopwatch,
    wire: Option<&Wire>,
) -> Result<Woken> {
    let mut ledger = Ledger::of(cluster).await?;
    let Before { grants, refused, .. } = before;
    grants.superseded(&mut ledger, TAKEN_WITHIN).await?;
    say(format!("its {} shards are loaded elsewhere {:?} after", grants.count(), frozen.elapsed()));
    let committed = grants.commits(&mut ledger).await?;
    frozen.reaches(FROZEN_FOR).await?;
    cluster.thaw(node)?;
    let woken = Stopwatch::start();
    let gave_up = gives_up(cluster, node, before).await?;
    say(format!("node {node} has given up its old grants {gave_up:?} after it woke up"));
    cluster.ready(node, READY_WITHIN).await?;
    say(format!("node {node} is ready again {:?} after it woke up", woken.elapsed()));
    wire.into_iter().for_each(Wire::release);
    takes_part(cluster, node, READY_WITHIN).await?;
    say(format!("node {node} owns shards again {:?} after it woke up", woken.elapsed()));
    // Housekeeping removes rows of old commits meanwhile; none may be added.
    let mut late = grants.commits(&mut ledger).await?;
    late.retain(|row| !committed.contains(row));
    let mut rise = refusals(&cluster.metrics(node).await?);
    for (reason, count) in &mut rise {
        *count -= refused.get(reason).unwrap_or(&0);
    }
    say(format!("node {node} refused commits that it had begun: {rise:?}"));
    Ok(Woken { node, gave_up, refused: rise, late })
}

/// Lets `stop` bring node 1 to stand still inside one of its commits, under load, waits until others
/// have answered for all of its registers, and follows it until it takes part again.
pub async fn stands_still(
    cluster: &mut Cluster,
    wire: Option<&Wire>,
    stop: impl AsyncFnOnce(&mut Cluster) -> Result<()>,
) -> Result<Stood> {
    // What moves later is not among the grants.
    at_rest(cluster, STEP_WITHIN).await?;
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let elsewhere = registers.through(cluster.urls_beside(1));
    let owned = owners(&elsewhere, LOAD.registers).await?;
    let before = Before::of(cluster, 1).await?;
    let load = registers.load(LOAD);
    stop(cluster).await?;
    let frozen = Stopwatch::start();
    for register in owned.iter().filter(|(_, owner)| **owner == 1).map(|(id, _)| id) {
        let next = owner(&elsewhere, register).await?;
        ensure!(next != 1, "Register/{register} was answered by the stopped node");
    }
    let silent = frozen.elapsed();
    say(format!("all of its registers answered elsewhere {silent:?} after"));
    let most = if figures_are_checked() { PROMISED } else { SILENT_AT_MOST };
    ensure!(silent <= most, "its registers were silent for {silent:?}");
    let woken = wake(cluster, 1, &before, &frozen, wire).await?;
    Ok(Stood { woken, registers, load })
}

/// Lets node 1 stop itself before it sends one of its commits, under load, and wake when others have
/// written to all of its registers and nobody writes any more: what it sends then stands, if anything
/// does. The others are killed behind it, so that all is read from what is stored. Answers what was
/// written.
pub async fn wakes_in_quiet(cluster: &mut Cluster) -> Result<Registers> {
    at_rest(cluster, STEP_WITHIN).await?;
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let mut ledger = Ledger::of(cluster).await?;
    let grants = Grants::of(cluster, 1).await?;
    let refused = refusals(&cluster.metrics(1).await?);
    let load = registers.load(LOAD);
    cluster.stopped(1, STEP_WITHIN).await?;
    let frozen = Stopwatch::start();
    grants.superseded(&mut ledger, TAKEN_WITHIN).await?;
    owners(&registers.through(cluster.urls_beside(1)), LOAD.registers).await?;
    frozen.reaches(FROZEN_FOR).await?;
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    let before = grants.commits(&mut ledger).await?;
    registers.recorder().note("node 1 wakes up");
    cluster.thaw(1)?;
    until("what it was about to send is refused, or stands", STEP_WITHIN, async || {
        let metrics = cluster.metrics(1).await.ok()?;
        let is_refused = refusals(&metrics).get("fence") > refused.get("fence");
        let stands =
            grants.commits(&mut ledger).await.ok()?.iter().any(|row| !before.contains(row));
        (is_refused || stands).then_some(())
    })
    .await?;
    for node in cluster.ids_beside(1) {
        registers.recorder().note(format!("node {node} is killed"));
        cluster.kill(node).await?;
    }
    for node in cluster.ids_beside(1) {
        cluster.start(node)?;
    }
    for node in cluster.ids() {
        cluster.ready(node, READY_WITHIN).await?;
    }
    Ok(registers)
}
