//! How long entities are silent when their owner is taken away, at default settings, on PostgreSQL,
//! under load, by phases: printed as a table, with how many attempts of the load failed meanwhile, of how
//! many calls; none of these fails with all its attempts. Beside it the longest call to an entity that
//! another node owns, through nodes that are left. `QUARRY_FAILOVER_ROUNDS` says how often each fault is
//! done (1); `QUARRY_FAILOVER_CHECKED` that figures above the promised ones are a failure: they are
//! promised for a release build on a machine with nothing else to do.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use quarry_tests::{
    chaos::{Arena, Fault},
    cluster::{self, Cluster},
    environment::{figures_are_checked, number},
    failover::{owned_by, owner, progressed},
    ledger::Ledger,
    ownership::at_rest,
    phases::{PhaseWatch, Phases, Place},
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
    workload::{Bystanders, Load, Registers, Seen},
};
use serde_json::Value;

const LOAD: Load = Load::endless(4, 50);
/// Who sends the probes; load clients count from 0.
const PROBE: u32 = 1_000_000;
/// Longer fails the test, whatever the machine does.
const SILENT_AT_MOST: Duration = Duration::from_secs(20);
const STEP_WITHIN: Duration = Duration::from_mins(1);
/// Entities of other nodes that are called meanwhile.
const OTHERS: usize = 12;

/// Who is taken away, how, and within which time its entities are to answer elsewhere.
struct Case {
    name: &'static str,
    fault: fn(u16) -> Fault,
    leads: bool,
    median: Option<Duration>,
    longest: Duration,
    /// Within which time calls to other entities are to be answered meanwhile, where that is promised.
    others: Option<Duration>,
}

const fn seconds(tenths: u64) -> Duration {
    Duration::from_millis(tenths * 100)
}

const HERE: [Case; 4] = [
    Case {
        name: "kill -9 of a runner",
        fault: Fault::Kill,
        leads: false,
        median: Some(seconds(6)),
        longest: seconds(15),
        others: Some(Duration::from_millis(250)),
    },
    Case {
        name: "kill -9 of the leader",
        fault: Fault::Kill,
        leads: true,
        median: Some(seconds(20)),
        longest: seconds(35),
        others: None,
    },
    Case {
        name: "SIGSTOP of a runner",
        fault: Fault::Freeze,
        leads: false,
        median: None,
        longest: seconds(50),
        others: None,
    },
    Case {
        name: "SIGSTOP of the leader",
        fault: Fault::Freeze,
        leads: true,
        median: None,
        longest: seconds(70),
        others: None,
    },
];

const ON_A_NETWORK: [Case; 2] = [
    Case {
        name: "partition of a runner",
        fault: Fault::Isolate,
        leads: false,
        median: None,
        longest: seconds(50),
        others: None,
    },
    Case {
        name: "partition of the leader",
        fault: Fault::Isolate,
        leads: true,
        median: None,
        longest: seconds(70),
        others: None,
    },
];

/// The node that leads the coordinator, once all nodes agree on one and own shards, none is moving, and
/// none is to move: what moves is silent for a moment, whatever else is done.
async fn leader(cluster: &Cluster) -> Result<u16> {
    at_rest(cluster, STEP_WITHIN).await?;
    let urls = cluster.urls();
    until("one leader", STEP_WITHIN, async || {
        let mut seen = None;
        for url in &urls {
            let page = cluster.client().text(&format!("{url}/v1/cluster")).await.ok()?;
            let page: Value = serde_json::from_str(&page).ok()?;
            let leader = page.get("leader")?.as_u64()?;
            if seen.is_some_and(|known| known != leader) {
                return None;
            }
            seen = Some(leader);
        }
        u16::try_from(seen?).ok()
    })
    .await
}

/// What the nodes run on: a network of their own where there is an arena, else all on this host.
struct Ground(Option<Arena>);

impl Ground {
    async fn strike(&mut self, cluster: &mut Cluster, fault: Fault) -> Result<()> {
        match (&mut self.0, fault) {
            (Some(arena), fault) => arena.strike(cluster, &[fault]).await?,
            (None, Fault::Kill(victim)) => cluster.kill(victim).await?,
            (None, Fault::Freeze(victim)) => cluster.freeze(victim)?,
            (None, fault) => bail!("{fault}: only on a network"),
        }
        if let Fault::Freeze(victim) = fault {
            // A process that is being stopped may answer for a moment.
            cluster.stopped(victim, STEP_WITHIN).await?;
        }
        Ok(())
    }

    async fn undo(&mut self, cluster: &mut Cluster, fault: Fault) -> Result<()> {
        match (&mut self.0, fault) {
            (Some(arena), fault) => arena.undo(cluster, &[fault]).await?,
            (None, Fault::Kill(victim)) => cluster.start(victim)?,
            (None, Fault::Freeze(victim)) => cluster.thaw(victim)?,
            (None, _) => {}
        }
        for victim in fault.nodes() {
            cluster.ready(victim, STEP_WITHIN).await?;
        }
        Ok(())
    }
}

/// What came of one fault.
struct Struck {
    phases: Phases,
    /// Calls of the load meanwhile; all were answered.
    calls: u32,
    /// Attempts of these that were answered, and not with success.
    failed: usize,
    /// What was seen of entities of other nodes, through these.
    others: Seen,
}

/// Does one fault under a load of its own, and puts everything right again.
async fn strike(
    (ground, cluster): (&mut Ground, &mut Cluster),
    registers: &Registers,
    case: &Case,
    round: u32,
) -> Result<Struck> {
    let leader = leader(cluster).await?;
    let victim = match cluster.ids().into_iter().find(|id| (*id == leader) == case.leads) {
        Some(victim) => victim,
        None => leader,
    };
    let prefix = format!("{}-{round}-", case.name.replace(' ', "_"));
    let registers = registers.clone().named(&prefix);
    let load = registers.load(LOAD);
    progressed(&registers, registers.done() + 100, STEP_WITHIN).await?;
    let survivors = registers.through(cluster.urls_beside(victim));
    let register = owned_by(&survivors, victim).await?;
    let url = cluster.urls_beside(victim).into_iter().next().context("a node is left")?;
    let before = Place::of(cluster.client(), &url, &register).await?;
    let ledger = Ledger::of(cluster).await?;
    let others = of_others(&survivors, victim, &prefix).await?;
    let others = Bystanders::start(registers.through(cluster.urls_beside(victim)), others).await?;
    let value = survivors.next_value(PROBE);
    let asked = (cluster.client().clone(), url);
    let (done, failed) = (registers.done(), registers.failed().len());
    let fault = (case.fault)(victim);
    let watch = Stopwatch::start();
    let phases = PhaseWatch::start(asked, &register, before, ledger, SILENT_AT_MOST);
    ground.strike(cluster, fault).await?;
    let answer = survivors.append(PROBE, &register, &value, 0).await?;
    answer.with_context(|| format!("Register/{register} stayed silent"))?;
    let phases = phases.end(watch.elapsed()).await?;
    ensure!(phases.answered <= SILENT_AT_MOST, "{}: {phases}", case.name);
    // Before shards move again.
    let others = others.stop().await?;
    ground.undo(cluster, fault).await?;
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{}: {unanswered} appends were never answered", case.name);
    let (calls, failed) = (registers.done() - done, registers.failed().len() - failed);
    Ok(Struck { phases, calls, failed, others })
}

/// Registers that other nodes own; their ids begin with `prefix`.
async fn of_others(survivors: &Registers, victim: u16, prefix: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for number in 0..10 * OTHERS {
        let register = format!("{prefix}other-{number}");
        if owner(survivors, &register).await? != victim {
            found.push(register);
        }
        if found.len() == OTHERS {
            return Ok(found);
        }
    }
    bail!("node {victim} owns nearly everything")
}

/// The middle and the longest of some times, in milliseconds; `?` where none was seen.
fn spread(times: impl Iterator<Item = Option<Duration>>) -> String {
    let mut times: Vec<Duration> = times.flatten().collect();
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(middle), Some(longest)) => format!("{}/{}", middle.as_millis(), longest.as_millis()),
        _ => "?".to_owned(),
    }
}

fn row(case: &Case, struck: &[Struck]) -> (String, bool) {
    let seen: Vec<Phases> = struck.iter().map(|struck| struck.phases).collect();
    let calls: u32 = struck.iter().map(|struck| struck.calls).sum();
    let failed: usize = struck.iter().map(|struck| struck.failed).sum();
    let mut answered: Vec<Duration> = seen.iter().map(|phases| phases.answered).collect();
    answered.sort_unstable();
    let (middle, longest) = (answered.get(answered.len() / 2), answered.last());
    // Who has nothing to do with the fault is refused nothing.
    let is_left_alone = |others: &Seen| {
        others.failed.is_empty() && case.others.is_none_or(|most| others.longest < most)
    };
    // The gateways try again, so that most callers see nothing but latency.
    let most_are_answered = failed * 2 < usize::try_from(calls).unwrap_or(usize::MAX);
    let is_met = longest.is_some_and(|longest| *longest < case.longest)
        && most_are_answered
        && case.median.is_none_or(|most| middle.is_some_and(|middle| *middle < most))
        && struck.iter().all(|struck| is_left_alone(&struck.others));
    let target = match case.median {
        Some(median) => format!("{}/{}", median.as_millis(), case.longest.as_millis()),
        None => format!("-/{}", case.longest.as_millis()),
    };
    let row = format!(
        "{:<24} {:>5} {:>12} {:>12} {:>12} {:>12} {:>13} {:>10} {:>9} {:>6} {}",
        case.name,
        seen.len(),
        spread(seen.iter().map(|phases| phases.detected)),
        spread(seen.iter().map(|phases| phases.reassigned)),
        spread(seen.iter().map(|phases| phases.fenced)),
        spread(seen.iter().map(|phases| Some(phases.answered))),
        format!("{failed}/{calls}"),
        target,
        spread(struck.iter().map(|struck| Some(struck.others.longest))),
        case.others.map_or_else(|| "-".to_owned(), |most| most.as_millis().to_string()),
        if is_met { "met" } else { "missed" },
    );
    (row, is_met)
}

/// Does each of `cases` as often as is asked for, and prints the table.
async fn measure(ground: &mut Ground, cluster: &mut Cluster, cases: &[Case]) -> Result<()> {
    let rounds = u32::try_from(number("QUARRY_FAILOVER_ROUNDS")?.unwrap_or(1))?;
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let mut rows = Vec::new();
    for case in cases {
        let mut seen = Vec::new();
        for round in 0..rounds {
            let struck = strike((&mut *ground, &mut *cluster), &registers, case, round).await;
            let struck = struck.context(case.name)?;
            let Struck { phases, others, .. } = &struck;
            say(format!("{}, round {round}: {phases}; others: {others}", case.name));
            seen.push(struck);
        }
        rows.push(row(case, &seen));
    }
    say(format!("{:?}", registers.verify().await?));
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    say(format!(
        "{:<24} {:>5} {:>12} {:>12} {:>12} {:>12} {:>13} {:>10} {:>9} {:>6}",
        "p50/max in ms",
        "times",
        "detected",
        "reassigned",
        "fence",
        "answered",
        "failed/calls",
        "target",
        "others",
        "target"
    ));
    for (row, _) in &rows {
        say(row);
    }
    ensure!(
        !figures_are_checked() || rows.iter().all(|(_, is_met)| *is_met),
        "not all targets are met"
    );
    Ok(())
}

#[tokio::test]
async fn entities_answer_elsewhere_when_their_owner_is_gone() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        measure(&mut Ground(None), cluster, &HERE).await
    })
    .await
}

/// Clients and the database go on hearing the node that is cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entities_answer_elsewhere_when_their_owner_is_cut_off_from_the_others() -> Result<()> {
    let (arena, cluster) = match Arena::build(3, 1).await? {
        Ok(built) => built,
        Err(forbidden) => {
            ensure!(!figures_are_checked(), "this machine has no network: {}", forbidden.0);
            say(format!("skipped, this machine has no network: {}", forbidden.0));
            return Ok(());
        }
    };
    let mut ground = Ground(Some(arena));
    cluster::run_prepared(cluster, async |cluster| {
        measure(&mut ground, cluster, &ON_A_NETWORK).await
    })
    .await
}
