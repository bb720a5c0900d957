-- One row per (source, destination) pair that has an edge, with the time of its first. $rows are the visible rows of the
-- edge table.
select
    src,
    dst,
    min($time) as time
from $rows
group by src, dst
