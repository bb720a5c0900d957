-- One row per segment, in the field's own words; null where a run was not asked.
create view if not exists dialogue_emotion_predictions as
select
    run_id,
    dataset,
    entity_id as segment_id,
    any_value(label) filter (target = 'emotion') as emotion,
    any_value(confidence) filter (target = 'emotion') as emotion_confidence,
    any_value(probabilities) filter (target = 'emotion') as emotion_probabilities,
    any_value(label) filter (target = 'sentiment') as sentiment,
    any_value(confidence) filter (target = 'sentiment') as sentiment_confidence,
    any_value(probabilities) filter (target = 'sentiment') as sentiment_probabilities,
    any_value(split) as split,
    any_value(true_label) filter (target = 'emotion') as true_emotion,
    any_value(true_label) filter (target = 'sentiment') as true_sentiment,
    max(created_at) as created_at
from predictions
where task = 'dialogue-emotion'
group by run_id, dataset, entity_id
