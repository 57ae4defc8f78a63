-- 1 where the commit that accepted the message finished it too, or copied it to the open ones: nobody
-- looks for it by its position then, and the index need not hold it.
drop index message_position;
create unique index message_position on message (shard, sequence, ordinal) where settled = 0;
