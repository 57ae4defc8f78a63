-- Times are milliseconds of store time, UTC. Counters are 64 bits. Users' JSON is bytes.

create table cluster_identity (
    only_row bigint not null primary key check (only_row = 1),
    cluster bigint not null
);

-- The last write of the readiness check.
create table write_probe (
    only_row bigint not null primary key check (only_row = 1),
    written bigint not null
);

-- Who may commit to a shard. Changes only when ownership does.
create table shard_fence (
    shard bigint not null primary key,
    first_slot bigint not null,
    last_slot bigint not null,
    epoch bigint not null,
    boot bigint not null,
    loaded_at bigint not null
);

-- One row per shard and group of commits, gapless; row 0 stands for *before the first*.
create table shard_commit (
    shard bigint not null,
    sequence bigint not null,
    epoch bigint not null,
    low_water bigint not null,
    now_ms bigint not null,
    void bigint not null,
    primary key (shard, sequence)
);

create table message (
    shard bigint not null,
    sequence bigint not null,
    ordinal bigint not null,
    message_id uuid not null,
    tenant text collate "C" not null,
    slot bigint not null,
    entity_type text collate "C" not null,
    entity_id text collate "C" not null,
    method text collate "C" not null,
    key text collate "C" not null,
    payload bytea not null,
    accepted_at bigint not null
);
create unique index message_position on message (shard, sequence, ordinal);
create unique index message_by_id on message (message_id);
create unique index message_key on message (slot, tenant, entity_type, entity_id, method, key);

-- Messages that outlive the commit that accepted them; state 0 waits, 1 is quarantined.
create table open_message (
    message_id uuid not null primary key,
    shard bigint not null,
    sequence bigint not null,
    ordinal bigint not null,
    tenant text collate "C" not null,
    slot bigint not null,
    entity_type text collate "C" not null,
    entity_id text collate "C" not null,
    method text collate "C" not null,
    key text collate "C" not null,
    payload bytea not null,
    accepted_at bigint not null,
    attempts bigint not null,
    due bigint not null,
    state bigint not null,
    errors bytea not null
) with (fillfactor = 80);
create index open_message_position on open_message (shard, sequence, ordinal);

-- How messages ended; kind 0 is success (body: the reply), 1 failure (body: JSON of code, message).
create table outcome (
    message_id uuid not null primary key,
    shard bigint not null,
    sequence bigint not null,
    tenant text collate "C" not null,
    slot bigint not null,
    kind bigint not null,
    body bytea not null,
    attempts bigint not null,
    finished_at bigint not null
);

-- No index holds a column that changes, so that updates stay within their page.
-- Reply chunks, several in a row, numbered from `first`.
create table chunk (
    message_id uuid not null,
    first bigint not null,
    count bigint not null,
    shard bigint not null,
    tenant text not null,
    slot bigint not null,
    made_at bigint not null,
    body bytea not null,
    primary key (message_id, first)
);

create table entity_state (
    tenant text collate "C" not null,
    entity_type text collate "C" not null,
    entity_id text collate "C" not null,
    slot bigint not null,
    sequence bigint not null,
    updated_at bigint not null,
    state bytea not null,
    primary key (tenant, entity_type, entity_id)
) with (fillfactor = 80);

create view v_messages as
select m.tenant, m.entity_type, m.entity_id, m.method, m.key,
    replace(upper(m.message_id::text), '-', '') as message_id,
    m.slot, m.shard, m.sequence, m.ordinal, m.accepted_at,
    case when o.message_id is not null then 'finished'
        when p.state = 1 then 'quarantined' else 'open' end as state,
    case o.kind when 0 then 'success' when 1 then 'failure' end as outcome,
    coalesce(o.attempts, p.attempts, 0) as attempts, p.due, o.finished_at,
    length(m.payload)::bigint as payload_bytes
from message m
left join outcome o on o.message_id = m.message_id
left join open_message p on p.message_id = m.message_id;

create view v_entities as
select tenant, entity_type, entity_id, slot, length(state)::bigint as state_bytes, sequence,
    updated_at
from entity_state;

create view v_shards as
select f.shard, f.first_slot, f.last_slot, f.epoch, f.loaded_at, c.sequence, c.low_water,
    c.now_ms as committed_at,
    (select count(*) from open_message p where p.shard = f.shard) as open_messages
from shard_fence f
join shard_commit c on c.shard = f.shard
    and c.sequence = (select max(n.sequence) from shard_commit n where n.shard = f.shard);
