"""Reading IESN's graph and features from the store into tensors, against DuckDB's own Arrow fetch of the columns.

    python benchmarks/tensors.py

Ours is `graph.building.build` as `train` calls it: ids, node numbers and edges of all relations with their reverses,
the labelled pair of each edge, vectors of images, comments and (as means over a user's groups) descriptions, reference
probabilities, with a check of the order. DuckDB's side is `to_arrow_table` of the same columns of the same tables, in
two ways:

- `stored`: in stored order, without joins, vectors with the content hashes that key them;
- `rows`: by ascending idx, with the vector of each row, by a join in SQL.

The times do not include reading labels and encoding contents.
"""

from __future__ import annotations

from time import perf_counter

from _harness import against, interleave, keep
from _iesn import store

from graphsocial.features import FeatureRef, featurize
from graphsocial.graph import SocialGraph
from graphsocial.graph.building import build
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.tasks.edge_emotion import EdgeEmotion

ENCODED = ("group.description", "user views image.comment")
COLUMNS = {  # what `build` reads of each table
    "node_user": "idx, id",
    "node_image": "idx, id, vector",
    "node_group": "idx, id",
    "edge_user_connects_user": "idx, src, dst",
    "edge_user_joins_group": "idx, src, dst",
    "edge_user_posts_image": "idx, src, dst",
    "edge_user_views_image": "idx, src, dst, labelled_at, optimal",
}


def stored(uses: list[FeatureRef]) -> list[str]:
    """Queries for the columns in stored order."""
    selects = [f"select {columns} from {quote(table)}" for table, columns in COLUMNS.items()]
    for use in uses:
        rows = f"from feature_rows where set_id = '{use.set_id}' and table_name = '{use.entry.table}'"
        held = f"from vectors_{use.dimension} where set_id = '{use.set_id}' and content in (select content {rows})"
        selects += [f"select idx, content {rows}", f"select content, vector {held}"]
    return selects


def rows(uses: list[FeatureRef]) -> list[str]:
    """Queries for the columns by ascending idx, with vectors joined to their rows."""
    selects = [f"select {columns} from {quote(table)} order by idx" for table, columns in COLUMNS.items()]
    selects += [
        f"select idx, vector from feature_rows join vectors_{use.dimension} using (set_id, content) "
        f"where set_id = '{use.set_id}' and table_name = '{use.entry.table}' order by idx"
        for use in uses
    ]
    return selects


def check(graph: SocialGraph, opened: GraphStore) -> None:
    """Check the tensors against the tables by their counts."""
    for kind, edges in graph.edges.items():
        if not edges.reverse_of and opened.first(f"select count(*) from {quote('edge_' + '_'.join(kind))}") != (
            len(edges),
        ):
            raise SystemExit(f"The graph has other {kind} edges than the store.")
    if {name: len(features) for name, features in graph.node_features.items()} != {"user": 1, "image": 1}:
        raise SystemExit(f"Features are missing: {graph.node_features}")


def main() -> None:
    """Time all three."""
    opened = store()
    reports = [report for column in ENCODED for report in featurize(opened, column, "hash_text")]
    uses = [report.use for report in reports]
    task = EdgeEmotion()
    entity = task.entity(opened.schema)
    (dataset,) = opened.datasets()
    labels = task.labels(opened, dataset)
    begin = perf_counter()
    labels = task.labels(opened, dataset)
    labelling = perf_counter() - begin

    def tensors() -> SocialGraph:
        return build(opened, dataset, entity, labels, features=uses)

    def fetch(selects: list[str]) -> int:
        return sum(opened.sql(select).to_arrow_table().nbytes for select in selects)

    check(tensors(), opened)
    peers = {"stored": stored(uses), "rows": rows(uses)}
    timings = interleave(
        {"graphsocial": tensors, **{name: (lambda name=name: fetch(peers[name])) for name in peers}}, rounds=9
    )
    words = {"stored": "DuckDB's Arrow fetch, columns as stored", "rows": "DuckDB's Arrow fetch, rows in order"}
    for name, selects in peers.items():
        keep(
            f"tensors_{name}",
            {
                "row": {
                    "what": "store → tensors",
                    "peer": words[name],
                    "ours": "graphsocial",
                    "theirs": name,
                    "most": 1.5,
                },
                "seconds": {side: timings[side] for side in ("graphsocial", name)},
                "ratio": against(timings["graphsocial"], timings[name]),
                "arrow_bytes": fetch(selects),
                "labels_seconds": labelling,
            },
        )
    opened.close()


if __name__ == "__main__":
    main()
