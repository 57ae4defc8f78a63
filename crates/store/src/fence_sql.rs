//! The statements of fences and fates, which both databases understand.

/// Sets a shard's fence where its epoch is older (L1).
pub(crate) const RAISE_FENCE: &str = "insert into shard_fence \
    (shard, first_slot, last_slot, epoch, boot, loaded_at) values ($1, $2, $3, $4, $5, $6) \
    on conflict (shard) do update set first_slot = excluded.first_slot, \
    last_slot = excluded.last_slot, epoch = excluded.epoch, boot = excluded.boot, \
    loaded_at = excluded.loaded_at where shard_fence.epoch < excluded.epoch";
/// Writes row 0 of a shard that has none.
pub(crate) const FIRST_COMMIT: &str = "insert into shard_commit \
    (shard, sequence, epoch, low_water, now_ms, void) select $1, 0, $2, 0, 0, 1 \
    where not exists (select 1 from shard_commit where shard = $1)";
/// What a shard recorded last.
pub(crate) const LAST_COMMIT: &str = "select sequence, low_water, now_ms from shard_commit \
    where shard = $1 order by sequence desc limit 1";
/// The age that a shard recorded.
pub(crate) const AGE: &str = "select age_ms from shard_age where shard = $1";
/// The fence that stands.
pub(crate) const FENCE: &str = "select epoch, boot from shard_fence where shard = $1";
/// Takes a sequence with an empty commit, so that nothing else can ever have it.
pub(crate) const VOID_COMMIT: &str = "insert into shard_commit \
    (shard, sequence, epoch, low_water, now_ms, void) \
    select c.shard, $2, $3, c.low_water, c.now_ms, 1 from shard_commit c \
    where c.shard = $1 and c.sequence = $2 - 1 on conflict (shard, sequence) do nothing";
/// Whether all commits up to a sequence are retired.
pub(crate) const RETIRED: &str = "select cast(count(*) as bigint) from (select sequence \
    from shard_commit where shard = $1 order by sequence limit 1) c where c.sequence > $2";
/// Who has a sequence.
pub(crate) const COMMIT_AT: &str =
    "select epoch, void from shard_commit where shard = $1 and sequence = $2";
