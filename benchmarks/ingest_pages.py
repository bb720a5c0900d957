"""Ingest of the 146 files of `facebook_pages` into a new store, against DuckDB reading the same files without checks.

    GRAPHSOCIAL_DATA=FOLDER python benchmarks/ingest_pages.py

Ours is the mapping `examples/facebook_pages.yaml`: typed and checked values, without duplicates and late posts,
three node types and two edge types from one table. DuckDB's side is one `create table … from read_csv('*.csv.gz')`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import duckdb
from _harness import HERE, against, interleave, keep
from ingest import fresh

import graphsocial as gs

MAPPING = HERE.parent / "examples" / "facebook_pages.yaml"


def ours(scratch: Path) -> int:
    """Ingest the files; returns their number of rows."""
    with gs.open(fresh(scratch, "ours")) as store:
        return sum(gs.ingest(store, "table", MAPPING).read.values())


def peer(scratch: Path, raw: Path) -> int:
    """Read all files into one table; returns the number of rows."""
    with duckdb.connect(str(fresh(scratch, "peer"))) as connection:
        query = f"create table posts as from read_csv('{raw / '*.csv.gz'}')"
        ((count,),) = connection.execute(query).fetchall()
    return int(count)


def main() -> None:
    """Time both, and check that they read the same rows."""
    raw = Path(os.environ.get("GRAPHSOCIAL_DATA", "")) / "facebook_pages"
    if not raw.is_dir():
        raise SystemExit("Set GRAPHSOCIAL_DATA to the folder that holds facebook_pages.")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        read = {"graphsocial": 0, "duckdb": 0}
        timings = interleave(
            {
                "graphsocial": lambda: read.update(graphsocial=ours(scratch)),
                "duckdb": lambda: read.update(duckdb=peer(scratch, raw)),
            }
        )
    if read["graphsocial"] != read["duckdb"]:
        raise SystemExit(f"The sides read different rows: {read}")
    keep(
        "ingest_pages",
        {
            "row": {
                "what": "ingest of 146 gzipped CSV files",
                "peer": "DuckDB `read_csv`, no checks",
                "ours": "graphsocial",
                "theirs": "duckdb",
                "most": 3.0,
            },
            "rows": read["graphsocial"],
            "bytes": sum(file.stat().st_size for file in raw.glob("*.csv.gz")),
            "seconds": timings,
            "ratio": against(timings["graphsocial"], timings["duckdb"]),
        },
    )


if __name__ == "__main__":
    main()
