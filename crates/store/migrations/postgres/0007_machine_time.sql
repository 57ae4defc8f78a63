-- Used where the clock of the database is that of the node (SQLite); 0 here.
alter table shard_fence add column machine_run bigint not null default 0;
alter table shard_fence add column machine_ms bigint not null default 0;
