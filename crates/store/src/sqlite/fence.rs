//! Fences and fates: the two transactions of a shard besides its commits.

use quarry_ports::{FenceError, FenceRequest, Host, LoadedShard, StoreError};
use quarry_types::{Epoch, Sequence, ShardAge, Timestamp};

use crate::{
    database::{Fate, counter, stored, stored_bits},
    fence_sql::{
        AGE, COMMIT_AT, FENCE, FIRST_COMMIT, LAST_COMMIT, RAISE_FENCE, RETIRED, VOID_COMMIT,
    },
    group::Part,
};

use super::writer::{Turn, Writer};

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}

/// As [`quarry_ports::Store::load_shard`].
pub(super) async fn load(
    writer: &Writer,
    host: &Host,
    request: FenceRequest,
) -> Result<LoadedShard, FenceError> {
    let mut turn = writer.begin(host).await.map_err(unavailable)?;
    match raise(&mut turn, host.clock.wall(), request).await {
        Ok(Ok(loaded)) => {
            turn.commit().await.map_err(unavailable)?;
            Ok(loaded)
        }
        Ok(Err(refused)) => {
            turn.rollback().await;
            Err(refused)
        }
        Err(error) => {
            turn.rollback().await;
            Err(unavailable(error).into())
        }
    }
}

async fn raise(
    turn: &mut Turn<'_>,
    wall: Timestamp,
    request: FenceRequest,
) -> Result<Result<LoadedShard, FenceError>, sqlx::Error> {
    let shard = i64::from(request.shard.0);
    let (epoch, boot) = (stored(request.epoch.0), stored_bits(request.boot.0));
    sqlx::query(RAISE_FENCE)
        .bind(shard)
        .bind(i64::from(request.range.first.0))
        .bind(i64::from(request.range.last.0))
        .bind(epoch)
        .bind(boot)
        .bind(wall.0)
        .execute(turn.connection()?)
        .await?;
    let standing: (i64, i64) =
        sqlx::query_as(FENCE).bind(shard).fetch_one(turn.connection()?).await?;
    if standing != (epoch, boot) {
        return Ok(Err(FenceError::Refused { recorded: Epoch(counter(standing.0)) }));
    }
    sqlx::query(FIRST_COMMIT).bind(shard).bind(epoch).execute(turn.connection()?).await?;
    let (sequence, low_water, now): (i64, i64, i64) =
        sqlx::query_as(LAST_COMMIT).bind(shard).fetch_one(turn.connection()?).await?;
    let age: Option<i64> =
        sqlx::query_scalar(AGE).bind(shard).fetch_optional(turn.connection()?).await?;
    Ok(Ok(LoadedShard {
        sequence: Sequence(counter(sequence)),
        low_water: Sequence(counter(low_water)),
        now: wall.max(Timestamp(now)),
        age: ShardAge(counter(age.unwrap_or(0))),
    }))
}

/// Decides a part's fate by writing an empty commit in its place. After a failed flush it cannot be
/// decided.
pub(super) async fn decide(writer: &Writer, host: &Host, part: Part) -> Result<Fate, StoreError> {
    if let Some(reason) = writer.broken() {
        return Err(StoreError::Corrupt { reason: reason.to_owned() });
    }
    let mut turn = writer.begin(host).await.map_err(unavailable)?;
    match void(&mut turn, part).await {
        Ok(fate) => {
            turn.commit().await.map_err(unavailable)?;
            Ok(fate)
        }
        Err(error) => {
            turn.rollback().await;
            Err(unavailable(error))
        }
    }
}

async fn void(turn: &mut Turn<'_>, part: Part) -> Result<Fate, sqlx::Error> {
    let (shard, epoch) = (i64::from(part.shard.0), stored(part.epoch.0));
    let sequence = stored(part.sequence.0);
    let fence: Option<(i64, i64)> =
        sqlx::query_as(FENCE).bind(shard).fetch_optional(turn.connection()?).await?;
    let recorded = fence.map_or(0, |(epoch, _)| epoch);
    if recorded == epoch {
        let inserted = sqlx::query(VOID_COMMIT)
            .bind(shard)
            .bind(sequence)
            .bind(epoch)
            .execute(turn.connection()?)
            .await?;
        if inserted.rows_affected() == 1 {
            return Ok(Fate::Voided);
        }
    }
    let found: Option<(i64, i64)> = sqlx::query_as(COMMIT_AT)
        .bind(shard)
        .bind(sequence)
        .fetch_optional(turn.connection()?)
        .await?;
    let retired: i64 = sqlx::query_scalar(RETIRED)
        .bind(shard)
        .bind(sequence)
        .fetch_one(turn.connection()?)
        .await?;
    Ok(Fate::of(recorded, epoch, found, retired > 0))
}
