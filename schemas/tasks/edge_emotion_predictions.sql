-- The field's own words over `predictions`; user_id is the edge's source, image_id its destination.
create view if not exists edge_emotion_predictions as
select
    run_id,
    dataset,
    entity_type as edge,
    entity_id as user_id,
    other_id as image_id,
    label as emotion,
    confidence,
    probabilities,
    split,
    true_label as true_emotion,
    created_at
from predictions
where task = 'edge-emotion'
    and target = 'emotion'
