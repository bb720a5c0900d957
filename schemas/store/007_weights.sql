-- What predicting needs of a run: weights, scales of its targets, fitted encodings, as the bytes of a safetensors file.
-- `runs.checkpoint_hash` is the hash of its tensors and texts.
create table weights (
    run_id varchar primary key,
    content blob not null
);
