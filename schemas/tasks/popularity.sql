-- One row per post: how often it was shared, when it was published and when its shares are taken to be known. $rows is
-- the visible part of the node table, $count the column with the count, $hours how long shares are gathered.
select
    idx,
    $time as time,
    $time + interval $hours hours as label_time,
    $count::double as shares
from $rows
