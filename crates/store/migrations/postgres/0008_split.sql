-- A shard that was split: nobody commits to it, nor loads it again. Its parts hold rows of their own,
-- and read what stands under it by slots.
alter table shard_fence add column closed bigint not null default 0;
create index shard_fence_closed on shard_fence (first_slot, last_slot) where closed = 1;

drop view v_shards;
create view v_shards as
select f.shard, f.first_slot, f.last_slot, case f.closed when 1 then 'split' else 'open' end as state,
    f.epoch, f.loaded_at, c.sequence, c.low_water, c.now_ms as committed_at,
    (select count(*) from open_message p where p.shard = f.shard) as open_messages
from shard_fence f
join shard_commit c on c.shard = f.shard
    and c.sequence = (select max(n.sequence) from shard_commit n where n.shard = f.shard);
