-- Vectors are keyed by what made them and by the content they were made from; rows point at content.
create table feature_sets (
    set_id varchar primary key,
    encoder varchar not null,
    settings json not null,
    dimension integer not null,
    created_at timestamptz not null default now()
);

-- The vectors of dimension d live in vectors_<d> (set_id, content, vector float[d]), made when first needed.
create table feature_rows (
    set_id varchar not null,
    dataset varchar not null,
    table_name varchar not null,
    column_name varchar not null,
    idx bigint not null,
    content varchar not null
);

create table feature_rejects (
    set_id varchar not null,
    dataset varchar not null,
    table_name varchar not null,
    column_name varchar not null,
    idx bigint not null,
    entity_id varchar,
    content varchar not null,
    reason varchar not null,
    rejected_at timestamptz not null default now()
);
