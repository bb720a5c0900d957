"""Files beside a store: the checkpoints of its unfinished trainings, and names for files from names in the store."""

from __future__ import annotations

import re
from pathlib import Path

from graphsocial.errors import InputError

LONGEST_NAME = 200  # bytes in UTF-8; file systems take 255 with an ending


def runs_folder(store: Path) -> Path:
    """`social.runs` beside `social.duckdb`, and `social.db.runs` beside `social.db`, which is another store."""
    return store.with_suffix(".runs") if store.suffix == ".duckdb" else store.with_name(f"{store.name}.runs")


def file_name(name: str) -> str:
    """The name of a file after the name of a dataset or a run, which may come from someone else and be a path.

    >>> file_name("../../etc/passwd"), file_name("tmsam-83b1f2")
    ('_.._etc_passwd', 'tmsam-83b1f2')
    """
    plain = re.sub(r"[^\w .+=@-]+", "_", name).lstrip(".").strip()
    return plain.encode()[:LONGEST_NAME].decode(errors="ignore") or "_"


def check_dataset_name(name: object, who: str) -> None:
    """Check that a dataset's name is a name and no path.

    Args:
        name: the name.
        who: who gives it, for the error.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or {"/", "\\"} & set(name):
        raise InputError(
            f"{who} names the dataset {name!r}; a name is text of one line without / or \\. Name it with --dataset."
        )
    if name.strip() in (".", "..") or len(name.encode()) > LONGEST_NAME:
        raise InputError(
            f"{who} names the dataset {name[:60]!r}; a name is not . or .. and has at most {LONGEST_NAME} bytes. "
            "Name it with --dataset."
        )
