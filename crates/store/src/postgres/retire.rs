//! The removal of what is past its retention, as one statement.

use quarry_ports::{LeaseGuard, StoreError};
use quarry_types::ShardId;

use super::pool::{Failed, Pool};
use crate::{database::stored, retire::Plan};

/// A takeover that is under way is waited for, and its epoch seen, as by a commit.
const RETIRE: &str = "\
with held as materialized (
    select f.shard from shard_fence f
    join unnest($1::bigint[], $2::bigint[]) as r (shard, epoch)
        on f.shard = r.shard and f.epoch = r.epoch
    order by f.shard for share of f
), aged as (
    insert into shard_age (shard, age_ms)
    select r.shard, r.age_ms from unnest($3::bigint[], $4::bigint[]) as r (shard, age_ms)
    join held h on h.shard = r.shard
    on conflict (shard) do update set age_ms = excluded.age_ms
        where shard_age.age_ms < excluded.age_ms
), outcomes as (
    delete from outcome o
    using unnest($5::bigint[], $6::uuid[]) as r (shard, message_id), held h
    where h.shard = r.shard and o.message_id = r.message_id
    returning o.message_id
), messages as (
    delete from message m using outcomes o where m.message_id = o.message_id
), chunks as (
    delete from chunk c using outcomes o where c.message_id = o.message_id
), commits as (
    delete from shard_commit c
    using unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
        as r (shard, whole, first, below), held h
    where h.shard = r.shard and c.shard = r.whole and c.sequence >= r.first
        and c.sequence < r.below
)
select count(*) from outcomes";

fn number(shard: ShardId) -> i64 {
    i64::from(shard.0)
}

/// As [`crate::database::Database::retire`].
pub(super) async fn retire(pool: &Pool, plan: &Plan, lease: &LeaseGuard) -> Result<i64, Failed> {
    loop {
        let mut used = pool.take().await?;
        if !lease.is_held() {
            used.done();
            return Ok(0);
        }
        let query = sqlx::query_scalar(RETIRE)
            .bind(plan.held.iter().map(|(shard, _)| number(*shard)).collect::<Vec<_>>())
            .bind(plan.held.iter().map(|(_, epoch)| stored(epoch.0)).collect::<Vec<_>>())
            .bind(plan.ages.keys().map(|shard| number(*shard)).collect::<Vec<_>>())
            .bind(plan.ages.values().map(|age| stored(age.0)).collect::<Vec<_>>())
            .bind(plan.messages.iter().map(|(shard, _)| number(*shard)).collect::<Vec<_>>())
            .bind(plan.messages.iter().map(|(_, id)| *id).collect::<Vec<_>>())
            .bind(plan.commits.iter().map(|old| number(old.owner)).collect::<Vec<_>>())
            .bind(plan.commits.iter().map(|old| number(old.of)).collect::<Vec<_>>())
            .bind(plan.commits.iter().map(|old| old.first).collect::<Vec<_>>())
            .bind(plan.commits.iter().map(|old| old.below).collect::<Vec<_>>());
        match query.fetch_one(used.connection()).await.map_err(Failed::from) {
            Ok(removed) => {
                used.done();
                return Ok(removed);
            }
            // What was removed already is removed again without an effect.
            Err(failed) => used.give_up(failed)?,
        }
    }
}

/// What is removed of `plan` on this server.
pub(super) async fn within(
    pool: &Pool,
    plan: &Plan,
    lease: &LeaseGuard,
    limit: std::time::Duration,
) -> Result<u64, StoreError> {
    let removed = pool.connector.within("a retirement", limit, retire(pool, plan, lease)).await?;
    Ok(u64::try_from(removed).unwrap_or(0))
}
