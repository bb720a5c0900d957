-- Scores of several labels per example and the coverage of intervals are in the leaderboard, and so is the type of the
-- examples. A row of `predictions` may be about one of several labels: `value` and `true_value` are 1 where it applies.
drop view leaderboard_mean;
drop view leaderboard;
drop view latest_predictions;
drop view errors;

-- Runs × targets × test metrics, best first: scores of classes, then scores of numbers.
create view leaderboard as
select
    runs.task,
    runs.dataset,
    runs.split,
    splits.entity,
    metrics.target,
    runs.model,
    runs.seed,
    max(value) filter (metric = 'weighted_f1') as weighted_f1,
    max(value) filter (metric = 'macro_f1') as macro_f1,
    max(value) filter (metric = 'micro_f1') as micro_f1,
    max(value) filter (metric = 'average_precision') as average_precision,
    max(value) filter (metric = 'roc_auc') as roc_auc,
    max(value) filter (metric = 'mrr') as mrr,
    max(value) filter (metric = 'hits_1') as hits_1,
    max(value) filter (metric = 'hits_3') as hits_3,
    max(value) filter (metric = 'hits_10') as hits_10,
    max(value) filter (metric = 'subset_accuracy') as subset_accuracy,
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
    max(value) filter (metric = 'coverage') as coverage,
    max(metrics.rows) as rows,
    runs.parameters,
    runs.wall_seconds,
    opened_configurations.test_openings,
    runs.notes,
    runs.run_id,
    runs.config_id,
    runs.split_id,
    runs.data_hash
from runs
join metrics using (run_id)
left join opened_configurations using (run_id)
left join splits using (split_id)
where runs.status = 'done'
    and metrics.split = 'test'
group by all
order by task, dataset, runs.split, metrics.target, weighted_f1 desc, micro_f1 desc, mae;

-- The same with the seeds of one configuration on one split policy of the same data taken together: mean and sample
-- standard deviation. Rows with other `split_ids` were tested on other examples.
create view leaderboard_mean as
select
    task,
    dataset,
    split,
    any_value(entity) as entity,
    target,
    model,
    config_id,
    count(*) as runs,
    avg(weighted_f1) as weighted_f1,
    stddev_samp(weighted_f1) as weighted_f1_sd,
    avg(macro_f1) as macro_f1,
    stddev_samp(macro_f1) as macro_f1_sd,
    avg(micro_f1) as micro_f1,
    stddev_samp(micro_f1) as micro_f1_sd,
    avg(average_precision) as average_precision,
    stddev_samp(average_precision) as average_precision_sd,
    avg(roc_auc) as roc_auc,
    stddev_samp(roc_auc) as roc_auc_sd,
    avg(mrr) as mrr,
    stddev_samp(mrr) as mrr_sd,
    avg(hits_1) as hits_1,
    stddev_samp(hits_1) as hits_1_sd,
    avg(hits_3) as hits_3,
    stddev_samp(hits_3) as hits_3_sd,
    avg(hits_10) as hits_10,
    stddev_samp(hits_10) as hits_10_sd,
    avg(subset_accuracy) as subset_accuracy,
    stddev_samp(subset_accuracy) as subset_accuracy_sd,
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
    avg(coverage) as coverage,
    stddev_samp(coverage) as coverage_sd,
    avg(wall_seconds) as wall_seconds,
    max(test_openings) as test_openings,
    to_json(list_sort(list_distinct(flatten(list(notes::varchar[]))))) as notes,
    data_hash,
    list_sort(list_distinct(list(split_id))) as split_ids
from leaderboard
group by task, dataset, split, target, model, config_id, data_hash
order by task, dataset, split, target, weighted_f1 desc, micro_f1 desc, mae;

-- One row per prediction subject: the newest run that predicted it; one for each label where there may be several.
create view latest_predictions as
select *
from predictions
qualify rank() over (
    partition by task, dataset, target, entity_type, entity_id, other_id
    order by created_at desc, run_id
) = 1;

-- Wrong predictions on held-out rows.
create view errors as
select *
from predictions
where (label <> true_label or (label is not null and true_label is null and value <> true_value))
    and split in ('validation', 'test');
