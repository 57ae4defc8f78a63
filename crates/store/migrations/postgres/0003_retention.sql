-- Until which age of the shard an outcome is kept, and the message with it. Shards begin at age 0, so
-- what stands already is kept for a day from now on.
alter table outcome add column keep_until bigint not null default 86400000;
alter table outcome alter column keep_until drop default;
create index outcome_keep_until on outcome (shard, keep_until);

-- For how long each shard was owned: milliseconds of its owners' monotonic clocks.
create table shard_age (
    shard bigint not null primary key,
    age_ms bigint not null
) with (fillfactor = 50);

-- What goes at a constant rate is cleaned up often and little, not seldom and much.
alter table message set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
alter table outcome set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
alter table chunk set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
alter table open_message set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
alter table shard_commit set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
