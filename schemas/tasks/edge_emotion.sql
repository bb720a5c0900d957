-- One row per (source, destination) pair that has an edge. A pair's emotion is that of its first labelled edge, and its
-- time is that edge's: later edges of the pair change neither. It is null where edges of that time, or of no known time,
-- have several different ones. A pair without labels has the time of its first edge. $rows are the visible rows of the
-- edge table, $label is a list column; $numbers, $means and $named are further columns, number_0 and so on, each after a
-- comma.
with labelled as (
    select
        src,
        dst,
        $time as time,
        unnest(case when len($label) = 0 then [null] else coalesce($label, [null]) end) as label
        $numbers
    from $rows
),
first_labelled as (
    select *
    from labelled
    window pair as (partition by src, dst)
    qualify
        count(label) over pair = 0
        or time is not distinct from min(case when label is not null then time end) over pair
),
pairs as (
    select
        src,
        dst,
        min(time) as time,
        case when count(distinct label) = 1 then min(label) end as emotion
        $means
    from first_labelled
    group by src, dst
)
select
    src,
    dst,
    time,
    emotion
    $named
from pairs
