-- Sends between entities, from the commit that made them until their targets have them: `place` is
-- the number of the send within its message; due 0 is none; state 0 is open, 1 set aside.
create table outbox (
    message_id uuid not null,
    place bigint not null,
    shard bigint not null,
    sequence bigint not null,
    ordinal bigint not null,
    tenant text collate "C" not null,
    slot bigint not null,
    sender_type text collate "C" not null,
    sender_id text collate "C" not null,
    send_id uuid not null,
    entity_type text collate "C" not null,
    entity_id text collate "C" not null,
    method text collate "C" not null,
    payload bytea not null,
    due bigint not null,
    made_at bigint not null,
    state bigint not null,
    reason text,
    primary key (message_id, place)
);
create unique index outbox_position on outbox (shard, sequence, ordinal);

create view v_outbox as
select tenant, sender_type, sender_id, replace(upper(message_id::text), '-', '') as message_id, place,
    entity_type, entity_id, method, replace(upper(send_id::text), '-', '') as send_id,
    slot, shard, sequence, ordinal, made_at, nullif(due, 0) as due,
    case state when 1 then 'quarantined' else 'open' end as state, reason,
    length(payload)::bigint as payload_bytes
from outbox;
