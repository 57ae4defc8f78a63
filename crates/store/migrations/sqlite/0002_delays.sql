-- State 2 of an open message: it waits for its time and was not tried yet.

drop view v_messages;
create view v_messages as
select m.tenant, m.entity_type, m.entity_id, m.method, m.key, hex(m.message_id) as message_id,
    m.slot, m.shard, m.sequence, m.ordinal, m.accepted_at,
    case when o.message_id is not null then 'finished'
        when p.state = 1 then 'quarantined'
        when p.state = 2 then 'delayed' else 'open' end as state,
    case o.kind when 0 then 'success' when 1 then 'failure' end as outcome,
    coalesce(o.attempts, p.attempts, 0) as attempts, p.due, o.finished_at,
    length(m.payload) as payload_bytes
from message m
left join outcome o on o.message_id = m.message_id
left join open_message p on p.message_id = m.message_id;
