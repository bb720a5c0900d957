-- One row per node: its labels, null where it has none, its time, and the time at which its labels are known. $rows are
-- the visible rows of the node table; $labels are target_0 and so on, each before a comma.
select
    idx,
    $labels
    $time as time,
    $label_time as label_time
from $rows
