-- Of a message with a digest only the key is kept in the end: the digest stands for its payload, which
-- goes with the commit of its outcome.
alter table message add column digest blob;
alter table open_message add column digest blob;
