"""Questions about a dataset that no model has to be trained for; the answers are tables that SQL can join."""

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
    """Run an analysis and write what it finds to the store's tables `<analysis>_<frame>`, in one transaction.

    The rows replace those of the same dataset and key; the table `analyses` says when and how they were made.

    Args:
        name: a registered name such as `network`, or a file such as `./mine.py`.
        dataset: needed where the store holds several.
        settings: the analysis's fields.
        export: a folder for the tables as Parquet, and for the analysis's other files.
        progress: called with a word, steps done and steps to do.

    Raises:
        UnknownNameError, InputError: no such analysis or setting.
        DataError: the data cannot answer.
    """
    begin = perf_counter()
    cls = resolve("analysis", name)
    analyzer: Any = configure(cls, settings or {})
    dataset = store.dataset(dataset)
    folder = None if export is None else Path(export)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file; name a folder to export to.")
    called = plain(name)
    with authored(cls, "analyze()"):
        findings: Findings = analyzer.analyze(store, dataset, progress=progress)
    tables = {
        f"{called}_{frame}": rows.select(
            pl.lit(dataset).alias("dataset"),
            *(pl.lit(value).alias(column) for column, value in findings.key.items()),
            pl.all(),
        )
        for frame, rows in findings.frames.items()
    }
    found = Analysis(
        called,
        dataset,
        asdict(analyzer),
        dict(findings.key),
        findings.notes,
        tables,
        () if folder is None else _export(folder, tables, findings),
        perf_counter() - begin,
    )
    _save(store, found)
    return found


def _export(folder: Path, tables: Mapping[str, pl.DataFrame], findings: Findings) -> tuple[Path, ...]:
    """Each file is written beside its place and renamed, so that none is ever half there."""
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


def _save(store: GraphStore, found: Analysis) -> None:
    key = {"dataset": found.dataset, **found.key}
    same = " and ".join(f"{quote(column)} = ?" for column in key)
    with store.transaction():
        for name, frame in found.tables.items():
            _check_own(store, found.name, name)
            store.connection.register("given", frame.to_arrow())
            if store.first("select 1 from duckdb_tables() where table_name = ?", [name]):
                # Columns may have come or gone since: the table takes all of them.
                store.connection.execute(
                    f"create or replace table {quote(name)} as (select * from {quote(name)} where not ({same})) "
                    "union all by name (select * from given)",
                    list(key.values()),
                ).fetchall()
            else:
                store.connection.execute(f"create table {quote(name)} as select * from given").fetchall()
            store.connection.unregister("given")
        store.connection.execute(
            "delete from analyses where analysis = ? and dataset = ? and key = ?",
            [found.name, found.dataset, json.dumps(found.key)],
        ).fetchall()
        store.connection.execute(
            "insert into analyses (analysis, dataset, key, settings, tables, notes, seconds) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            [
                found.name,
                found.dataset,
                json.dumps(found.key),
                json.dumps(found.settings, default=str),
                list(found.tables),
                json.dumps(found.notes),
                found.seconds,
            ],
        ).fetchall()


def _check_own(store: GraphStore, analysis: str, table: str) -> None:
    """An analysis writes no table that is not its own."""
    if store.first("select 1 from duckdb_tables() where table_name = ?", [table]) and not store.first(
        "select 1 from analyses where analysis = ? and list_contains(tables, ?)", [analysis, table]
    ):
        raise StoreError(f"The store has a table '{table}' that is not of this analysis; name the analysis otherwise.")
