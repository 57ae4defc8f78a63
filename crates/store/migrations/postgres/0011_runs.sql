-- What SQLite spares itself: rows that stand for runs of commits, and positions of messages that nobody
-- looks for. Here every commit has a row of its own, and every message its position. The columns stand
-- at their defaults, so that both databases are read alike.
alter table shard_commit add column first bigint;
alter table message add column settled bigint not null default 0;
