//! The statements of fences and fates, which both databases understand, and what a load makes of
//! what they find.

use quarry_ports::{FenceError, FenceRequest};
use quarry_types::{Epoch, ShardId, Space};

use crate::database::{counter, stored, stored_bits};

/// Sets the fence of a shard that has one, where its epoch is older (L1) and it was not split.
pub(crate) const RAISE_FENCE: &str = "update shard_fence set first_slot = $2, last_slot = $3, \
    epoch = $4, boot = $5, loaded_at = $6, machine_run = $7, machine_ms = $8 \
    where shard = $1 and epoch < $4 and closed = 0";
/// Sets the first fence of a shard.
pub(crate) const FIRST_FENCE: &str = "insert into shard_fence \
    (shard, first_slot, last_slot, epoch, boot, loaded_at, machine_run, machine_ms) \
    values ($1, $2, $3, $4, $5, $6, $7, $8)";
/// Writes the row *before the first* of a shard: 0, or where the shard stands that it is a part of.
pub(crate) const FIRST_COMMIT: &str = "insert into shard_commit \
    (shard, sequence, epoch, low_water, now_ms, void) values ($1, $2, $3, $4, $5, 1)";
/// The newest epoch of the shards that a range of slots was split into, among those of one space.
pub(crate) const PARTS: &str = "select max(epoch) from shard_fence \
    where first_slot >= $1 and last_slot <= $2 and last_slot - first_slot < $2 - $1 \
    and shard between $3 and $4";
/// The shard that a new one is a part of: the narrowest, since the parts of a shard close it.
pub(crate) const WHOLE: &str = "select shard, epoch, closed from shard_fence \
    where first_slot <= $1 and last_slot >= $2 and last_slot - first_slot > $2 - $1 \
    and shard between $3 and $4 \
    order by last_slot - first_slot limit 1";
/// Closes a shard for good: no commit goes under its old epoch any more, and none under a new one.
pub(crate) const CLOSE_FENCE: &str =
    "update shard_fence set closed = 1, epoch = $2 where shard = $1 and closed = 0";
/// The age of a part is that of the whole.
pub(crate) const FIRST_AGE: &str = "insert into shard_age (shard, age_ms) \
    select $1, age_ms from shard_age where shard = $2";
/// What a shard recorded last.
pub(crate) const LAST_COMMIT: &str = "select sequence, low_water, now_ms from shard_commit \
    where shard = $1 order by sequence desc limit 1";
/// When a shard was loaded last, in store time and on the machine's own clock.
pub(crate) const LOADED_AT: &str =
    "select loaded_at, machine_run, machine_ms from shard_fence where shard = $1";
/// The age that a shard recorded.
pub(crate) const AGE: &str = "select age_ms from shard_age where shard = $1";
/// The fence that stands, and whether the shard was split.
pub(crate) const FENCE: &str = "select epoch, boot, closed from shard_fence where shard = $1";
/// Takes a sequence with an empty commit, so that nothing else can ever have it.
pub(crate) const VOID_COMMIT: &str = "insert into shard_commit \
    (shard, sequence, epoch, low_water, now_ms, void) \
    select c.shard, $2, $3, c.low_water, c.now_ms, 1 from shard_commit c \
    where c.shard = $1 and c.sequence = $2 - 1 and not exists (select 1 from shard_commit n \
    where n.shard = $1 and n.sequence >= $2) on conflict (shard, sequence) do nothing";
/// Whether all commits up to a sequence are retired.
pub(crate) const RETIRED: &str = "select cast(count(*) as bigint) from (select first, sequence \
    from shard_commit where shard = $1 order by sequence limit 1) c \
    where coalesce(c.first, c.sequence) > $2";
/// Who has a sequence: the row of the run that it lies in.
pub(crate) const COMMIT_AT: &str = "select epoch, void from (select first, sequence, epoch, void \
    from shard_commit where shard = $1 and sequence >= $2 order by sequence limit 1) c \
    where coalesce(c.first, c.sequence) <= $2";

/// The ids of the shards of `space`: the first and the last.
pub(crate) fn ids_of(space: Space) -> (i64, i64) {
    let first = |space: Space| ShardId::at(space, 0).map_or(i64::MAX, |id| i64::from(id.0));
    (first(space), first(Space(space.0.saturating_add(1))).saturating_sub(1))
}

/// A fence: epoch, boot, and 1 where the shard was split.
pub(crate) type Fence = (i64, i64, i64);
/// The shard that another is a part of: its id, its epoch, and 1 where it was split.
pub(crate) type Whole = (i64, i64, i64);

/// Whether `fence`, which stands after it was raised, is that of `request` (L1, L5).
pub(crate) fn is_ours(fence: Fence, request: &FenceRequest) -> Result<(), FenceError> {
    let (epoch, boot, closed) = fence;
    let recorded = Epoch(counter(epoch));
    match closed != 0 {
        true if request.epoch > recorded => Err(FenceError::Split),
        false if (epoch, boot) == (stored(request.epoch.0), stored_bits(request.boot.0)) => Ok(()),
        true | false => Err(FenceError::Refused { recorded }),
    }
}

/// Whether a shard without a fence may begin: it was not passed over by a split of its own, and no
/// newer owner has the shard that it is a part of (L1).
pub(crate) fn may_begin(
    newest_part: Option<i64>,
    whole: Option<Whole>,
    request: &FenceRequest,
) -> Result<(), FenceError> {
    if let Some(epoch) = newest_part {
        let recorded = Epoch(counter(epoch));
        let is_newer = request.epoch > recorded;
        return Err(if is_newer { FenceError::Split } else { FenceError::Refused { recorded } });
    }
    match whole {
        Some((_, epoch, 0)) if counter(epoch) >= request.epoch.0 => {
            Err(FenceError::Refused { recorded: Epoch(counter(epoch)) })
        }
        _ => Ok(()),
    }
}
