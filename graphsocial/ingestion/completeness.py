"""Compares what was read of a file with what lies in it, and reads on where a quote has swallowed lines."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from graphsocial.ingestion.encodings import open_bytes, open_text
from graphsocial.ingestion.opened import Opened
from graphsocial.ingestion.records import Record

BLOCK = 1 << 22  # bytes


@dataclass(frozen=True)
class Whole:
    """What lies in a file.

    Attributes:
        rows: number of its records, without header and blank lines.
        faults: record number → reason, of records that must be left out for the others to be read.
    """

    rows: int
    faults: dict[int, str] = field(default_factory=dict)


def check(connection: duckdb.DuckDBPyConnection, file: Opened, count: int, unparsed: Mapping[int, str]) -> Whole:
    """What lies in a file of which `count` rows were read, and some records could not be parsed.

    Where all was parsed, and rows and lines are as many, no record is over several lines, so that nothing can be
    swallowed. Otherwise the file is split into records here, which takes longer.

    Args:
        connection: for Parquet, which has the number of its rows.
        file: the file.
        count: number of rows that were read.
        unparsed: record number → reason, of those that could not be parsed.
    """
    if file.format == "parquet":
        ((rows,),) = connection.execute(f"select count(*) from ({file.relation})").fetchall()
        return Whole(rows)
    if not file.header and file.relation == file.lookup:  # an empty file
        return Whole(0)
    if not unparsed and count + file.header == _lines(file.readable):
        return Whole(count)
    rows, faults = -file.header, {}
    for number, record in enumerate(records(file), start=1):
        rows += not (record.blank and file.skips_blank)
        if record.fault is not None:
            faults[number] = record.fault
    return Whole(rows, faults)


def records(file: Opened) -> Iterator[Record]:
    """The records of a text file, with the header."""
    assert file.splitter is not None  # text files have one
    with open_text(file.readable, "utf-8", errors="replace") as text:
        yield from file.splitter.records(text)


def without_faults(file: Opened, faults: Mapping[int, str], scratch: Path) -> Opened:
    """The file's copy without some of its records.

    Args:
        file: a text file.
        faults: the numbers of the records to leave out.
        scratch: a folder of our own.
    """
    assert file.splitter is not None
    copy = scratch / f"{len(list(scratch.iterdir()))}-repaired.txt"
    with (
        open_text(file.readable, "utf-8", errors="surrogateescape") as text,
        copy.open("w", encoding="utf-8", errors="surrogateescape", newline="") as target,
    ):
        for number, record in enumerate(file.splitter.records(text), start=1):
            if number not in faults:
                target.write(record.text)
    return file.reading(copy)


def renumbered(unparsed: Mapping[int, str], left_out: Mapping[int, str]) -> dict[int, str]:
    """Record numbers of a copy as those of the file, from which some records were left out."""
    gone = sorted(left_out)
    kept_before = [number - position - 1 for position, number in enumerate(gone)]
    return {number + bisect_right(kept_before, number - 1): reason for number, reason in unparsed.items()}


def _lines(file: Path) -> int:
    """Number of lines of a text file, gzipped or not; a last one without an end counts too."""
    count, last = 0, b"\n"
    with open_bytes(file) as raw:
        while block := raw.read(BLOCK):
            count += block.count(b"\n")
            if b"\r" in block or last == b"\r":
                count += block.count(b"\r") - (last + block).count(b"\r\n")
            last = block[-1:]
    return count + (last not in (b"\n", b"\r"))
