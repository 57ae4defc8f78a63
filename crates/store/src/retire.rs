//! What is past its retention: found by reads, then removed by one small transaction under the fence.
//!
//! Only a shard's owner removes its rows, and a row that is past its retention stays so: what a read
//! finds may be removed later. Positions from which to look on are kept, so that no read goes again
//! over what was removed and is not cleaned up yet.
//!
//! What stands under a shard that was split is removed by the owners of its parts, each in its slots:
//! their ages go on where that of the whole stood.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use quarry_ports::{Retired, Retiring, StoreError};
use quarry_types::{Epoch, ShardAge, ShardId, Space};
use uuid::Uuid;

use crate::{
    database::{Database, Value, counter, stored},
    fence_sql::ids_of,
    read::{fill_up, runs, values_of},
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
    pub(crate) ages: BTreeMap<ShardId, ShardAge>,
    /// Messages to remove, with outcome and chunks, each by its owner.
    pub(crate) messages: Vec<(ShardId, Uuid)>,
    /// Rows of commits to remove.
    pub(crate) commits: Vec<OldCommits>,
}

/// Rows of commits that an owner removes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OldCommits {
    /// Whose fence has to stand.
    pub(crate) owner: ShardId,
    /// Under which shard they stand.
    pub(crate) of: ShardId,
    /// From this sequence.
    pub(crate) first: i64,
    /// And below this one.
    pub(crate) below: i64,
}

/// Rows that the owner of a shard removes: those under the shard itself, or under one that it is a
/// part of; and from where they are looked through.
#[derive(Clone, Copy, Debug)]
struct Pile {
    of: ShardId,
    slots: (i64, i64),
    kept_from: i64,
    commits_from: i64,
}

/// The piles of a shard under one epoch. A new epoch begins from the start: ages may lie below
/// earlier ones.
type Piles = (Epoch, Vec<Pile>);

/// Remembers between calls how far each shard is.
#[derive(Debug, Default)]
pub(crate) struct Retirement(Mutex<BTreeMap<ShardId, Piles>>);

/// What a pile holds next: the age until which its next outcome is kept; its first and newest commit,
/// and the mark of the owner.
type Next = (i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

impl Retirement {
    /// Held for a look-up or a change only, never across an await.
    fn known(&self) -> MutexGuard<'_, BTreeMap<ShardId, Piles>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The piles of these shards.
    async fn piles<D: Database>(
        &self,
        database: &D,
        shards: &[Retiring],
    ) -> Result<Vec<(Retiring, Pile)>, StoreError> {
        let is_new = |shard: &&Retiring| {
            self.known().get(&shard.shard).is_none_or(|(epoch, _)| *epoch != shard.epoch)
        };
        let new: Vec<Retiring> = shards.iter().filter(is_new).copied().collect();
        for (run, length) in runs(&new) {
            let found = piles_of(database, run, length).await?;
            let mut known = self.known();
            for shard in run {
                let piles = found.get(&shard.shard).cloned().unwrap_or_default();
                known.insert(shard.shard, (shard.epoch, piles));
            }
        }
        let known = self.known();
        let of = |shard: &Retiring| {
            let piles = known.get(&shard.shard).map(|(_, piles)| piles.clone());
            piles.unwrap_or_default().into_iter().map(|pile| (*shard, pile)).collect::<Vec<_>>()
        };
        Ok(shards.iter().flat_map(of).collect())
    }

    /// Removes what is due of `shards`; `write` is the transaction.
    pub(crate) async fn retire<D: Database>(
        &self,
        database: &D,
        shards: &[Retiring],
        limit: u32,
        write: impl AsyncFnOnce(&Plan) -> Result<u64, StoreError>,
    ) -> Result<Retired, StoreError> {
        let piles = self.piles(database, shards).await?;
        let mut plan = Plan::default();
        let (mut due, mut empty) = (Vec::new(), BTreeSet::new());
        for (run, length) in runs(&piles) {
            let nexts = next_of(database, run, length).await?;
            for ((shard, pile), next) in run.iter().zip(nexts) {
                let is_of_whole = pile.of != shard.shard;
                let before = plan.commits.len();
                due.extend(plan.look(shard, pile, next).map(|from| (*shard, *pile, from)));
                // Nothing is added to what was split.
                if is_of_whole && next.1.is_none() && plan.commits.len() == before {
                    empty.insert((shard.shard, pile.of));
                }
            }
        }
        let (lasts, more) = plan.find(database, &due, limit.min(D::RETIRED_AT_ONCE)).await?;
        plan.hold(shards);
        let messages = if plan.held.is_empty() { 0 } else { write(&plan).await? };
        self.advance(&plan, &lasts, &empty);
        Ok(Retired { messages, more })
    }

    fn advance(
        &self,
        plan: &Plan,
        lasts: &BTreeMap<(ShardId, ShardId), i64>,
        empty: &BTreeSet<(ShardId, ShardId)>,
    ) {
        for (owner, (_, piles)) in &mut *self.known() {
            for pile in &mut *piles {
                if let Some(last) = lasts.get(&(*owner, pile.of)) {
                    pile.kept_from = pile.kept_from.max(last.saturating_sub(LATE));
                }
                let mut commits = plan.commits.iter();
                let removed = commits.find(|old| old.owner == *owner && old.of == pile.of);
                pile.commits_from = removed.map_or(pile.commits_from, |old| old.below);
            }
            piles.retain(|pile| !empty.contains(&(*owner, pile.of)));
        }
    }
}

impl Plan {
    /// Plans what follows from a look at a pile; returns from where its outcomes are due, if any.
    fn look(&mut self, shard: &Retiring, pile: &Pile, next: Next) -> Option<i64> {
        let (_, kept, first, newest, low_water) = next;
        if let (Some(first), Some(newest), Some(low_water)) = (first, newest, low_water) {
            let below = newest.min(low_water).min(first.saturating_add(COMMITS_AT_ONCE));
            if below.saturating_sub(first) >= COMMITS_WORTH {
                let (owner, of) = (shard.shard, pile.of);
                self.commits.push(OldCommits { owner, of, first, below });
            }
        }
        if shard.record && kept.is_some() {
            self.ages.insert(shard.shard, shard.age);
        }
        kept.filter(|kept| counter(*kept) <= shard.age.0)
    }

    /// Finds the messages of the `due` piles, about `limit` in all. Returns how far each pile was
    /// looked through, and whether one of them has more.
    async fn find<D: Database>(
        &mut self,
        database: &D,
        due: &[(Retiring, Pile, i64)],
        limit: u32,
    ) -> Result<(BTreeMap<(ShardId, ShardId), i64>, bool), StoreError> {
        let each = limit.div_ceil(u32::try_from(due.len()).unwrap_or(u32::MAX).max(1));
        let (mut lasts, mut more) = (BTreeMap::new(), false);
        for run in due.chunks(8) {
            let (sql, values) = due_of(run, each);
            let rows: Vec<(i64, Uuid, i64)> = database.fetch(sql, values).await?;
            for (place, (shard, pile, _)) in (0_i64..).zip(run) {
                let found = rows.iter().filter(|(of, _, _)| *of == place);
                let mut count = 0_u32;
                for (_, message, kept) in found {
                    self.messages.push((shard.shard, *message));
                    lasts.insert((shard.shard, pile.of), *kept);
                    count += 1;
                }
                more |= count >= each;
            }
        }
        Ok((lasts, more))
    }

    /// Names the epochs of the shards that it touches.
    fn hold(&mut self, shards: &[Retiring]) {
        let messages = self.messages.iter().map(|(shard, _)| *shard);
        let commits = self.commits.iter().map(|old| old.owner);
        let touched: BTreeSet<ShardId> =
            self.ages.keys().copied().chain(messages).chain(commits).collect();
        let held = shards.iter().filter(|shard| touched.contains(&shard.shard));
        self.held = held.map(|shard| (shard.shard, shard.epoch)).collect();
    }
}

/// What the owners of these shards look through: their own rows, and those of their slots under the
/// shards that they are parts of.
async fn piles_of<D: Database>(
    database: &D,
    run: &[Retiring],
    length: usize,
) -> Result<BTreeMap<ShardId, Vec<Pile>>, StoreError> {
    let (asked, (_, last)) = (values_of(length, (1, 0)), ids_of(Space::DEFAULT));
    let per_space = last.saturating_add(1);
    let sql = format!(
        "with asked (place, shard) as {asked} \
         select f.shard, w.shard, f.first_slot, f.last_slot from asked a \
         join shard_fence f on f.shard = a.shard \
         join shard_fence w on w.shard = f.shard or (w.closed = 1 \
         and w.first_slot <= f.first_slot and w.last_slot >= f.last_slot \
         and w.shard / {per_space} = f.shard / {per_space}) order by a.place, w.shard"
    );
    let mut values = run.iter().map(|shard| Value::Int(i64::from(shard.shard.0))).collect();
    fill_up(&mut values, length, (1, 0));
    let rows: Vec<(i64, i64, i64, i64)> = database.fetch(sql, values).await?;
    let id = |stored: i64| ShardId(u32::try_from(stored).unwrap_or(u32::MAX));
    let mut piles: BTreeMap<ShardId, Vec<Pile>> = BTreeMap::new();
    for (owner, of, first, last) in rows {
        let pile = Pile { of: id(of), slots: (first, last), kept_from: 0, commits_from: 0 };
        piles.entry(id(owner)).or_default().push(pile);
    }
    Ok(piles)
}

/// What each of these piles holds next, in their order; behind them is what fills up the statement.
async fn next_of<D: Database>(
    database: &D,
    run: &[(Retiring, Pile)],
    length: usize,
) -> Result<Vec<Next>, StoreError> {
    let asked = values_of(length, (6, 0));
    let sql = format!(
        "with asked (place, shard, owner, first_slot, last_slot, kept_from, commits_from) \
         as {asked} select a.shard, \
         (select o.keep_until from outcome o where o.shard = a.shard \
         and o.keep_until >= a.kept_from and o.slot between a.first_slot and a.last_slot \
         order by o.keep_until limit 1), \
         (select c.sequence from shard_commit c where c.shard = a.shard \
         and c.sequence >= a.commits_from order by c.sequence limit 1), \
         (select c.sequence from shard_commit c where c.shard = a.shard \
         order by c.sequence desc limit 1), \
         (select c.low_water from shard_commit c where c.shard = a.owner \
         order by c.sequence desc limit 1) from asked a order by a.place"
    );
    let of = |(shard, pile): &(Retiring, Pile)| {
        let ids = [pile.of, shard.shard].map(|shard| Value::Int(i64::from(shard.0)));
        let rest = [pile.slots.0, pile.slots.1, pile.kept_from, pile.commits_from];
        ids.into_iter().chain(rest.map(Value::Int))
    };
    let mut values = run.iter().flat_map(of).collect();
    fill_up(&mut values, length, (6, 0));
    database.fetch(sql, values).await
}

/// The statement that finds what is due of these piles, at most `each` of one.
fn due_of(run: &[(Retiring, Pile, i64)], each: u32) -> (String, Vec<Value>) {
    let (mut parts, mut values) = (Vec::new(), Vec::new());
    for (place, (shard, pile, from)) in run.iter().enumerate() {
        let bound = values.len();
        let [of, since, until, first, last, most] = [1, 2, 3, 4, 5, 6].map(|place| place + bound);
        parts.push(format!(
            "select * from (select cast({place} as bigint), message_id, keep_until from outcome \
             where shard = ${of} and keep_until between ${since} and ${until} \
             and slot between ${first} and ${last} order by keep_until limit ${most}) s{place}"
        ));
        values.push(Value::Int(i64::from(pile.of.0)));
        values.push(Value::Int(*from));
        values.push(Value::Int(stored(shard.age.0)));
        values.push(Value::Int(pile.slots.0));
        values.push(Value::Int(pile.slots.1));
        values.push(Value::Int(i64::from(each)));
    }
    (parts.join(" union all "), values)
}
