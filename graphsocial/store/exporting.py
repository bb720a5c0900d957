"""Files that are whole or not there: written under another name, then renamed; and Parquet from batches of rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from graphsocial.errors import MissingFileError

BATCH = 50_000


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which gets its name, and replaces an older one, when all is written.

    Raises:
        MissingFileError: there is no such folder.
    """
    if not path.parent.is_dir():
        raise MissingFileError(f"There is no folder '{path.parent}' for '{path.name}'.")
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem[:40]}-", delete=False) as file:
        part = Path(file.name)
        try:
            yield file
            file.flush()
            part.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch], file: IO[bytes]) -> int:
    """Write batches of rows as Parquet; the number of rows.

    Args:
        schema: of the batches.
        batches: the rows.
        file: open for writing.
    """
    count = 0
    with pq.ParquetWriter(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def relation_to_parquet(relation: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Write what a query gives as a Parquet file."""
    reader = relation.to_arrow_reader(BATCH)
    with whole_file(path) as file:
        write_parquet(reader.schema, reader, file)
