-- Times are milliseconds of store time, UTC. Counters are 64 bits. Users' JSON is bytes.

create table cluster_identity (
    only_row integer not null primary key check (only_row = 1),
    cluster integer not null
) strict;

-- The last write of the readiness check.
create table write_probe (
    only_row integer not null primary key check (only_row = 1),
    written integer not null
) strict;

-- Who may commit to a shard. Changes only when ownership does.
create table shard_fence (
    shard integer not null primary key,
    first_slot integer not null,
    last_slot integer not null,
    epoch integer not null,
    boot integer not null,
    loaded_at integer not null
) strict;

-- One row per shard and group of commits, gapless; row 0 stands for *before the first*.
create table shard_commit (
    shard integer not null,
    sequence integer not null,
    epoch integer not null,
    low_water integer not null,
    now_ms integer not null,
    void integer not null,
    primary key (shard, sequence)
) strict, without rowid;

create table message (
    shard integer not null,
    sequence integer not null,
    ordinal integer not null,
    message_id blob not null,
    tenant text not null,
    slot integer not null,
    entity_type text not null,
    entity_id text not null,
    method text not null,
    key text not null,
    payload blob not null,
    accepted_at integer not null
) strict;
create unique index message_position on message (shard, sequence, ordinal);
create unique index message_by_id on message (message_id);
create unique index message_key on message (slot, tenant, entity_type, entity_id, method, key);

-- Messages that outlive the commit that accepted them; state 0 waits, 1 is quarantined.
create table open_message (
    message_id blob not null primary key,
    shard integer not null,
    sequence integer not null,
    ordinal integer not null,
    tenant text not null,
    slot integer not null,
    entity_type text not null,
    entity_id text not null,
    method text not null,
    key text not null,
    payload blob not null,
    accepted_at integer not null,
    attempts integer not null,
    due integer not null,
    state integer not null,
    errors blob not null
) strict;
create index open_message_position on open_message (shard, sequence, ordinal);

-- How messages ended; kind 0 is success (body: the reply), 1 failure (body: JSON of code, message).
create table outcome (
    message_id blob not null primary key,
    shard integer not null,
    sequence integer not null,
    tenant text not null,
    slot integer not null,
    kind integer not null,
    body blob not null,
    attempts integer not null,
    finished_at integer not null
) strict, without rowid;

-- Reply chunks, several in a row, numbered from `first`.
create table chunk (
    message_id blob not null,
    first integer not null,
    count integer not null,
    shard integer not null,
    tenant text not null,
    slot integer not null,
    made_at integer not null,
    body blob not null,
    primary key (message_id, first)
) strict, without rowid;

create table entity_state (
    tenant text not null,
    entity_type text not null,
    entity_id text not null,
    slot integer not null,
    sequence integer not null,
    updated_at integer not null,
    state blob not null,
    primary key (tenant, entity_type, entity_id)
) strict;

create view v_messages as
select m.tenant, m.entity_type, m.entity_id, m.method, m.key, hex(m.message_id) as message_id,
    m.slot, m.shard, m.sequence, m.ordinal, m.accepted_at,
    case when o.message_id is not null then 'finished'
        when p.state = 1 then 'quarantined' else 'open' end as state,
    case o.kind when 0 then 'success' when 1 then 'failure' end as outcome,
    coalesce(o.attempts, p.attempts, 0) as attempts, p.due, o.finished_at,
    length(m.payload) as payload_bytes
from message m
left join outcome o on o.message_id = m.message_id
left join open_message p on p.message_id = m.message_id;

create view v_entities as
select tenant, entity_type, entity_id, slot, length(state) as state_bytes, sequence, updated_at
from entity_state;

create view v_shards as
select f.shard, f.first_slot, f.last_slot, f.epoch, f.loaded_at, c.sequence, c.low_water,
    c.now_ms as committed_at,
    (select count(*) from open_message p where p.shard = f.shard) as open_messages
from shard_fence f
join shard_commit c on c.shard = f.shard
    and c.sequence = (select max(n.sequence) from shard_commit n where n.shard = f.shard);
