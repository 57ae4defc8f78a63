//! Fences and fates: the two transactions of a shard besides its commits.

use quarry_ports::{
    ClockRead, FenceError, FenceRequest, Host, LoadedShard, StoreError, crash::point,
};
use quarry_types::{Monotonic, Sequence, ShardAge, Timestamp};

use crate::{
    database::{Fate, bits, counter, stored, stored_bits},
    fence_sql::{
        AGE, CLOSE_FENCE, COMMIT_AT, FENCE, FIRST_AGE, FIRST_COMMIT, FIRST_FENCE, Fence,
        LAST_COMMIT, LOADED_AT, PARTS, RAISE_FENCE, RETIRED, VOID_COMMIT, WHOLE, Whole, ids_of,
        is_ours, may_begin,
    },
    group::Part,
};

use super::{
    time::Moment,
    writer::{Turn, Writer, reason},
};

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable { reason: reason(&error) }
}

/// As [`quarry_ports::Store::load_shard`].
pub(super) async fn load(
    writer: &Writer,
    host: &Host,
    request: FenceRequest,
) -> Result<LoadedShard, FenceError> {
    let mut turn = writer.begin(host).await.map_err(unavailable)?;
    match raise(&mut turn, host, request).await {
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

/// The moment `now` on the clocks of the machine.
fn moment(host: &Host, now: Monotonic) -> Moment {
    let elapsed = now.since(Monotonic(0)).as_millis();
    Moment {
        run: host.clock.machine_run(),
        elapsed: i64::try_from(elapsed).unwrap_or(i64::MAX),
        time: host.clock.wall(),
    }
}

/// Store time at `moment`, by what the last load of the shard recorded.
async fn store_time(
    turn: &mut Turn<'_>,
    shard: i64,
    moment: Moment,
) -> Result<Timestamp, sqlx::Error> {
    let last: Option<(i64, i64, i64)> =
        sqlx::query_as(LOADED_AT).bind(shard).fetch_optional(turn.connection()?).await?;
    Ok(last.map_or(moment.time, |(time, run, elapsed)| {
        moment.behind(Moment { run: bits(run), elapsed, time: Timestamp(time) })
    }))
}

async fn raise(
    turn: &mut Turn<'_>,
    host: &Host,
    request: FenceRequest,
) -> Result<Result<LoadedShard, FenceError>, sqlx::Error> {
    let read = host.now();
    let moment = moment(host, read);
    let shard = i64::from(request.shard.0);
    let mut time = store_time(turn, shard, moment).await?;
    set(RAISE_FENCE, turn, request, (time, moment)).await?;
    let fence: Option<Fence> =
        sqlx::query_as(FENCE).bind(shard).fetch_optional(turn.connection()?).await?;
    let allowed = match fence {
        Some(fence) => is_ours(fence, &request),
        None => match begin(turn, request, moment).await? {
            Ok(begun) => {
                time = begun;
                Ok(())
            }
            Err(refused) => Err(refused),
        },
    };
    if let Err(refused) = allowed {
        return Ok(Err(refused));
    }
    let (sequence, low_water, now): (i64, i64, i64) =
        sqlx::query_as(LAST_COMMIT).bind(shard).fetch_one(turn.connection()?).await?;
    let age: Option<i64> =
        sqlx::query_scalar(AGE).bind(shard).fetch_optional(turn.connection()?).await?;
    Ok(Ok(LoadedShard {
        sequence: Sequence(counter(sequence)),
        low_water: Sequence(counter(low_water)),
        now: time.max(Timestamp(now)),
        read: ClockRead::at(read),
        age: ShardAge(counter(age.unwrap_or(0))),
    }))
}

async fn set(
    fence: &'static str,
    turn: &mut Turn<'_>,
    request: FenceRequest,
    (time, moment): (Timestamp, Moment),
) -> Result<(), sqlx::Error> {
    let set = sqlx::query(fence)
        .bind(i64::from(request.shard.0))
        .bind(i64::from(request.range.first.0))
        .bind(i64::from(request.range.last.0))
        .bind(stored(request.epoch.0))
        .bind(stored_bits(request.boot.0))
        .bind(time.0)
        .bind(stored_bits(moment.run))
        .bind(moment.elapsed);
    set.execute(turn.connection()?).await.map(drop)
}

/// Sets the first fence of a shard, behind the shard that it is a part of, whose fence it closes;
/// returns store time.
async fn begin(
    turn: &mut Turn<'_>,
    request: FenceRequest,
    moment: Moment,
) -> Result<Result<Timestamp, FenceError>, sqlx::Error> {
    let (shard, epoch) = (i64::from(request.shard.0), stored(request.epoch.0));
    let (first, last) = (i64::from(request.range.first.0), i64::from(request.range.last.0));
    let (lowest, highest) = ids_of(request.shard.space());
    let newest_part = sqlx::query_scalar(PARTS).bind(first).bind(last).bind(lowest).bind(highest);
    let newest_part: Option<i64> = newest_part.fetch_one(turn.connection()?).await?;
    let whole = sqlx::query_as(WHOLE).bind(first).bind(last).bind(lowest).bind(highest);
    let whole: Option<Whole> = whole.fetch_optional(turn.connection()?).await?;
    if let Err(refused) = may_begin(newest_part, whole, &request) {
        return Ok(Err(refused));
    }
    let (mut from, mut time) = ((0_i64, 0_i64, 0_i64), moment.time);
    if let Some((whole, _, _)) = whole {
        sqlx::query(CLOSE_FENCE).bind(whole).bind(epoch).execute(turn.connection()?).await?;
        from = sqlx::query_as(LAST_COMMIT).bind(whole).fetch_one(turn.connection()?).await?;
        sqlx::query(FIRST_AGE).bind(shard).bind(whole).execute(turn.connection()?).await?;
        time = store_time(turn, whole, moment).await?;
        point("split-inside");
    }
    set(FIRST_FENCE, turn, request, (time, moment)).await?;
    let (sequence, low_water, now) = from;
    sqlx::query(FIRST_COMMIT)
        .bind(shard)
        .bind(sequence)
        .bind(epoch)
        .bind(low_water)
        .bind(now)
        .execute(turn.connection()?)
        .await?;
    Ok(Ok(time))
}

/// Decides a part's fate by writing an empty commit in its place. After a failed flush it cannot be
/// decided.
pub(super) async fn decide(writer: &Writer, host: &Host, part: Part) -> Result<Fate, StoreError> {
    writer.trust().check().map_err(|reason| StoreError::Corrupt { reason })?;
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
    let fence: Option<Fence> =
        sqlx::query_as(FENCE).bind(shard).fetch_optional(turn.connection()?).await?;
    let recorded = fence.map_or(0, |(epoch, _, _)| epoch);
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

#[cfg(test)]
mod tests {
    use quarry_types::{BootId, Epoch, ShardId, SlotRange};

    use super::*;
    use crate::{
        group::Batch,
        open::Options,
        sqlite::{connect, write},
    };

    const SHARD: ShardId = ShardId(1);

    fn part(epoch: u64, sequence: u64) -> Part {
        let (epoch, sequence) = (Epoch(epoch), Sequence(sequence));
        Part { shard: SHARD, epoch, sequence, low_water: Sequence(0), now: Timestamp(7) }
    }

    /// A shard of a new file, and who commits to it.
    struct Shard {
        writer: Writer,
        host: Host,
        _directory: tempfile::TempDir,
    }

    impl Shard {
        async fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let (path, host) = (directory.path().join("quarry.db"), Host::system());
            let opened = connect::open(&path, &Options::default(), &host).await;
            Self { writer: opened.unwrap().0, host, _directory: directory }
        }

        async fn load(&self, epoch: u64) -> u64 {
            let (epoch, boot, range) = (Epoch(epoch), BootId(epoch), SlotRange::ALL);
            let request = FenceRequest { shard: SHARD, range, epoch, boot };
            load(&self.writer, &self.host, request).await.unwrap().sequence.0
        }

        /// Whether a commit stands.
        async fn writes(&self, epoch: u64, sequence: u64) -> bool {
            let mut batch = Batch::default();
            batch.parts.push(part(epoch, sequence));
            write::write(&self.writer, &self.host, &batch).await.unwrap().is_empty()
        }

        async fn fate(&self, epoch: u64, sequence: u64) -> Fate {
            decide(&self.writer, &self.host, part(epoch, sequence)).await.unwrap()
        }
    }

    #[tokio::test]
    async fn fates_are_known_within_runs_of_commits() {
        let shard = Shard::new().await;
        assert_eq!(shard.load(1).await, 0);
        for sequence in 1..=3 {
            assert!(shard.writes(1, sequence).await, "{sequence}");
        }
        for sequence in [1, 3, 5, 9] {
            assert!(!shard.writes(1, sequence).await, "{sequence} is not the next");
        }
        assert_eq!(shard.fate(1, 3).await, Fate::Written);
        assert_eq!(shard.fate(1, 4).await, Fate::Voided);
        assert_eq!(shard.fate(1, 4).await, Fate::Voided, "asked again");
        assert!(!shard.writes(1, 4).await, "what was given up comes late");
        assert!(shard.writes(1, 5).await && shard.writes(1, 6).await);
        assert_eq!(shard.fate(1, 6).await, Fate::Written);

        assert_eq!(shard.load(2).await, 6);
        assert!(!shard.writes(1, 7).await, "another owner has the shard");
        let fenced = |written| Fate::Fenced { recorded: Epoch(2), written };
        assert_eq!(shard.fate(1, 7).await, fenced(false));
        assert!(shard.writes(2, 7).await && shard.writes(2, 8).await);
        for (sequence, written) in [(1, true), (3, true), (4, false), (6, true), (7, false)] {
            assert_eq!(shard.fate(1, sequence).await, fenced(written), "{sequence}");
        }
        assert_eq!(shard.load(3).await, 8);
    }
}
