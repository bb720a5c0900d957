-- One row per segment: what it is labelled with, null where it is not. $rows is the visible part of the node table,
-- $emotion and $sentiment are the label columns.
select
    idx,
    $time as time,
    $emotion as emotion,
    $sentiment as sentiment
from $rows
