//! The removal of what is past its retention, as one short transaction.

use std::collections::BTreeMap;

use quarry_ports::{Host, LeaseGuard};
use quarry_types::ShardId;

use super::{
    script::{Rows, Script},
    writer::{Turn, Writer},
};
use crate::{
    database::{Value, stored},
    retire::Plan,
};

const AGES: Rows = Rows {
    head: "insert into shard_age (shard, age_ms) select * from (values ",
    row: "(?,?)",
    tail: ") where column1 is not null on conflict (shard) do update set age_ms = excluded.age_ms \
        where shard_age.age_ms < excluded.age_ms",
};
const OUTCOMES: Rows =
    Rows { head: "delete from outcome where message_id in (", row: "?", tail: ")" };
const MESSAGES: Rows =
    Rows { head: "delete from message where message_id in (", row: "?", tail: ")" };
const CHUNKS: Rows = Rows { head: "delete from chunk where message_id in (", row: "?", tail: ")" };
const COMMITS: &str =
    "delete from shard_commit where shard = $1 and sequence >= $2 and sequence < $3";

/// As [`crate::database::Database::retire`].
pub(super) async fn retire(
    writer: &Writer,
    host: &Host,
    plan: &Plan,
    lease: &LeaseGuard,
) -> Result<u64, sqlx::Error> {
    let mut turn = writer.begin(host).await?;
    if !lease.is_held() {
        turn.rollback().await;
        return Ok(0);
    }
    match remove(&mut turn, plan).await {
        Ok(removed) => turn.commit().await.map(|()| removed),
        Err(error) => {
            turn.rollback().await;
            Err(error)
        }
    }
}

async fn remove(turn: &mut Turn<'_>, plan: &Plan) -> Result<u64, sqlx::Error> {
    let fences: Vec<(i64, i64)> = sqlx::query_as("select shard, epoch from shard_fence")
        .fetch_all(turn.connection()?)
        .await?;
    let fences: BTreeMap<i64, i64> = fences.into_iter().collect();
    let held: BTreeMap<ShardId, bool> = plan
        .held
        .iter()
        .map(|(shard, epoch)| (*shard, fences.get(&i64::from(shard.0)) == Some(&stored(epoch.0))))
        .collect();
    let stands = |shard: &ShardId| held.get(shard) == Some(&true);
    let ages = plan.ages.iter().filter(|(shard, _)| stands(shard));
    let ages =
        ages.map(|(shard, age)| vec![Value::Int(i64::from(shard.0)), Value::Int(stored(age.0))]);
    let mut script = Script::default();
    script.add(&AGES, ages.collect());
    let ids: Vec<Vec<Value>> = plan
        .messages
        .iter()
        .filter(|(shard, _)| stands(shard))
        .map(|(_, id)| vec![Value::Id(*id)])
        .collect();
    let removed = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    for rows in [OUTCOMES, MESSAGES, CHUNKS] {
        script.add(&rows, ids.clone());
    }
    script.run(turn).await?;
    for old in plan.commits.iter().filter(|old| stands(&old.owner)) {
        sqlx::query(COMMITS)
            .bind(i64::from(old.of.0))
            .bind(old.first)
            .bind(old.below)
            .execute(turn.connection()?)
            .await?;
    }
    Ok(removed)
}
