-- One row per (source, destination) pair that has an edge. A pair's labels are those of its first labelled edge, and its
-- time is that edge's; of several such edges, a class is null where they disagree, a number is the mean, and a list has
-- the labels of all. A pair without labels has the time of its first edge. $rows are the visible rows of the edge table;
-- $labels are target_0 and so on, each before a comma; $labelled is whether any of them is known; $merged are they again,
-- of all edges of a pair.
with edges as (
    select
        src,
        dst,
        $labels
        $time as time,
        $label_time as label_time
    from $rows
),
first_labelled as (
    select *
    from edges
    window pair as (partition by src, dst)
    qualify
        not bool_or($labelled) over pair
        or time is not distinct from min(case when $labelled then time end) over pair
)
select
    src,
    dst,
    $merged
    min(time) as time,
    max(label_time) as label_time
from first_labelled
group by src, dst
