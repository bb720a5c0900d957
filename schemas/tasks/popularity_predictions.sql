-- The field's own words over `predictions`: one row per run and post, both targets beside each other.
create view if not exists popularity_predictions as
select
    run_id,
    dataset,
    entity_type as node,
    entity_id as post_id,
    max(p.value) filter (target = 'shares') as shares,
    max(p.lower) filter (target = 'shares') as lower,
    max(p.upper) filter (target = 'shares') as upper,
    max(p.label) filter (target = 'popularity') as popularity,
    max(p.confidence) filter (target = 'popularity') as confidence,
    split,
    max(p.true_value) filter (target = 'shares') as true_shares,
    max(p.true_label) filter (target = 'popularity') as true_popularity,
    max(p.created_at) as created_at
from predictions as p
where task = 'popularity'
group by all
