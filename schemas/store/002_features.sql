-- Vectors are keyed by what made them and by the content they were made from; rows point at content.
create table feature_sets (
    set_id varchar primary key,
    encoder varchar not null,
    settings json not null,
    dimension integer not null,
    sequences boolean not null,
    split_id varchar, -- whose training rows the encoder learnt from
    state json, -- what it learnt
    created_at timestamptz not null default now()
);

-- The vectors of dimension d live in vectors_<d> (set_id, content, vector float[d]), sequences of them in
-- sequences_<d> (set_id, content, vectors float[d][]); both are made when first needed.
create table feature_rows (
    set_id varchar not null,
    dataset varchar not null,
    table_name varchar not null,
    column_name varchar not null, -- * for an encoding of the whole row
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

-- Contents that an encoder has refused, so that they are not tried again.
create table unreadable_contents (
    set_id varchar not null,
    content varchar not null,
    reason varchar not null
);

-- What an encoder wrote about a content on the way to its vector.
create table captions (
    set_id varchar not null,
    content varchar not null,
    caption varchar not null
);

-- The hashes of files that have not been written since, so that they are not read again.
create table file_contents (
    path varchar primary key,
    bytes bigint not null,
    modified_ns bigint not null,
    content varchar not null
);
