-- One row per (source, destination) pair that has an edge: its label, null where it has several different labels or
-- only such as say nothing; when it was first seen. $edges is the visible part of the edge table, $label a list column;
-- $numbers and $means are further columns, number_0 and so on, each with a comma after it.
with told as (
    select
        src,
        dst,
        $time as time,
        $numbers
        unnest(case when len($label) = 0 then [null] else coalesce($label, [null]) end) as label
    from ($edges)
),
pairs as (
    select
        src,
        dst,
        min(time) as time,
        $means
        count(distinct label) as labels,
        min(label) as label
    from told
    group by src, dst
)
select * exclude (labels) replace (case when labels = 1 then label end as label)
from pairs
order by src, dst
