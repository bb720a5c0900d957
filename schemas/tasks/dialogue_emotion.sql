-- One row per segment: its labels, null where it has none. $rows are the visible rows of the node table, $emotion and
-- $sentiment are the label columns.
select
    idx,
    $time as time,
    $emotion as emotion,
    $sentiment as sentiment
from $rows
