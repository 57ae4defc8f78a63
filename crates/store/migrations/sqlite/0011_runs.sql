-- A row stands for a run of commits of one epoch, from `first` to `sequence`, with what the last of them
-- recorded; null is a run of one. An owner moves its row on instead of adding one for each commit, so
-- that the rows of all shards share a few pages.
alter table shard_commit add column first integer;

-- 1 where the commit that accepted the message finished it too, or copied it to the open ones: nobody
-- looks for it by its position then. The index of all messages had a page of its own for each shard.
alter table message add column settled integer not null default 0;
drop index message_position;
create unique index message_position on message (shard, sequence, ordinal) where settled = 0;
