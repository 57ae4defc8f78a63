-- 1 where the commit that accepted the message finished it too, or copied it to the open ones: nobody
-- looks for it by its position then, and the index need not hold it. While the new index is built,
-- messages can be read.
create unique index message_place on message (shard, sequence, ordinal) where settled = 0;
drop index message_position;
alter index message_place rename to message_position;
