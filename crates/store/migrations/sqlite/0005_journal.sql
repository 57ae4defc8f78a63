-- What entities recorded, each entity in its own journal, numbered from 1 without a gap. An entry is
-- a chunk of a message too, and outlives it.
create table journal (
    tenant text not null,
    entity_type text not null,
    entity_id text not null,
    sequence integer not null,
    slot integer not null,
    shard integer not null,
    entry_id blob not null,
    message_id blob not null,
    chunk integer not null,
    kind text not null,
    request_id text not null,
    made_at integer not null,
    data blob not null,
    primary key (tenant, entity_type, entity_id, sequence)
) strict;

create view v_journal as
select tenant, entity_type, entity_id, sequence, hex(entry_id) as entry_id, slot, shard,
    hex(message_id) as message_id, chunk, kind, request_id, made_at, length(data) as data_bytes
from journal;

create view extraction_events as
select hex(entry_id) as id, request_id, kind as event_type, cast(data as text) as event_data,
    made_at / 1000 as created_at
from journal where entity_type = 'KGExtractor';
