-- What entities recorded, each entity in its own journal, numbered from 1 without a gap. An entry is
-- a chunk of a message too, and outlives it.
create table journal (
    tenant text collate "C" not null,
    entity_type text collate "C" not null,
    entity_id text collate "C" not null,
    sequence bigint not null,
    slot bigint not null,
    shard bigint not null,
    entry_id uuid not null,
    message_id uuid not null,
    chunk bigint not null,
    kind text collate "C" not null,
    request_id text collate "C" not null,
    made_at bigint not null,
    data bytea not null,
    primary key (tenant, entity_type, entity_id, sequence)
);

create view v_journal as
select tenant, entity_type, entity_id, sequence,
    replace(upper(entry_id::text), '-', '') as entry_id, slot, shard,
    replace(upper(message_id::text), '-', '') as message_id, chunk, kind, request_id, made_at,
    length(data)::bigint as data_bytes
from journal;

create view extraction_events as
select replace(upper(entry_id::text), '-', '') as id, request_id, kind as event_type,
    convert_from(data, 'UTF8') as event_data, made_at / 1000 as created_at
from journal where entity_type = 'KGExtractor';
