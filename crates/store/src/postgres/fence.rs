//! Fences and fates: the two transactions of a shard besides its commits.

use std::time::Duration;

use quarry_ports::{FenceError, FenceRequest, LoadedShard, StoreError};
use quarry_types::{Epoch, Sequence, ShardAge, Timestamp};
use sqlx::PgConnection;

use crate::{
    database::{Fate, counter, stored, stored_bits},
    fence_sql::{
        AGE, COMMIT_AT, FENCE, FIRST_COMMIT, LAST_COMMIT, RAISE_FENCE, RETIRED, VOID_COMMIT,
    },
    group::Part,
};

use super::pool::{Ending, Failed, Pool};

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}

/// How long a takeover waits for the fence before it ends the session that holds it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it does so before it gives up.
const TRIES: u32 = 5;

const CLOCK: &str = "(extract(epoch from clock_timestamp()) * 1000)::bigint";

/// As [`quarry_ports::Store::load_shard`].
pub(super) async fn load(pool: &Pool, request: FenceRequest) -> Result<LoadedShard, FenceError> {
    let mut used = pool.begin().await.map_err(StoreError::from)?;
    // The wait for the fence is ours.
    let sql = "select pg_backend_pid(), set_config('lock_timeout', '30s', true)";
    let (own, _): (i32, String) =
        sqlx::query_as(sql).fetch_one(used.connection()).await.map_err(unavailable)?;
    let raising = raise(used.connection(), request);
    let loaded = insist(pool, own, raising).await?;
    let ending = if loaded.is_ok() { Ending::Commit } else { Ending::Rollback };
    used.end(ending).await.map_err(StoreError::from)?;
    loaded
}

/// Waits for `raising`, which may be blocked by a session of an owner that stopped; ends that
/// session each time it has blocked for [`PATIENCE`]. Its commit is then undone, or was done.
async fn insist<T>(
    pool: &Pool,
    own: i32,
    raising: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    let mut raising = std::pin::pin!(raising);
    for _ in 0..TRIES {
        match tokio::time::timeout(PATIENCE, raising.as_mut()).await {
            Ok(raised) => return raised.map_err(unavailable),
            Err(_) => end_blockers(pool, own).await?,
        }
    }
    let reason = "the fence of the shard is held by a session that cannot be ended".to_owned();
    Err(StoreError::Unavailable { reason })
}

async fn end_blockers(pool: &Pool, own: i32) -> Result<(), Failed> {
    let sql = "select pid, pg_terminate_backend(pid) from unnest(pg_blocking_pids($1)) pid";
    let mut used = pool.take().await?;
    let ended: Vec<(i32, bool)> =
        sqlx::query_as(sql).bind(own).fetch_all(used.connection()).await?;
    used.done();
    for (session, ended) in ended {
        tracing::warn!(session, ended, "a session blocked the fence of a shard and was ended");
    }
    Ok(())
}

async fn raise(
    connection: &mut PgConnection,
    request: FenceRequest,
) -> Result<Result<LoadedShard, FenceError>, sqlx::Error> {
    let shard = i64::from(request.shard.0);
    let (epoch, boot) = (stored(request.epoch.0), stored_bits(request.boot.0));
    let wall: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select {CLOCK}")))
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query(RAISE_FENCE)
        .bind(shard)
        .bind(i64::from(request.range.first.0))
        .bind(i64::from(request.range.last.0))
        .bind(epoch)
        .bind(boot)
        .bind(wall)
        .execute(&mut *connection)
        .await?;
    let standing: (i64, i64) =
        sqlx::query_as(FENCE).bind(shard).fetch_one(&mut *connection).await?;
    if standing != (epoch, boot) {
        return Ok(Err(FenceError::Refused { recorded: Epoch(counter(standing.0)) }));
    }
    sqlx::query(FIRST_COMMIT).bind(shard).bind(epoch).execute(&mut *connection).await?;
    // A statement of its own sees what the wait for the fence let through.
    let (sequence, low_water, now): (i64, i64, i64) =
        sqlx::query_as(LAST_COMMIT).bind(shard).fetch_one(&mut *connection).await?;
    let age: Option<i64> =
        sqlx::query_scalar(AGE).bind(shard).fetch_optional(&mut *connection).await?;
    Ok(Ok(LoadedShard {
        sequence: Sequence(counter(sequence)),
        low_water: Sequence(counter(low_water)),
        now: Timestamp(wall.max(now)),
        age: ShardAge(counter(age.unwrap_or(0))),
    }))
}

/// Decides a part's fate by writing an empty commit in its place. The lost statement either holds
/// the fence row, and ends first, or has not begun, and finds its sequence taken.
pub(super) async fn decide(pool: &Pool, part: Part) -> Result<Fate, StoreError> {
    let mut used = pool.begin().await?;
    let fate = void(used.connection(), part).await.map_err(unavailable)?;
    used.end(Ending::Commit).await?;
    Ok(fate)
}

async fn void(connection: &mut PgConnection, part: Part) -> Result<Fate, sqlx::Error> {
    let (shard, epoch) = (i64::from(part.shard.0), stored(part.epoch.0));
    let sequence = stored(part.sequence.0);
    let locked = "select epoch from shard_fence where shard = $1 for update";
    let recorded: Option<i64> =
        sqlx::query_scalar(locked).bind(shard).fetch_optional(&mut *connection).await?;
    let recorded = recorded.unwrap_or(0);
    if recorded == epoch {
        let inserted = sqlx::query(VOID_COMMIT)
            .bind(shard)
            .bind(sequence)
            .bind(epoch)
            .execute(&mut *connection)
            .await?;
        if inserted.rows_affected() == 1 {
            return Ok(Fate::Voided);
        }
    }
    let found: Option<(i64, i64)> = sqlx::query_as(COMMIT_AT)
        .bind(shard)
        .bind(sequence)
        .fetch_optional(&mut *connection)
        .await?;
    let retired: i64 =
        sqlx::query_scalar(RETIRED).bind(shard).bind(sequence).fetch_one(&mut *connection).await?;
    Ok(Fate::of(recorded, epoch, found, retired > 0))
}
