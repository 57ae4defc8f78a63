//! What is past its retention: found by reads, then removed by one small transaction under the fence.
//!
//! Only a shard's owner removes its rows, and a row that is past its retention stays so: what a read
//! finds may be removed later. Positions from which to look on are kept, so that no read goes again
//! over what was removed and is not cleaned up yet.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use quarry_ports::{Retired, Retiring, StoreError};
use quarry_types::{Epoch, ShardAge, ShardId};
use uuid::Uuid;

use crate::{
    database::{Database, Value, counter, stored},
    read::{runs, values_of},
};

/// Rows of commits of one shard from which their removal is worth a statement, and how many go at
/// once.
const COMMITS_WORTH: i64 = 128;
const COMMITS_AT_ONCE: i64 = 2_048;
/// A commit may become durable so many milliseconds of age after it was made: outcomes may appear
/// that far behind what was removed.
const LATE: i64 = 30_000;

/// What one transaction removes, of shards whose fence stands.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The epochs that must stand.
    pub(crate) held: Vec<(ShardId, Epoch)>,
    /// Ages to record.
    pub(crate) ages: Vec<(ShardId, ShardAge)>,
    /// Messages to remove, with outcome and chunks.
    pub(crate) messages: Vec<(ShardId, Uuid)>,
    /// Rows of commits to remove: from a sequence, and below one.
    pub(crate) commits: Vec<(ShardId, i64, i64)>,
}

/// Where a shard is looked through from.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    epoch: Epoch,
    kept_from: i64,
    commits_from: i64,
}

/// Remembers between calls how far each shard is.
#[derive(Debug, Default)]
pub(crate) struct Retirement(Mutex<BTreeMap<ShardId, Cursor>>);

/// A shard, and what it holds next: the age until which its next outcome is kept; its first, newest
/// and marked commit.
type Next = (i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

impl Retirement {
    /// Held for a look-up or a change only, never across an await.
    fn cursors(&self) -> MutexGuard<'_, BTreeMap<ShardId, Cursor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to look on. A new epoch begins from the start: ages may lie below earlier ones.
    fn cursor(&self, shard: &Retiring) -> Cursor {
        let known = self.cursors().get(&shard.shard).copied();
        let fresh = Cursor { epoch: shard.epoch, ..Cursor::default() };
        known.filter(|cursor| cursor.epoch == shard.epoch).unwrap_or(fresh)
    }

    /// Removes what is due of `shards`; `write` is the transaction.
    pub(crate) async fn retire<D: Database>(
        &self,
        database: &D,
        shards: &[Retiring],
        limit: u32,
        write: impl AsyncFnOnce(&Plan) -> Result<u64, StoreError>,
    ) -> Result<Retired, StoreError> {
        let cursors: Vec<(Retiring, Cursor)> =
            shards.iter().map(|shard| (*shard, self.cursor(shard))).collect();
        let mut plan = Plan::default();
        let mut due = Vec::new();
        for run in runs(&cursors) {
            let nexts = next_of(database, run).await?;
            for ((shard, _), next) in run.iter().zip(nexts) {
                due.extend(plan.look(shard, next).map(|from| (*shard, from)));
            }
        }
        let (lasts, more) = plan.find(database, &due, limit.min(D::RETIRED_AT_ONCE)).await?;
        plan.hold(shards);
        let messages = if plan.held.is_empty() { 0 } else { write(&plan).await? };
        self.advance(&cursors, &plan, &lasts);
        Ok(Retired { messages, more })
    }

    fn advance(&self, before: &[(Retiring, Cursor)], plan: &Plan, lasts: &BTreeMap<ShardId, i64>) {
        let mut cursors = self.cursors();
        for (shard, cursor) in before {
            let mut cursor = *cursor;
            if let Some(last) = lasts.get(&shard.shard) {
                cursor.kept_from = cursor.kept_from.max(last.saturating_sub(LATE));
            }
            let below = plan.commits.iter().find(|(of, _, _)| *of == shard.shard);
            if let Some((_, _, below)) = below {
                cursor.commits_from = *below;
            }
            cursors.insert(shard.shard, cursor);
        }
    }
}

impl Plan {
    /// Plans what follows from a look at a shard; returns from where its outcomes are due, if any.
    fn look(&mut self, shard: &Retiring, next: Next) -> Option<i64> {
        let (_, kept, first, newest, low_water) = next;
        if let (Some(first), Some(newest), Some(low_water)) = (first, newest, low_water) {
            let below = newest.min(low_water).min(first.saturating_add(COMMITS_AT_ONCE));
            if below.saturating_sub(first) >= COMMITS_WORTH {
                self.commits.push((shard.shard, first, below));
            }
        }
        if shard.record && kept.is_some() {
            self.ages.push((shard.shard, shard.age));
        }
        kept.filter(|kept| counter(*kept) <= shard.age.0)
    }

    /// Finds the messages of the `due` shards, about `limit` in all. Returns how far each shard was
    /// looked through, and whether one of them has more.
    async fn find<D: Database>(
        &mut self,
        database: &D,
        due: &[(Retiring, i64)],
        limit: u32,
    ) -> Result<(BTreeMap<ShardId, i64>, bool), StoreError> {
        let each = limit.div_ceil(u32::try_from(due.len()).unwrap_or(u32::MAX).max(1));
        let mut lasts = BTreeMap::new();
        for run in due.chunks(8) {
            let (sql, values) = due_of(run, each);
            let rows: Vec<(i64, Uuid, i64)> = database.fetch(sql, values).await?;
            for (shard, message, kept) in rows {
                let shard = ShardId(u32::try_from(shard).unwrap_or(u32::MAX));
                self.messages.push((shard, message));
                lasts.insert(shard, kept);
            }
        }
        let full = |shard: &Retiring| {
            let found = self.messages.iter().filter(|(of, _)| *of == shard.shard).count();
            u32::try_from(found).is_ok_and(|found| found >= each)
        };
        let more = due.iter().any(|(shard, _)| full(shard));
        Ok((lasts, more))
    }

    /// Names the epochs of the shards that it touches.
    fn hold(&mut self, shards: &[Retiring]) {
        let ages = self.ages.iter().map(|(shard, _)| *shard);
        let messages = self.messages.iter().map(|(shard, _)| *shard);
        let commits = self.commits.iter().map(|(shard, _, _)| *shard);
        let touched: std::collections::BTreeSet<ShardId> =
            ages.chain(messages).chain(commits).collect();
        let held = shards.iter().filter(|shard| touched.contains(&shard.shard));
        self.held = held.map(|shard| (shard.shard, shard.epoch)).collect();
    }
}

/// What each of these shards holds next, in their order.
async fn next_of<D: Database>(
    database: &D,
    run: &[(Retiring, Cursor)],
) -> Result<Vec<Next>, StoreError> {
    let asked = values_of(run.len(), 3, 3);
    let sql = format!(
        "with asked (place, shard, kept_from, commits_from) as {asked} select a.shard, \
         (select o.keep_until from outcome o where o.shard = a.shard \
         and o.keep_until >= a.kept_from order by o.keep_until limit 1), \
         (select c.sequence from shard_commit c where c.shard = a.shard \
         and c.sequence >= a.commits_from order by c.sequence limit 1), \
         (select c.sequence from shard_commit c where c.shard = a.shard \
         order by c.sequence desc limit 1), \
         (select c.low_water from shard_commit c where c.shard = a.shard \
         order by c.sequence desc limit 1) from asked a order by a.place"
    );
    let values = run.iter().flat_map(|(shard, cursor)| {
        let shard = Value::Int(i64::from(shard.shard.0));
        [shard, Value::Int(cursor.kept_from), Value::Int(cursor.commits_from)]
    });
    database.fetch(sql, values.collect()).await
}

/// The statement that finds what is due of these shards, at most `each` of one.
fn due_of(run: &[(Retiring, i64)], each: u32) -> (String, Vec<Value>) {
    let (mut parts, mut values) = (Vec::new(), Vec::new());
    for (shard, from) in run {
        let bound = values.len();
        let [a, b, c, d] = [1, 2, 3, 4].map(|place| place + bound);
        parts.push(format!(
            "select * from (select shard, message_id, keep_until from outcome where shard = ${a} \
             and keep_until between ${b} and ${c} order by keep_until limit ${d}) s{bound}"
        ));
        values.push(Value::Int(i64::from(shard.shard.0)));
        values.push(Value::Int(*from));
        values.push(Value::Int(stored(shard.age.0)));
        values.push(Value::Int(i64::from(each)));
    }
    (parts.join(" union all "), values)
}
