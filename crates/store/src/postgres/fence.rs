//! Fences and fates: the two transactions of a shard besides its commits.

use std::{collections::BTreeMap, time::Duration};

use quarry_ports::{
    ClockRead, FenceError, FenceRequest, Host, LoadedShard, StoreError, crash::point,
};
use quarry_types::{Division, Sequence, ShardAge, Timestamp};
use sqlx::PgConnection;

use crate::{
    database::{Fate, counter, stored, stored_bits},
    fence_sql::{
        AGE, CLOSE_FENCE, COMMIT_AT, FENCE, FIRST_AGE, FIRST_COMMIT, FIRST_FENCE, Fence,
        LAST_COMMIT, PARTS, RAISE_FENCE, RETIRED, VOID_COMMIT, WHOLE, Whole, ids_of, is_ours,
        may_begin,
    },
    group::Part,
};

use super::{
    loads::Loaded,
    pool::{Ending, Failed, InUse, Pool},
};

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}

/// How long a takeover waits for the fence before it ends the session that holds it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it does so before it gives up.
const TRIES: u32 = 5;

/// The advisory locks under which shards begin, one for each shard of the first division.
const BEGINNINGS: i32 = 0x71_73_68;

const CLOCK: &str = "(extract(epoch from clock_timestamp()) * 1000)::bigint";

/// Locks the fences that there are of some shards, in the order in which commits lock them.
const LOCK: &str =
    "select shard from shard_fence where shard = any($1::bigint[]) order by shard for update";
/// Sets them, as [`RAISE_FENCE`].
const RAISE: &str = "update shard_fence f set first_slot = r.first_slot, \
    last_slot = r.last_slot, epoch = r.epoch, boot = r.boot, loaded_at = $6, machine_run = 0, \
    machine_ms = 0 \
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
        as r (shard, first_slot, last_slot, epoch, boot) \
    where f.shard = r.shard and f.epoch < r.epoch and f.closed = 0";
/// The fences that stand.
const FENCES: &str =
    "select shard, epoch, boot, closed from shard_fence where shard = any($1::bigint[])";
/// What shards recorded last, and their ages.
const LAST_COMMITS: &str = "select r.shard, c.sequence, c.low_water, c.now_ms, \
    coalesce((select a.age_ms from shard_age a where a.shard = r.shard), 0) \
    from unnest($1::bigint[]) as r (shard) cross join lateral \
        (select sequence, low_water, now_ms from shard_commit \
        where shard = r.shard order by sequence desc limit 1) c";

/// Why no fence of a transaction was set.
pub(super) enum NotSet {
    /// A session that could not be ended holds one of them.
    Held(String),
    Failed(Failed),
}

impl From<Failed> for NotSet {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl From<sqlx::Error> for NotSet {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<NotSet> for StoreError {
    fn from(error: NotSet) -> Self {
        match error {
            NotSet::Held(reason) => Self::Unavailable { reason },
            NotSet::Failed(failed) => failed.into(),
        }
    }
}

/// Begins a transaction whose waits for fences are ours; its session.
async fn begin_load(pool: &Pool) -> Result<(InUse<'_>, i32), NotSet> {
    let mut used = pool.begin().await?;
    let sql = "select pg_backend_pid(), set_config('lock_timeout', '30s', true)";
    let (own, _): (i32, String) = sqlx::query_as(sql).fetch_one(used.connection()).await?;
    Ok((used, own))
}

/// As [`quarry_ports::Store::load_shard`].
pub(super) async fn load(
    pool: &Pool,
    host: &Host,
    request: FenceRequest,
) -> Result<Loaded, NotSet> {
    let (mut used, own) = begin_load(pool).await?;
    let raising = raise(used.connection(), host, request);
    let loaded = insist(pool, own, raising).await?;
    let ending = if loaded.is_ok() { Ending::Commit } else { Ending::Rollback };
    used.end(ending).await?;
    Ok(loaded)
}

/// The same for shards that have fences, all in one transaction; `requests` are of different shards.
/// Says nothing of those that have none: they begin, each by itself.
pub(super) async fn load_all(
    pool: &Pool,
    host: &Host,
    requests: &[FenceRequest],
) -> Result<Vec<Option<Loaded>>, NotSet> {
    let (mut used, own) = begin_load(pool).await?;
    let raising = raise_all(used.connection(), host, requests);
    let loaded = insist(pool, own, raising).await?;
    used.end(Ending::Commit).await?;
    Ok(loaded)
}

/// Waits for `raising`, which may be blocked by a session of an owner that stopped; ends that
/// session each time it has blocked for [`PATIENCE`]. Its commit is then undone, or was done.
async fn insist<T>(
    pool: &Pool,
    own: i32,
    raising: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, NotSet> {
    let mut raising = std::pin::pin!(raising);
    for _ in 0..TRIES {
        match tokio::time::timeout(PATIENCE, raising.as_mut()).await {
            Ok(raised) => return Ok(raised?),
            Err(_) => {
                end_blockers(pool, own).await.map_err(|error| NotSet::Held(error.to_string()))?;
            }
        }
    }
    Err(NotSet::Held("the fence of the shard is held by a session that cannot be ended".to_owned()))
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

/// The store's clock, and when it was read.
async fn clock(
    connection: &mut PgConnection,
    host: &Host,
) -> Result<(i64, ClockRead), sqlx::Error> {
    let asked = host.now();
    let wall: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select {CLOCK}")))
        .fetch_one(connection)
        .await?;
    Ok((wall, ClockRead { asked, answered: host.now() }))
}

async fn raise_all(
    connection: &mut PgConnection,
    host: &Host,
    requests: &[FenceRequest],
) -> Result<Vec<Option<Loaded>>, sqlx::Error> {
    let (wall, read) = clock(connection, host).await?;
    let fences = set_all(connection, wall, requests).await?;
    let fence = |request: &FenceRequest| fences.get(&i64::from(request.shard.0)).copied();
    let is_standing =
        |request: &&FenceRequest| fence(request).is_some_and(|f| is_ours(f, request).is_ok());
    let ours: Vec<i64> =
        requests.iter().filter(is_standing).map(|of| i64::from(of.shard.0)).collect();
    // A statement of its own sees what the wait for the fences let through.
    let last: Vec<(i64, i64, i64, i64, i64)> =
        sqlx::query_as(LAST_COMMITS).bind(&ours).fetch_all(connection).await?;
    let recorded = |(shard, sequence, low_water, now, age)| {
        (shard, recorded((sequence, low_water, now), age, (wall, read)))
    };
    let last: BTreeMap<i64, LoadedShard> = last.into_iter().map(recorded).collect();
    let loaded = |request: &FenceRequest| {
        let loaded = last.get(&i64::from(request.shard.0)).copied();
        match is_ours(fence(request)?, request) {
            Ok(()) => loaded.map(Ok),
            Err(refused) => Some(Err(refused)),
        }
    };
    Ok(requests.iter().map(loaded).collect())
}

/// Raises the fences that there are; which stand then.
async fn set_all(
    connection: &mut PgConnection,
    wall: i64,
    requests: &[FenceRequest],
) -> Result<BTreeMap<i64, Fence>, sqlx::Error> {
    let column = |value: fn(&FenceRequest) -> i64| requests.iter().map(value).collect::<Vec<i64>>();
    let shards = column(|request| i64::from(request.shard.0));
    sqlx::query(LOCK).bind(&shards).execute(&mut *connection).await?;
    sqlx::query(RAISE)
        .bind(&shards)
        .bind(column(|request| i64::from(request.range.first.0)))
        .bind(column(|request| i64::from(request.range.last.0)))
        .bind(column(|request| stored(request.epoch.0)))
        .bind(column(|request| stored_bits(request.boot.0)))
        .bind(wall)
        .execute(&mut *connection)
        .await?;
    let fences: Vec<(i64, i64, i64, i64)> =
        sqlx::query_as(FENCES).bind(&shards).fetch_all(connection).await?;
    Ok(fences.into_iter().map(|(shard, a, b, c)| (shard, (a, b, c))).collect())
}

/// What a shard recorded last, and its age.
fn recorded(
    (sequence, low_water, now): (i64, i64, i64),
    age: i64,
    (wall, read): (i64, ClockRead),
) -> LoadedShard {
    LoadedShard {
        sequence: Sequence(counter(sequence)),
        low_water: Sequence(counter(low_water)),
        now: Timestamp(wall.max(now)),
        read,
        age: ShardAge(counter(age)),
    }
}

async fn raise(
    connection: &mut PgConnection,
    host: &Host,
    request: FenceRequest,
) -> Result<Result<LoadedShard, FenceError>, sqlx::Error> {
    let shard = i64::from(request.shard.0);
    let (wall, read) = clock(connection, host).await?;
    let mut fence = standing(connection, request, wall).await?;
    if fence.is_none() {
        // Two shards of which one is a part of the other do not begin at the same time.
        let founded = Division { id: request.shard, range: request.range }.founded().id;
        sqlx::query("select pg_advisory_xact_lock($1, $2)")
            .bind(BEGINNINGS)
            .bind(i32::try_from(founded.0).unwrap_or(i32::MAX))
            .execute(&mut *connection)
            .await?;
        fence = standing(connection, request, wall).await?;
    }
    let allowed = match fence {
        Some(fence) => is_ours(fence, &request),
        None => begin(connection, request, wall).await?,
    };
    if let Err(refused) = allowed {
        return Ok(Err(refused));
    }
    // A statement of its own sees what the wait for the fence let through.
    let last: (i64, i64, i64) =
        sqlx::query_as(LAST_COMMIT).bind(shard).fetch_one(&mut *connection).await?;
    let age: Option<i64> =
        sqlx::query_scalar(AGE).bind(shard).fetch_optional(&mut *connection).await?;
    Ok(Ok(recorded(last, age.unwrap_or(0), (wall, read))))
}

/// Raises the fence of a shard that has one; returns what stands then.
async fn standing(
    connection: &mut PgConnection,
    request: FenceRequest,
    wall: i64,
) -> Result<Option<Fence>, sqlx::Error> {
    set(RAISE_FENCE, connection, request, wall).await?;
    let shard = i64::from(request.shard.0);
    sqlx::query_as(FENCE).bind(shard).fetch_optional(&mut *connection).await
}

async fn set(
    fence: &'static str,
    connection: &mut PgConnection,
    request: FenceRequest,
    wall: i64,
) -> Result<(), sqlx::Error> {
    let set = sqlx::query(fence)
        .bind(i64::from(request.shard.0))
        .bind(i64::from(request.range.first.0))
        .bind(i64::from(request.range.last.0))
        .bind(stored(request.epoch.0))
        .bind(stored_bits(request.boot.0))
        .bind(wall)
        .bind(0_i64)
        .bind(0_i64);
    set.execute(connection).await.map(drop)
}

/// Sets the first fence of a shard, behind the shard that it is a part of, whose fence it closes.
async fn begin(
    connection: &mut PgConnection,
    request: FenceRequest,
    wall: i64,
) -> Result<Result<(), FenceError>, sqlx::Error> {
    let (shard, epoch) = (i64::from(request.shard.0), stored(request.epoch.0));
    let (first, last) = (i64::from(request.range.first.0), i64::from(request.range.last.0));
    let (lowest, highest) = ids_of(request.shard.space());
    let newest_part = sqlx::query_scalar(PARTS).bind(first).bind(last).bind(lowest).bind(highest);
    let newest_part: Option<i64> = newest_part.fetch_one(&mut *connection).await?;
    // Waits for what is being committed under it.
    let whole = sqlx::AssertSqlSafe(format!("{WHOLE} for update"));
    let whole = sqlx::query_as(whole).bind(first).bind(last).bind(lowest).bind(highest);
    let whole: Option<Whole> = whole.fetch_optional(&mut *connection).await?;
    if let Err(refused) = may_begin(newest_part, whole, &request) {
        return Ok(Err(refused));
    }
    let mut from = (0_i64, 0_i64, 0_i64);
    if let Some((whole, _, _)) = whole {
        sqlx::query(CLOSE_FENCE).bind(whole).bind(epoch).execute(&mut *connection).await?;
        from = sqlx::query_as(LAST_COMMIT).bind(whole).fetch_one(&mut *connection).await?;
        sqlx::query(FIRST_AGE).bind(shard).bind(whole).execute(&mut *connection).await?;
        point("split-inside");
    }
    set(FIRST_FENCE, connection, request, wall).await?;
    let (sequence, low_water, now) = from;
    sqlx::query(FIRST_COMMIT)
        .bind(shard)
        .bind(sequence)
        .bind(epoch)
        .bind(low_water)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    Ok(Ok(()))
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
