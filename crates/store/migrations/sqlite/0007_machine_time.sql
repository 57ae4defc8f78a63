-- When the fence was set, on the clock of the machine that no setting moves: milliseconds, within one
-- run of the machine. 0 where it is not known.
alter table shard_fence add column machine_run integer not null default 0;
alter table shard_fence add column machine_ms integer not null default 0;
