"""What a store holds, for `graphsocial info`: its catalog as JSON and as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .render import Output

if TYPE_CHECKING:
    from graphsocial.store import GraphStore
    from graphsocial.types import EdgeType, NodeType


def contents(store: GraphStore) -> dict[str, Any]:
    """Everything that `info` shows, as JSON."""
    return {
        "store": str(store.path),
        "datasets": _rows(store, "datasets", "name", "source", "settings", "root", "ingested_at"),
        "nodes": [{"type": node.name, **_described(store, node)} for node in store.schema.nodes],
        "edges": [{"type": str(edge), **_described(store, edge)} for edge in store.schema.edges],
        "feature_sets": _feature_sets(store),
        "runs": _counted(store, "runs", "task", "dataset", "model", "status"),
        "rejects": _counted(store, "rejects", "dataset", "table_name", "reason"),
        "feature_rejects": _counted(store, "feature_rejects", "dataset", "table_name", "column_name", "reason"),
    }


def _described(store: GraphStore, entry: NodeType | EdgeType) -> dict[str, Any]:
    return {
        "table": entry.table,
        "time": entry.time,
        "rows": {dataset: len(store.span(entry, dataset)) for dataset in store.datasets()},
        "columns": [{"name": c.name, "kind": c.kind, "role": c.role, "doc": c.doc} for c in entry.columns],
    }


def _rows(store: GraphStore, table: str, *columns: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.connection.table(table).pl().select(columns).to_dicts()
    return rows


def _counted(store: GraphStore, table: str, *columns: str) -> list[dict[str, Any]]:
    """Number of rows by distinct values; a reason counts without the value that follows its colon."""
    import polars as pl

    frame: pl.DataFrame = store.connection.table(table).select(*columns).pl()
    if "reason" in columns:
        frame = frame.with_columns(pl.col("reason").str.split(": ").list.first())
    return frame.group_by(columns, maintain_order=True).len("rows").sort(columns).to_dicts()


def _feature_sets(store: GraphStore) -> list[dict[str, Any]]:
    uses = _counted(store, "feature_rows", "set_id", "dataset", "table_name", "column_name")
    names = {entry.table: str(entry) for entry in store.schema.types}
    return [
        {
            **feature_set,
            "columns": [
                {
                    "dataset": use["dataset"],
                    "column": f"{names[use['table_name']]}.{use['column_name']}",
                    "rows": use["rows"],
                }
                for use in uses
                if use["set_id"] == feature_set["set_id"]
            ],
        }
        for feature_set in _rows(store, "feature_sets", "set_id", "encoder", "dimension")
    ]


def show(out: Output, listed: dict[str, Any]) -> None:
    """`contents` as tables."""
    rejected = {name: sum(r["rows"] for r in listed["rejects"] if r["dataset"] == name) for name in _names(listed)}
    out.table(
        ["dataset", "source", "ingested (UTC)", "rejected rows"],
        [
            (entry["name"], entry["source"], f"{entry['ingested_at']:%Y-%m-%d %H:%M}", rejected[entry["name"]])
            for entry in listed["datasets"]
        ],
        title=f"Datasets in {listed['store']}",
    )
    types = [*listed["nodes"], *listed["edges"]]
    out.table(
        ["type", "table", *_names(listed)],
        [(entry["type"], entry["table"], *entry["rows"].values()) for entry in types],
        title="Rows",
    )
    out.table(
        ["type", "column", "kind", "role"],
        [
            (
                entry["type"],
                column["name"],
                column["kind"],
                "time" if column["name"] == entry["time"] else column["role"],
            )
            for entry in types
            for column in entry["columns"]
        ],
        title="Columns",
    )
    out.table(
        ["column", "dataset", "encoder", "dimension", "rows"],
        [
            (use["column"], use["dataset"], entry["encoder"], entry["dimension"], use["rows"])
            for entry in listed["feature_sets"]
            for use in entry["columns"]
        ],
        title="Features",
    )
    for title, key in (("Runs", "runs"), ("Rejected rows", "rejects"), ("Rejected content", "feature_rejects")):
        rows = listed[key]
        out.table(list(rows[0]) if rows else [], [list(row.values()) for row in rows], title=title)


def _names(listed: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in listed["datasets"]]
