-- The graph that a finished run used: a row for each edge type of its dataset. `left_out` says why messages do not pass
-- along it; else the edges that the first and the last batch may use, in the order of time where the run obeys it.
create table run_edges (
    run_id varchar not null,
    edge_type varchar not null,
    edges bigint not null,
    first_batch bigint,
    last_batch bigint,
    left_out varchar,
    primary key (run_id, edge_type)
);
