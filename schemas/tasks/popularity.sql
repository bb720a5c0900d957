-- One row per post: its shares, its time, and the time at which its shares count as known, $hours later. $rows are the
-- visible rows of the node table, $count is the column of shares.
select
    idx,
    $time as time,
    $time + interval $hours hours as label_time,
    $count::double as shares
from $rows
