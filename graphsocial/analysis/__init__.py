"""Analyses of a dataset, its graph or a run, written to tables that SQL can join."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import polars as pl

from graphsocial.analysis.base import Analysis, Findings
from graphsocial.errors import InputError, StoreError
from graphsocial.plugins import authored, configure, plain, resolve
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.store.temporary import registered
from graphsocial.types import Progress


def analyze(
    store: GraphStore,
    name: str,
    *,
    dataset: str | None = None,
    settings: Mapping[str, object] | None = None,
    export: Path | str | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Run an analysis and write its results to the store's tables `<analysis>_<frame>`, in one transaction.

    The rows replace those of the same dataset and key; the table `analyses` records their settings and date.

    Args:
        store: the store to read and write.
        name: a registered name such as `network`, or a file such as `./mine.py`.
        dataset: name of the dataset; required where the store holds several.
        settings: values of the analysis's fields.
        export: a folder for the tables as Parquet files, and for the analysis's other files.
        progress: called with the name of the step, steps done and steps in all.

    Raises:
        UnknownNameError: no such analysis.
        InputError: no such setting, or a value out of range.
        DataError: the dataset lacks what the analysis needs.
    """
    begin = perf_counter()
    cls = resolve("analysis", name)
    analyzer: Any = configure(cls, settings or {})
    dataset = store.dataset(dataset)
    folder = None if export is None else Path(export)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file; name a folder to export to.")
    plain_name = plain(name)
    with authored(cls, "analyze()"):
        findings: Findings = analyzer.analyze(store, dataset, progress=progress)
    tables = {
        f"{plain_name}_{frame}": rows.select(
            pl.lit(dataset).alias("dataset"),
            *(pl.lit(value).alias(column) for column, value in findings.key.items()),
            pl.all(),
        )
        for frame, rows in findings.frames.items()
    }
    analysis = Analysis(
        plain_name,
        dataset,
        asdict(analyzer),
        dict(findings.key),
        findings.notes,
        tables,
        () if folder is None else _export(folder, tables, findings),
        perf_counter() - begin,
    )
    _save(store, analysis)
    return analysis


def expected(
    store: GraphStore, name: str, *, dataset: str | None = None, settings: Mapping[str, object] | None = None
) -> float | None:
    """An estimate of the seconds that an analysis takes; None where it has no method `seconds` that tells.

    Args:
        store, name, dataset, settings: as of `analyze`.
    """
    analyzer: Any = configure(resolve("analysis", name), settings or {})
    return float(analyzer.seconds(store, store.dataset(dataset))) if hasattr(analyzer, "seconds") else None


def _export(folder: Path, tables: Mapping[str, pl.DataFrame], findings: Findings) -> tuple[Path, ...]:
    """Write each file under a temporary name and rename it, so that none is ever half written."""
    folder.mkdir(parents=True, exist_ok=True)
    writers = {f"{name}.parquet": frame.write_parquet for name, frame in tables.items()}
    written = []
    for name, write in {**writers, **findings.files}.items():
        path = folder / name
        part = path.with_name(f".{name}.part")
        try:
            write(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        written.append(path)
    return tuple(written)


def _save(store: GraphStore, analysis: Analysis) -> None:
    key = {"dataset": analysis.dataset, **analysis.key}
    same_key = " and ".join(f"{quote(column)} = ?" for column in key)
    with store.transaction():
        for name in _earlier_tables(store, analysis) - set(analysis.tables):
            store.connection.execute(f"delete from {quote(name)} where {same_key}", list(key.values())).fetchall()
        for name, frame in analysis.tables.items():
            _check_owner(store, analysis.name, name)
            with registered(store.connection, frame.to_arrow()) as new_rows:
                if store.first("select 1 from duckdb_tables() where table_name = ?", [name]):
                    # the columns may have changed since: the table gets the union of both
                    other_rows = f"select * from {quote(name)} where not ({same_key})"
                    store.connection.execute(
                        f"create or replace table {quote(name)} as ({other_rows}) "
                        f"union all by name (select * from {new_rows})",
                        list(key.values()),
                    ).fetchall()
                else:
                    store.connection.execute(f"create table {quote(name)} as select * from {new_rows}").fetchall()
        store.connection.execute(
            "delete from analyses where analysis = ? and dataset = ? and key = ?",
            [analysis.name, analysis.dataset, json.dumps(analysis.key)],
        ).fetchall()
        store.connection.execute(
            "insert into analyses (analysis, dataset, key, settings, tables, notes, seconds) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            [
                analysis.name,
                analysis.dataset,
                json.dumps(analysis.key),
                json.dumps(analysis.settings, default=str),
                list(analysis.tables),
                json.dumps(analysis.notes),
                analysis.seconds,
            ],
        ).fetchall()


def _earlier_tables(store: GraphStore, analysis: Analysis) -> set[str]:
    """The tables that the last analysis of the same key wrote; one that is not written now has no rows of it."""
    rows = store.sql(
        "select table_name from duckdb_tables() where table_name in "
        "(select unnest(tables) from analyses where analysis = ? and dataset = ? and key = ?)",
        [analysis.name, analysis.dataset, json.dumps(analysis.key)],
    ).fetchall()
    return {name for (name,) in rows}


def _check_owner(store: GraphStore, analysis: str, table: str) -> None:
    """Raise where a table of that name is not of this analysis."""
    if store.first("select 1 from duckdb_tables() where table_name = ?", [table]) and not store.first(
        "select 1 from analyses where analysis = ? and list_contains(tables, ?)", [analysis, table]
    ):
        raise StoreError(f"The store has a table '{table}' that is not of this analysis; rename the analysis.")
