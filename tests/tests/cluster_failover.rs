//! How long entities are silent when their owner is taken away, at default settings, on PostgreSQL,
//! under load, by phases: printed as a table. `QUARRY_FAILOVER_ROUNDS` says how often each fault is
//! done (1); `QUARRY_FAILOVER_CHECKED` that figures above the promised ones are a failure: they are
//! promised for a release build on a machine with nothing else to do.

use std::{env, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    failover::{Fault, owned_by, progressed},
    ledger::Ledger,
    phases::{PhaseWatch, Phases, Place},
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
    workload::{Load, Registers},
};
use serde_json::Value;

const LOAD: Load = Load::endless(4, 50);
/// Who sends the probes; load clients count from 0.
const PROBE: u32 = 1_000_000;
/// Longer fails the test, whatever the machine does.
const SILENT_AT_MOST: Duration = Duration::from_secs(20);
const STEP_WITHIN: Duration = Duration::from_mins(1);

/// Who is taken away, how, and within which time its entities are to answer elsewhere.
struct Case {
    name: &'static str,
    fault: Fault,
    leads: bool,
    median: Option<Duration>,
    longest: Duration,
}

const fn seconds(tenths: u64) -> Duration {
    Duration::from_millis(tenths * 100)
}

const CASES: [Case; 4] = [
    Case {
        name: "kill -9 of a runner",
        fault: Fault::Kill,
        leads: false,
        median: Some(seconds(6)),
        longest: seconds(15),
    },
    Case {
        name: "kill -9 of the leader",
        fault: Fault::Kill,
        leads: true,
        median: Some(seconds(20)),
        longest: seconds(35),
    },
    Case {
        name: "SIGSTOP of a runner",
        fault: Fault::Freeze,
        leads: false,
        median: None,
        longest: seconds(50),
    },
    Case {
        name: "SIGSTOP of the leader",
        fault: Fault::Freeze,
        leads: true,
        median: None,
        longest: seconds(70),
    },
];

/// The node that leads the coordinator, once all nodes agree on one and own shards.
async fn leader(cluster: &Cluster) -> Result<u16> {
    let urls = cluster.urls();
    until("one leader, and shards at every node", STEP_WITHIN, async || {
        let mut seen = None;
        for url in &urls {
            let page = cluster.client().text(&format!("{url}/v1/cluster")).await.ok()?;
            let page: Value = serde_json::from_str(&page).ok()?;
            let leader = page.get("leader")?.as_u64()?;
            let owning = |node: &Value| node["shards"].as_u64().is_some_and(|owned| owned > 0);
            let all_own = page.get("nodes")?.as_array()?.iter().all(owning);
            if !all_own || seen.is_some_and(|known| known != leader) {
                return None;
            }
            seen = Some(leader);
        }
        u16::try_from(seen?).ok()
    })
    .await
}

/// Does one fault under a load of its own, and puts everything right again.
async fn strike(
    cluster: &mut Cluster,
    registers: &Registers,
    case: &Case,
    round: u32,
) -> Result<Phases> {
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
    let value = survivors.next_value(PROBE);
    let asked = (cluster.client().clone(), url);
    match case.fault {
        Fault::Kill => cluster.kill(victim).await?,
        Fault::Freeze => {
            cluster.freeze(victim)?;
            // A process that is being stopped may answer for a moment.
            cluster.stopped(victim, STEP_WITHIN).await?;
        }
    }
    let watch = Stopwatch::start();
    let phases = PhaseWatch::start(asked, &register, before, ledger, SILENT_AT_MOST);
    let answer = survivors.append(PROBE, &register, &value, 0).await?;
    answer.with_context(|| format!("Register/{register} stayed silent"))?;
    let phases = phases.end(watch.elapsed()).await?;
    ensure!(phases.answered <= SILENT_AT_MOST, "{}: {phases}", case.name);
    match case.fault {
        Fault::Kill => cluster.restart(victim).await?,
        Fault::Freeze => {
            cluster.thaw(victim)?;
            cluster.ready(victim, STEP_WITHIN).await?;
        }
    }
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{}: {unanswered} appends were never answered", case.name);
    Ok(phases)
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

fn row(case: &Case, seen: &[Phases]) -> (String, bool) {
    let mut answered: Vec<Duration> = seen.iter().map(|phases| phases.answered).collect();
    answered.sort_unstable();
    let (middle, longest) = (answered.get(answered.len() / 2), answered.last());
    let is_met = longest.is_some_and(|longest| *longest < case.longest)
        && case.median.is_none_or(|most| middle.is_some_and(|middle| *middle < most));
    let target = match case.median {
        Some(median) => format!("{}/{}", median.as_millis(), case.longest.as_millis()),
        None => format!("-/{}", case.longest.as_millis()),
    };
    let row = format!(
        "{:<22} {:>5} {:>12} {:>12} {:>12} {:>12} {:>10} {}",
        case.name,
        seen.len(),
        spread(seen.iter().map(|phases| phases.detected)),
        spread(seen.iter().map(|phases| phases.reassigned)),
        spread(seen.iter().map(|phases| phases.fenced)),
        spread(seen.iter().map(|phases| Some(phases.answered))),
        target,
        if is_met { "met" } else { "missed" },
    );
    (row, is_met)
}

#[tokio::test]
async fn entities_answer_elsewhere_when_their_owner_is_gone() -> Result<()> {
    let rounds: u32 = env::var("QUARRY_FAILOVER_ROUNDS").map_or(Ok(1), |text| text.parse())?;
    let is_checked = env::var_os("QUARRY_FAILOVER_CHECKED").is_some();
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let mut rows = Vec::new();
        for case in &CASES {
            let mut seen = Vec::new();
            for round in 0..rounds {
                let phases = strike(cluster, &registers, case, round).await.context(case.name)?;
                say(format!("{}, round {round}: {phases}", case.name));
                seen.push(phases);
            }
            rows.push(row(case, &seen));
        }
        say(format!("{:?}", registers.verify().await?));
        say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
        println!(
            "{:<22} {:>5} {:>12} {:>12} {:>12} {:>12} {:>10}",
            "p50/max in ms", "times", "detected", "reassigned", "fence", "answered", "target"
        );
        for (row, _) in &rows {
            println!("{row}");
        }
        ensure!(!is_checked || rows.iter().all(|(_, is_met)| *is_met), "not all targets are met");
        Ok(())
    })
    .await
}
