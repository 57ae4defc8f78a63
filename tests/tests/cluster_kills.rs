//! Nodes are killed with SIGKILL at random moments under load, one or several at a time: a few rounds,
//! or as many as `QUARRY_KILL_ROUNDS` says, drawn from `QUARRY_KILL_SEED`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quarry_ports::{Host, Random as _};
use quarry_sim::host::SeededRandom;
use quarry_tests::{
    cluster::{self, Cluster},
    environment::number,
    failover::progressed,
    ledger::Ledger,
    process::StoreKind,
    report::say,
    wait::Stopwatch,
    workload::{Counters, Load, Registers},
};

const ROUNDS: u64 = 3;
const NODES: u16 = 3;
/// After so many rounds what was written is checked, and other entities are written: states that
/// grow for ever would measure themselves.
const CHECKED_AFTER: u64 = 4;
const APPENDS: Load = Load::endless(6, 40);
const ADDITIONS: Load = Load::endless(3, 10);
/// How soon after the last start all nodes have to be ready and calls to be answered.
const WHOLE_WITHIN: Duration = Duration::from_secs(30);
const ANSWERS: u32 = 30;

/// Who is killed in a round, and when.
struct Round {
    nodes: Vec<u16>,
    /// From the last answers before to the kill, and from the kill to the start.
    pauses: (Duration, Duration),
}

/// Mostly one node; now and then two, or all.
fn draw(random: &SeededRandom) -> Round {
    let mut nodes: Vec<u16> = (1..=NODES).collect();
    let count = match random.below(6) {
        0 => NODES,
        1 | 2 => 2,
        _ => 1,
    };
    while nodes.len() > usize::from(count) {
        let left_out = usize::try_from(random.next_u64() % 3).unwrap_or(0).min(nodes.len() - 1);
        nodes.remove(left_out);
    }
    let pause = || Duration::from_millis(random.below(600));
    Round { nodes, pauses: (pause(), pause()) }
}

async fn kill(cluster: &mut Cluster, registers: &Registers, round: &Round) -> Result<Duration> {
    progressed(registers, registers.done() + ANSWERS, WHOLE_WITHIN).await?;
    Stopwatch::start().reaches(round.pauses.0).await?;
    for node in &round.nodes {
        cluster.kill(*node).await?;
    }
    Stopwatch::start().reaches(round.pauses.1).await?;
    let started = Stopwatch::start();
    for node in &round.nodes {
        cluster.start(*node)?;
    }
    for node in &round.nodes {
        cluster.ready(*node, WHOLE_WITHIN).await?;
    }
    progressed(registers, registers.done() + ANSWERS, WHOLE_WITHIN).await?;
    Ok(started.elapsed())
}

/// Some rounds over entities of their own, and the check of all that was done to those.
async fn some(cluster: &mut Cluster, random: &SeededRandom, first: u64, rounds: u64) -> Result<()> {
    let prefix = format!("x{first}-");
    let registers = Registers::new(cluster.client().clone(), cluster.urls()).named(&prefix);
    let counters = Counters::beside(&registers, &prefix);
    let loads = [registers.load(APPENDS), counters.load(ADDITIONS)];
    for number in first..first + rounds {
        let round = draw(random);
        registers.recorder().note(format!("round {number} kills {:?}", round.nodes));
        let back = kill(cluster, &registers, &round).await;
        let back = back.with_context(|| format!("round {number}, nodes {:?}", round.nodes))?;
        say(format!("round {number}: killed {:?}, whole again after {back:?}", round.nodes));
    }
    for load in loads {
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} calls were never answered");
    }
    let (appended, added) = (registers.verify().await?, counters.verify().await?);
    ensure!(appended.epochs_most > 1, "no register ever moved");
    let audited = Ledger::of(cluster).await?.audit().await?;
    say(format!("{appended:?}, {added:?}, {audited:?}"));
    let violations = cluster.violations().await?;
    ensure!(violations == 0, "{violations} violations of invariants");
    Ok(())
}

async fn rounds(store: StoreKind) -> Result<()> {
    let rounds = number("QUARRY_KILL_ROUNDS")?.unwrap_or(ROUNDS);
    let seed = number("QUARRY_KILL_SEED")?.unwrap_or_else(|| Host::system().random.next_u64());
    say(format!("{store:?}: {rounds} rounds, QUARRY_KILL_SEED={seed}"));
    let random = SeededRandom::new(seed);
    cluster::run(NODES, store, async |cluster| {
        let mut first = 1;
        while first <= rounds {
            let some_rounds = CHECKED_AFTER.min(rounds - first + 1);
            some(cluster, &random, first, some_rounds).await?;
            first += some_rounds;
        }
        Ok(())
    })
    .await
    .with_context(|| format!("QUARRY_KILL_SEED={seed}"))
}

#[tokio::test]
async fn whatever_moment_nodes_are_killed_at_each_acknowledged_call_is_done_once_on_sqlite()
-> Result<()> {
    rounds(StoreKind::Sqlite).await
}

#[tokio::test]
async fn whatever_moment_nodes_are_killed_at_each_acknowledged_call_is_done_once_on_postgres()
-> Result<()> {
    rounds(StoreKind::Postgres).await
}
