-- Splits, runs and what came out of them. Entities are named by the source's own ids, so that they outlive a re-ingest.
create table splits (
    split_id varchar primary key,
    task varchar not null,
    dataset varchar not null,
    entity varchar not null, -- the node or edge type that is dealt out
    policy varchar not null,
    settings json not null,
    created_at timestamptz not null default now()
);

create table split_members (
    split_id varchar not null,
    entity_id varchar not null,
    other_id varchar,
    role varchar not null
);

create table runs (
    run_id varchar primary key,
    task varchar not null,
    model varchar not null,
    dataset varchar not null,
    seed bigint not null,
    status varchar not null,
    config json not null,
    config_id varchar not null,
    split_id varchar not null,
    split varchar not null,
    data_hash varchar not null,
    feature_sets json not null,
    versions json not null,
    git_revision varchar,
    host varchar,
    checkpoint_hash varchar,
    parameters bigint,
    epochs integer,
    best_epoch integer,
    wall_seconds double,
    peak_memory_mib double,
    notes json not null,
    started_at timestamptz not null default now(),
    finished_at timestamptz
);

create table run_epochs (
    run_id varchar not null,
    epoch integer not null,
    train_loss double,
    metric varchar not null,
    value double,
    learning_rate double,
    seconds double
);

create table metrics (
    run_id varchar not null,
    split varchar not null,
    target varchar not null,
    metric varchar not null,
    value double,
    rows bigint not null
);

create table predictions (
    run_id varchar not null,
    task varchar not null,
    target varchar not null,
    dataset varchar not null,
    entity_type varchar not null,
    entity_id varchar not null,
    other_id varchar,
    label varchar,
    value double,
    confidence float,
    probabilities map(varchar, float),
    lower double, -- bounds of a number's prediction interval
    upper double,
    split varchar,
    true_label varchar,
    true_value double,
    as_of timestamptz,
    created_at timestamptz not null default now()
);

-- Every time that a run's answers were compared with the test part of its split.
create table test_openings (
    run_id varchar not null,
    split_id varchar not null,
    how varchar not null,
    config_id varchar not null,
    opened_at timestamptz not null default now()
);

-- What an audit found in a run, check by check.
create table audits (
    run_id varchar not null,
    name varchar not null,
    verdict varchar not null, -- pass, leak, declared, not applicable
    examined bigint not null,
    found bigint not null,
    detail varchar not null,
    examples varchar[] not null, -- ids of some that were found
    created_at timestamptz not null default now()
);

-- Why a run said what it said: what each kind of information, gate, neighbour and place around it had to do with it.
create table explanations (
    run_id varchar not null,
    target varchar not null,
    entity_id varchar not null,
    other_id varchar,
    kind varchar not null, -- modality, gate, neighbour, sequence or attention
    name varchar not null, -- a column, labels, an edge type; a gate; a relation; before, itself, after; an attention
    end_id varchar, -- the end that listens to the neighbour
    neighbour_type varchar,
    neighbour_id varchar,
    distance integer, -- sequence, attention: how many places after the example it is; below 0 before it
    value double, -- modality, sequence: loss of log-probability (or of the number) without it; others: its weight
    rank integer,
    fidelity double, -- what the support loses without the first ones, beyond what it loses without random ones
    created_at timestamptz not null default now()
);

-- One row per prediction subject: the newest run that spoke about it.
create view latest_predictions as
select *
from predictions
qualify row_number() over (
    partition by task, dataset, target, entity_type, entity_id, other_id
    order by created_at desc, run_id
) = 1;

-- Wrong predictions on held-out rows.
create view errors as
select *
from predictions
where label <> true_label
    and split in ('validation', 'test');

-- How many configurations of its model had seen a run's test part when its own first did, itself included: where that
-- is more than one, test scores may have had a part in the choice.
create view looks as
with opened as (
    select
        runs.model,
        test_openings.split_id,
        test_openings.config_id,
        min(test_openings.opened_at) as first_at
    from test_openings
    join runs using (run_id)
    group by all
),
ranked as (
    select
        *,
        rank() over (partition by model, split_id order by first_at) as looks
    from opened
)
select
    runs.run_id,
    ranked.looks
from runs
join ranked using (model, split_id, config_id);

-- Runs × targets × test metrics, best first: scores of classes, then scores of numbers.
create view leaderboard as
select
    runs.task,
    runs.dataset,
    runs.split,
    metrics.target,
    runs.model,
    runs.seed,
    max(value) filter (metric = 'weighted_f1') as weighted_f1,
    max(value) filter (metric = 'macro_f1') as macro_f1,
    max(value) filter (metric = 'accuracy') as accuracy,
    max(value) filter (metric = 'weighted_precision') as weighted_precision,
    max(value) filter (metric = 'weighted_recall') as weighted_recall,
    max(value) filter (metric = 'log_loss') as log_loss,
    max(value) filter (metric = 'calibration_error') as calibration_error,
    max(value) filter (metric = 'mae') as mae,
    max(value) filter (metric = 'median_ae') as median_ae,
    max(value) filter (metric = 'rmse') as rmse,
    max(value) filter (metric = 'rmsle') as rmsle,
    max(value) filter (metric = 'r2') as r2,
    max(value) filter (metric = 'pearson') as pearson,
    max(value) filter (metric = 'spearman') as spearman,
    max(metrics.rows) as rows,
    runs.parameters,
    runs.wall_seconds,
    looks.looks,
    runs.notes,
    runs.run_id,
    runs.config_id,
    runs.split_id,
    runs.data_hash
from runs
join metrics using (run_id)
left join looks using (run_id)
where runs.status = 'done'
    and metrics.split = 'test'
group by all
order by task, dataset, runs.split, metrics.target, weighted_f1 desc, mae;

-- The same with the seeds of one configuration on one split policy of the same data taken together: mean and sample
-- standard deviation. Rows with other `split_ids` were tested on other examples.
create view leaderboard_mean as
select
    task,
    dataset,
    split,
    target,
    model,
    config_id,
    count(*) as runs,
    avg(weighted_f1) as weighted_f1,
    stddev_samp(weighted_f1) as weighted_f1_sd,
    avg(macro_f1) as macro_f1,
    stddev_samp(macro_f1) as macro_f1_sd,
    avg(accuracy) as accuracy,
    stddev_samp(accuracy) as accuracy_sd,
    avg(weighted_precision) as weighted_precision,
    stddev_samp(weighted_precision) as weighted_precision_sd,
    avg(weighted_recall) as weighted_recall,
    stddev_samp(weighted_recall) as weighted_recall_sd,
    avg(log_loss) as log_loss,
    stddev_samp(log_loss) as log_loss_sd,
    avg(calibration_error) as calibration_error,
    stddev_samp(calibration_error) as calibration_error_sd,
    avg(mae) as mae,
    stddev_samp(mae) as mae_sd,
    avg(median_ae) as median_ae,
    stddev_samp(median_ae) as median_ae_sd,
    avg(rmse) as rmse,
    stddev_samp(rmse) as rmse_sd,
    avg(rmsle) as rmsle,
    stddev_samp(rmsle) as rmsle_sd,
    avg(r2) as r2,
    stddev_samp(r2) as r2_sd,
    avg(pearson) as pearson,
    stddev_samp(pearson) as pearson_sd,
    avg(spearman) as spearman,
    stddev_samp(spearman) as spearman_sd,
    avg(wall_seconds) as wall_seconds,
    max(looks) as looks,
    to_json(list_sort(list_distinct(flatten(list(notes::varchar[]))))) as notes,
    data_hash,
    list_sort(list_distinct(list(split_id))) as split_ids
from leaderboard
group by task, dataset, split, target, model, config_id, data_hash
order by task, dataset, split, target, weighted_f1 desc, mae;
