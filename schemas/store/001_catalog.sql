-- What the store holds: declared types, ingested datasets, rejected rows.
-- One row: what made these tables. The fingerprint is of all files of this folder; another one is another version.
create table store_version (
    fingerprint varchar not null,
    version varchar not null,
    made_at timestamptz not null default now()
);

create table node_types (
    name varchar primary key,
    columns json not null,
    time_column varchar
);

create table edge_types (
    src varchar not null,
    relation varchar not null,
    dst varchar not null,
    columns json not null,
    time_column varchar,
    primary key (src, relation, dst)
);

create table datasets (
    name varchar primary key,
    source varchar not null,
    settings json not null,
    root varchar,
    files_hash varchar not null,
    ingested_at timestamptz not null default now()
);

-- Where a dataset's rows lie in a table: idx from first_idx up to, not including, first_idx + row_count.
create table dataset_rows (
    dataset varchar not null,
    table_name varchar not null,
    first_idx bigint not null,
    row_count bigint not null,
    primary key (dataset, table_name)
);

-- Edges that `link` made of what the nodes hold, and what decides them.
create table links (
    dataset varchar not null,
    table_name varchar not null,
    key varchar not null, -- a hash of the settings, vectors and times that they follow from
    settings json not null,
    recall double not null, -- the share of the true neighbours among them
    probed integer, -- lists that each node looked into, of how many, null where all nodes were compared
    lists integer,
    linked_at timestamptz not null default now(),
    primary key (dataset, table_name)
);

create table rejects (
    dataset varchar not null,
    table_name varchar not null,
    file varchar,
    line bigint,
    reason varchar not null,
    record varchar,
    rejected_at timestamptz not null default now()
);
