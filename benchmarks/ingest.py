"""Ingest of IESN's files into a new store, against DuckDB reading the same files into tables without checks.

    python benchmarks/ingest.py

Ours detects delimiters and headers, parses and checks every value, records rejects with file and line, resolves 4
million endpoints to node numbers and hashes the files, in one transaction. DuckDB's side is `create table … from
read_csv(…)` with its sniffer, `read_parquet` for the Parquet file, into a new file. The times include closing the file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
from _harness import against, interleave, keep
from _iesn import folder

import graphsocial as gs


def fresh(folder: Path, name: str) -> Path:
    """The path of a new database file."""
    path = folder / f"{name}.duckdb"
    path.unlink(missing_ok=True)
    return path


def ours(raw: Path, scratch: Path) -> int:
    """Ingest the files; returns their number of rows."""
    with gs.open(fresh(scratch, "ours")) as store:
        report = gs.ingest(store, "iesn", raw)
    if report.rejected or not report.changed:
        raise SystemExit(f"The ingest is not what is to be timed: {report.to_dict()}")
    return sum(report.read.values())


def peer(raw: Path, scratch: Path) -> int:
    """Read each file into a table of its name; returns the number of rows."""
    rows = 0
    with duckdb.connect(str(fresh(scratch, "peer"))) as connection:
        for file in sorted(raw.iterdir()):
            if file.suffix in (".csv", ".parquet"):
                reader = f"read_{file.suffix[1:]}('{file}')"
                ((count,),) = connection.execute(f"create table {file.stem} as from {reader}").fetchall()
                rows += count
    return rows


def main() -> None:
    """Time both, and check that they read the same rows."""
    raw = folder()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        read = {"graphsocial": 0, "duckdb": 0}
        timings = interleave(
            {
                "graphsocial": lambda: read.update(graphsocial=ours(raw, scratch)),
                "duckdb": lambda: read.update(duckdb=peer(raw, scratch)),
            }
        )
        sizes = {
            side: (scratch / f"{file}.duckdb").stat().st_size for side, file in zip(read, ("ours", "peer"), strict=True)
        }
    if read["graphsocial"] != read["duckdb"]:
        raise SystemExit(f"The sides read different rows: {read}")
    keep(
        "ingest",
        {
            "row": {
                "what": "ingest of IESN's files",
                "peer": "DuckDB `read_csv`, no checks",
                "ours": "graphsocial",
                "theirs": "duckdb",
                "most": 2.5,
            },
            "rows": read["graphsocial"],
            "bytes": sum(file.stat().st_size for file in raw.iterdir()),
            "seconds": timings,
            "ratio": against(timings["graphsocial"], timings["duckdb"]),
            "database_bytes": sizes,
        },
    )


if __name__ == "__main__":
    main()
