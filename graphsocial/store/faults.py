"""What a full disk, too little memory or a damaged file mean, in a sentence: DuckDB's and the system's own errors."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path

import duckdb

DAMAGE = re.compile(
    r"Corrupt database file|Could not read enough bytes from file .*\.(duckdb|db)\b|database has been invalidated"
)
FULL = ("No space left", "Disk quota", "max_temp_directory_size")


def message_of(error: BaseException) -> str:
    """The error's own words in one line that ends with a full stop."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = re.sub(r"\s*(\n+LINE \d+:|Stack Trace|This error signals).*", "", text, flags=re.DOTALL)
    text = re.sub(r"[^.]*\bhttps?://\S+", "", " ".join(text.split()))
    return f"{text.rstrip('. ') or type(error).__name__}."


def is_full(error: BaseException) -> bool:
    """Whether a disk is full."""
    if isinstance(error, duckdb.Error):
        return any(words in str(error) for words in FULL)
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def is_damage(error: BaseException) -> bool:
    """Whether DuckDB found the file of a store other than it wrote it."""
    return DAMAGE.search(str(error)) is not None


def sentence(error: BaseException, store: Path) -> str | None:
    """What happened, what is left undone and what to try; None for an error of another kind.

    Args:
        error: what was raised; an error of graphsocial's that was raised from such a one counts too.
        store: the store in use.
    """
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)  # type: ignore[assignment]
    for cause in causes:
        if is_full(cause):
            return _full(cause, store)
        if isinstance(cause, MemoryError | duckdb.OutOfMemoryException) or "not enough memory" in str(cause):
            return (
                f"There is not enough memory: {message_of(cause)} Finished steps are in '{store}', the one at work is "
                "not; the same command resumes. Close other programs, or take less at a time: --set "
                "loader=sampled or a smaller batch for a training, a condition or --out for a query."
            )
        if is_damage(cause):
            return _damaged(cause, store)
        if getattr(cause, "errno", None) == errno.ENAMETOOLONG:
            name = max(Path(str(getattr(cause, "filename", None) or store)).parts, key=len)
            return (
                f"The name '{name[:40]}…' is too long for a file: a name has at most 255 bytes, this one has "
                f"{len(name.encode()):,}. Choose a shorter one."
            )
    return None


def _full(error: BaseException, store: Path) -> str:
    named = getattr(error, "filename", None) or next(iter(re.findall(r'"(/[^"]+)"', str(error))), None)
    done = f"What was committed before is in '{store}'; the step at work was left undone."
    if not named:
        return (
            f"A disk is full ({message_of(error).rstrip('.')}): that of the output, of '{store}' or of temporary files "
            f"('{tempfile.gettempdir()}'). {done} Make space and repeat the command."
        )
    place = Path(named)
    folder = next((path for path in (place, *place.absolute().parents) if path.is_dir()), Path("/"))
    while not os.path.ismount(folder) and folder != folder.parent:
        folder = folder.absolute().parent
    return (
        f"The disk '{folder}' is full, so '{place}' could not be written. {done} Make space and repeat the command, "
        "which resumes."
    )


def _damaged(error: BaseException, store: Path) -> str:
    words = f"'{store}' is damaged; DuckDB says: {message_of(error)}"
    try:
        whole, broken = readable_tables(store)
    except (duckdb.Error, OSError):
        return f"{words} No table can be read. Restore the store from a copy, or ingest and train again."
    how = f" Save one with: graphsocial sql 'select * from {whole[0]}' --out {whole[0]}.parquet." if whole else ""
    return (
        f"{words} These tables can still be read: {', '.join(whole) or 'none'}; these not, at least in part: "
        f"{', '.join(broken) or 'none'}.{how} Then restore the store from a copy, or ingest and train again."
    )


def readable_tables(store: Path) -> tuple[list[str], list[str]]:
    """The tables of a store of which every value can be read, and the others."""
    whole: list[str] = []
    broken: list[str] = []
    with duckdb.connect(str(store), read_only=True) as connection:
        names = connection.execute("select table_name from duckdb_tables() order by all").fetchall()
    for (name,) in names:
        quoted = '"' + name.replace('"', '""') + '"'
        try:
            with duckdb.connect(str(store), read_only=True) as connection:  # an error may make a connection unusable
                connection.execute(f"select bit_xor(hash(t)) from {quoted} as t").fetchall()
            whole.append(name)
        except duckdb.Error:
            broken.append(name)
    return whole, broken
