-- Sends between entities, from the commit that made them until their targets have them: `place` is
-- the number of the send within its message; due 0 is none; state 0 is open, 1 set aside.
create table outbox (
    message_id blob not null,
    place integer not null,
    shard integer not null,
    sequence integer not null,
    ordinal integer not null,
    tenant text not null,
    slot integer not null,
    sender_type text not null,
    sender_id text not null,
    send_id blob not null,
    entity_type text not null,
    entity_id text not null,
    method text not null,
    payload blob not null,
    due integer not null,
    made_at integer not null,
    state integer not null,
    reason text,
    primary key (message_id, place)
) strict;
create unique index outbox_position on outbox (shard, sequence, ordinal);

create view v_outbox as
select tenant, sender_type, sender_id, hex(message_id) as message_id, place,
    entity_type, entity_id, method, hex(send_id) as send_id,
    slot, shard, sequence, ordinal, made_at, nullif(due, 0) as due,
    case state when 1 then 'quarantined' else 'open' end as state, reason,
    length(payload) as payload_bytes
from outbox;
