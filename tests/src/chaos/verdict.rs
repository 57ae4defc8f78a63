//! What is held to be a breach: in the history of clients, in the data, in what nodes counted, and in who
//! loaded which shard.

use std::{convert::Infallible, time::Duration};

use anyhow::{Result, bail, ensure};
use tokio::time::{MissedTickBehavior, interval};

use super::Loads;
use crate::{
    cluster::Cluster,
    ledger::{Audited, Ledger},
    workload::{Counted, Counters, Registers, Verified},
};

/// How often the fences are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is there where nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// What stands in the registers.
    pub appended: Verified,
    /// What stands in the counters.
    pub added: Counted,
    /// What stands in the data.
    pub audited: Audited,
}

/// Checks the history that `registers`, and counters beside them, have noted; all rows of the data; and
/// that no node counted a violation of an invariant. No load goes on meanwhile. The error tells everything
/// that is wrong.
pub async fn judge(cluster: &Cluster, registers: &Registers) -> Result<Sound> {
    let mut wrong = Vec::new();
    let appended = noted(&mut wrong, registers.verify().await);
    let added = noted(&mut wrong, Counters::beside(registers, "").verify().await);
    let audited = match Ledger::of(cluster).await {
        Ok(mut ledger) => noted(&mut wrong, ledger.audit().await),
        Err(error) => noted(&mut wrong, Err(error)),
    };
    let violations = noted(&mut wrong, none_is_violated(cluster).await);
    match (appended, added, audited, violations) {
        (Some(appended), Some(added), Some(audited), Some(())) => {
            Ok(Sound { appended, added, audited })
        }
        _ => bail!(wrong.join("\n")),
    }
}

async fn none_is_violated(cluster: &Cluster) -> Result<()> {
    let count = cluster.violations().await?;
    ensure!(count == 0, "{count} violations of invariants");
    Ok(())
}

fn noted<T>(wrong: &mut Vec<String>, checked: Result<T>) -> Option<T> {
    checked.map_err(|error| wrong.push(format!("{error:#}"))).ok()
}

/// Does `all` while it looks at the fences in `store`, and ends at the first load or commit that breaks a
/// promise; what `all` came to, and the loads that there were: all of them where PostgreSQL notes them, else
/// those that were seen.
pub async fn watched<T>(store: &str, all: impl Future<Output = Result<T>>) -> Result<(T, Loads)> {
    let (mut loads, mut notes) = (Loads::default(), false);
    let done = tokio::select! {
        ended = all => ended?,
        breach = watch(store, &mut loads, &mut notes) => match breach? {},
    };
    if notes {
        loads.note(&Ledger::open(store).await?.noted_loads().await?)?;
    }
    Ok((done, loads))
}

/// Looks at the fences until one is wrong. Where the database does not answer there is nothing to see.
/// `notes`: whether the database notes all loads.
async fn watch(store: &str, loads: &mut Loads, notes: &mut bool) -> Result<Infallible> {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ledger = None;
    loop {
        ticks.tick().await;
        let reader = match ledger.take() {
            Some(reader) => Ok(reader),
            None => Ledger::open(store).await,
        };
        let Ok(mut reader) = reader else { continue };
        if !*notes {
            *notes = reader.note_loads().await.unwrap_or(false);
        }
        if let Ok(rows) = reader.loads().await {
            loads.look(&rows)?;
            ledger = Some(reader);
        }
    }
}
