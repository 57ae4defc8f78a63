-- How many of the last attempts in a row have no known end: they ended with their process.
alter table open_message add column lost bigint not null default 0;

-- What is quarantined of one entity.
create index open_message_aside on open_message (shard, tenant, entity_type, entity_id, sequence, ordinal)
    where state = 1;
