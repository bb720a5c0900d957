-- What was asked of the runs and of the graph: papers' tables beside ours, searches for settings, analyses.
create table reproductions (
    paper varchar not null,
    table_number varchar not null,
    place integer not null,
    row_name varchar not null,
    model varchar,
    metric varchar not null,
    published double,
    published_sd double,
    mean double,
    sd double,
    run_ids varchar[] not null,
    dataset varchar not null,
    papers_data boolean not null,
    note varchar not null,
    created_at timestamptz not null default now()
);

create table trials (
    study_id varchar not null,
    number integer not null,
    run_id varchar,
    task varchar not null,
    dataset varchar not null,
    settings json not null,
    state varchar not null,
    metric varchar not null,
    value double, -- of the validation part, at the best epoch; null where training failed
    epochs double[] not null,
    note varchar not null,
    created_at timestamptz not null default now(),
    primary key (study_id, number)
);

-- Each analysis writes tables of its own, `<analysis>_<frame>`; this says which, of what, and how.
create table analyses (
    analysis varchar not null,
    dataset varchar not null,
    key json not null,
    settings json not null,
    tables varchar[] not null,
    notes json not null,
    seconds double not null,
    created_at timestamptz not null default now()
);
