-- One row per segment: what it is labelled with, null where it is not. $nodes is the visible part of the node table,
-- $labels the label columns by their targets' names.
select
    idx,
    $time as time,
    $labels
from ($nodes)
order by idx
