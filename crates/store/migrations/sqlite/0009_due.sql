-- What is delayed is read in the order of its times.
create index open_message_due on open_message (shard, due, sequence, ordinal) where state = 2;
