//! What happens between a fault and the first answer, as it looks from outside.

use std::{fmt, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::task::JoinSet;

use crate::{
    client::Client,
    ledger::Ledger,
    wait::{Looks, Stopwatch},
};

/// Where a register is placed, as a node tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    shard: i64,
    epoch: i64,
}

impl Place {
    /// Where `register` is placed, as the node behind `url` knows.
    pub async fn of(client: &Client, url: &str, register: &str) -> Result<Self> {
        let page = client.text(&format!("{url}/v1/placement/Register/{register}")).await?;
        let page: Value = serde_json::from_str(&page)?;
        let number = |path: &str| {
            let number = page.pointer(path).and_then(Value::as_i64);
            number.with_context(|| format!("no {path}: {page:#}"))
        };
        Ok(Self { shard: number("/shard/id")?, epoch: number("/shard/epoch")? })
    }

    /// The shard.
    pub const fn shard(&self) -> i64 {
        self.shard
    }
}

/// How long after the fault each phase was over; absent where it was not seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases {
    /// The leader had decided that the lease is over, by its own clock.
    pub detected: Option<Duration>,
    /// A node that is left knew the new owner.
    pub reassigned: Option<Duration>,
    /// The store had the new owner's fence.
    pub fenced: Option<Duration>,
    /// The register had answered.
    pub answered: Duration,
}

impl fmt::Display for Phases {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = |phase: Option<Duration>| {
            phase.map_or_else(|| "?".to_owned(), |time| time.as_millis().to_string())
        };
        let [detected, reassigned, fenced] =
            [self.detected, self.reassigned, self.fenced].map(seen);
        let answered = self.answered.as_millis();
        write!(
            out,
            "detected {detected} ms, reassigned {reassigned} ms, fence {fenced} ms, answered {answered} ms"
        )
    }
}

/// Watches a register whose owner is taken away.
#[derive(Debug)]
pub struct PhaseWatch {
    client: Client,
    url: String,
    /// The wall clock at the fault.
    struck: OffsetDateTime,
    looking: JoinSet<Seen>,
}

/// When a node knew the new owner, when the store had its fence, and the epoch.
type Seen = (Option<Duration>, Option<Duration>, i64);

impl PhaseWatch {
    /// Watches, through the node behind `url` and in the data, from now on, which is when the fault
    /// is done.
    pub fn start(
        (client, url): (Client, String),
        register: &str,
        before: Place,
        ledger: Ledger,
        within: Duration,
    ) -> Self {
        let struck = OffsetDateTime::now_utc();
        let watch = Stopwatch::start();
        let looked = (client.clone(), url.clone(), register.to_owned());
        let mut looking = JoinSet::new();
        looking.spawn(look(looked, before, ledger, watch, within));
        Self { client, url, struck, looking }
    }

    /// The phases, now that the register has answered after `answered`.
    pub async fn end(mut self, answered: Duration) -> Result<Phases> {
        let looked = self.looking.join_next().await.context("nobody looked")?;
        let (reassigned, fenced, epoch) = looked?;
        let moves = self.client.text(&format!("{}/v1/cluster/moves", self.url)).await?;
        let moves: Value = serde_json::from_str(&moves)?;
        let moves = moves.get("moves").and_then(Value::as_array).context("no moves")?;
        let of = |entry: &Value| entry.get("epoch").and_then(Value::as_i64);
        let decided = moves.iter().find(|entry| of(entry) == Some(epoch));
        let decided = decided.and_then(|entry| entry.get("at")?.as_str());
        let decided = decided.map(|at| OffsetDateTime::parse(at, &Rfc3339)).transpose()?;
        let detected = decided.and_then(|at| Duration::try_from(at - self.struck).ok());
        Ok(Phases { detected, reassigned, fenced, answered })
    }
}

/// Looks until the register has another epoch and the store has it too.
async fn look(
    (client, url, register): (Client, String, String),
    before: Place,
    mut ledger: Ledger,
    watch: Stopwatch,
    within: Duration,
) -> Seen {
    let (mut reassigned, mut fenced, mut epoch) = (None, None, before.epoch);
    let mut looks = Looks::during(within);
    while (reassigned.is_none() || fenced.is_none()) && looks.next().await {
        if reassigned.is_none()
            && let Ok(place) = Place::of(&client, &url, &register).await
            && place.epoch > before.epoch
        {
            (reassigned, epoch) = (Some(watch.elapsed()), place.epoch);
        }
        if fenced.is_none()
            && let Ok(fences) = ledger.fences().await
            && fences.get(&before.shard).is_some_and(|fence| *fence > before.epoch)
        {
            fenced = Some(watch.elapsed());
        }
    }
    (reassigned, fenced, epoch)
}
