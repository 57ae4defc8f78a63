-- Until which age of the shard an outcome is kept, and the message with it. Shards begin at age 0, so
-- what stands already is kept for a day from now on.
alter table outcome add column keep_until integer not null default 86400000;
create index outcome_keep_until on outcome (shard, keep_until);

-- For how long each shard was owned: milliseconds of its owners' monotonic clocks.
create table shard_age (
    shard integer not null primary key,
    age_ms integer not null
) strict;
