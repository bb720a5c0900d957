-- One row per (source, destination) pair that has an edge: its emotion, null if it has none or several different ones,
-- and the time of its first edge. $rows are the visible rows of the edge table, $label is a list column; $numbers,
-- $means and $named are further columns, number_0 and so on, each after a comma.
with labelled as (
    select
        src,
        dst,
        $time as time,
        unnest(case when len($label) = 0 then [null] else coalesce($label, [null]) end) as label
        $numbers
    from $rows
),
pairs as (
    select
        src,
        dst,
        min(time) as time,
        case when count(distinct label) = 1 then min(label) end as emotion
        $means
    from labelled
    group by src, dst
)
select
    src,
    dst,
    time,
    emotion
    $named
from pairs
