"""Brings a source's files into a store: read, check, write, in one transaction, rejects kept with their reason."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from os.path import isfile, join
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from graphsocial.errors import InputError, StoreError
from graphsocial.ingestion.containment import check_inside
from graphsocial.ingestion.contract import check_plan
from graphsocial.ingestion.readers import open_file
from graphsocial.ingestion.redeclared import note_changes
from graphsocial.ingestion.rejects import Rejects
from graphsocial.ingestion.staging import Staged, stage
from graphsocial.plugins import authored, configure, registered_name, resolve
from graphsocial.sources.base import ENTRY, Plan, Rows, Source
from graphsocial.store import GraphStore
from graphsocial.store.sql import ROW_NUMBER, quote
from graphsocial.types import NodeType, Progress

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_LIST = 1 << 24  # entries of one row
POSITION = "__position"  # an entry's number in its list, from 1


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did; `to_dict()` is for programs.

    Attributes:
        dataset: the dataset's name in the store.
        changed: False when the same files with the same settings were in the store already; nothing was written then.
        read: raw table → rows in its files; empty when nothing has changed.
        rows: node or edge type → rows in the store.
        left_out: node or edge type → rows left out by a `where`, or because another row has the same id.
        rejects: raw table → reason → rejected rows; the table `rejects` has each with file, line and text.
        ignored: raw table → columns of its files that the source does not use.
        notes: sentences about what was found by looking, such as comment lines, or left out as no answer.
        missing_images: rows with an image file that does not exist.
        seconds: wall time.
    """

    dataset: str
    changed: bool
    read: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    rejects: dict[str, dict[str, int]] = field(default_factory=dict)
    ignored: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing_images: int = 0
    seconds: float = 0.0

    @property
    def rejected(self) -> int:
        """All rejected rows."""
        return sum(count for reasons in self.rejects.values() for count in reasons.values())

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists and numbers."""
        return {**asdict(self), "rejected": self.rejected}


def ingest(
    store: GraphStore,
    source: str | Source,
    path: Path | str,
    *,
    dataset: str | None = None,
    settings: Mapping[str, object] | None = None,
    map: Path | str | None = None,
    reject_limit: float = 0.5,
    allow_outside: bool = False,
    progress: Progress | None = None,
) -> IngestReport:
    """Bring the files under `path` into the store as one dataset; a dataset of that name is replaced.

    All or nothing: an error, or the end of the process, leaves the store as it was. The same files with the same
    settings a second time change nothing.

    Args:
        store: an open store.
        source: a source's name, such as `iesn`, or one that is already configured.
        path: the folder (or file) that the source reads.
        dataset: the dataset's name in the store; the folder's name by default.
        settings: the source's fields, by name.
        map: a YAML file with other file and column names, for sources that take one.
        reject_limit: largest share of one file's rows that may be rejected, from 0 to 1.
        allow_outside: a mapping may name files outside of its folder, and rows may name images outside of the root.
        progress: called with (what, steps done, steps in all); see `graphsocial.types.Progress`.

    Raises:
        InputError: a file cannot be used; the message names it, the reason and what to try.
        UnknownNameError: there is no such source.
        StoreError: the store is read-only.
    """
    started = perf_counter()
    if store.read_only:
        raise StoreError(f"'{store.path}' is open for reading only.")
    configured = _configured(source, {**(settings or {}), **({"map": map} if map is not None else {})})
    with authored(type(configured), "plan()"):
        plan = configured.plan(Path(path), dataset=dataset)
    check_plan(plan, type(configured).__name__)
    if not allow_outside:
        check_inside(plan, configured, Path(path))
    states = _states(plan)
    record = _record(configured, plan, allow_outside=allow_outside)
    stored = store.sql("select files_hash from datasets where name = ?", [plan.dataset]).fetchall()
    if stored == [(record["files_hash"],)]:
        return _report(store, plan, changed=False, seconds=perf_counter() - started)
    progress = progress or _silent
    with _staged(store, plan, progress) as staged, store.transaction():
        if _states(plan) != states and _hash(record["source"], record["settings"], plan) != record["files_hash"]:
            raise InputError(f"Files in '{plan.root}' changed while they were read; wait for the writer and try again.")
        rejects = Rejects(store.connection, staged, limit=reject_limit)
        rejects.check()
        store.remove(plan.dataset)
        store.connection.execute(
            f"insert into datasets ({', '.join(record)}) values ({', '.join('?' * len(record))})",
            list(record.values()),
        )
        declared = store.schema
        store.declare(plan.schema)
        changes = note_changes(store, declared, plan.dataset)
        left_out = _write(store, plan, staged, rejects, progress)
        rejects.check()
        rejects.write(plan.dataset, plan.root)
    return replace(
        _report(store, plan, changed=True),
        read={table: entry.read for table, entry in staged.items()},
        left_out={entry: count for entry, count in left_out.items() if count},
        notes=list(dict.fromkeys([*(note for entry in staged.values() for note in entry.notes), *changes])),
        ignored={table: list(entry.ignored) for table, entry in staged.items() if entry.ignored},
        seconds=perf_counter() - started,
    )


def _write(
    store: GraphStore, plan: Plan, staged: Mapping[str, Staged], rejects: Rejects, progress: Progress
) -> Counter[str]:
    """Write nodes, then edges; how many rows of each type were left out, being neither written nor refused."""
    left_out: Counter[str] = Counter()
    nodes_first = sorted(plan.rows, key=lambda rows: not isinstance(rows.into, NodeType))
    for number, rows in enumerate(nodes_first):
        progress(f"write {rows.into}", number, len(plan.rows))
        select = _select(store, plan, staged, rows)
        written = store.write(rows.into, select, dataset=plan.dataset, strict=False, row_number=ROW_NUMBER)
        rejects.add(rows.table, written.rejects if rows.each is None else _rows_of_entries(written.rejects))
        given = staged[rows.table].good if rows.each is None else _entries(store, plan, staged, rows)
        left_out[str(rows.into)] += given - written.rows - written.rejected
    return left_out


def _entries(store: GraphStore, plan: Plan, staged: Mapping[str, Staged], rows: Rows) -> int:
    """How many entries the lists of all rows have, with those that `where` leaves out."""
    select = _select(store, plan, staged, replace(rows, where=None, distinct=False))
    ((count,),) = store.connection.execute(f"select count(*) from ({select})").fetchall()
    return int(count)


def _rows_of_entries(rejects: pa.Table) -> pa.Table:
    """The rejects of entries under the numbers of the rows that have them in their lists."""
    rows = pc.divide(rejects["row_number"], LONGEST_LIST)
    return rejects.set_column(rejects.schema.get_field_index("row_number"), "row_number", rows)


def _configured(source: str | Source, given: Mapping[str, object]) -> Source:
    if isinstance(source, str):
        configured: Source = configure(resolve("source", source), given)
        return configured
    return configure(type(source), {**vars(source), **given})


def _silent(what: str, done: int, of: int) -> None:
    pass


def _record(source: Source, plan: Plan, *, allow_outside: bool) -> dict[str, str]:
    """The dataset's row in the table `datasets`."""
    name = registered_name(type(source))
    outside = {"allow_outside": True} if allow_outside else {}
    settings = json.dumps({**asdict(source), **outside}, default=str, sort_keys=True)  # type: ignore[call-overload]
    return {
        "name": plan.dataset,
        "source": name,
        "settings": settings,
        "root": str(plan.root),
        "files_hash": _hash(name, settings, plan),
    }


def _hash(source: str, settings: str, plan: Plan) -> str:
    """A hash of the files' bytes and of all that decides what becomes of them."""
    digest = blake2b(digest_size=16)
    digest.update(f"{source}\0{settings}\0{plan.dataset}\0{plan.rows}\0{plan.derived}\0".encode())
    for table in plan.tables:
        digest.update(f"{replace(table, files=())}\0".encode())
        for file in table.files:
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as raw:
                while block := raw.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()


def _states(plan: Plan) -> list[tuple[int, ...]]:
    """What the file system says of each file; differs after a change."""
    states = (file.stat() for table in plan.tables for file in table.files)
    return [(state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for state in states]


@contextmanager
def _staged(store: GraphStore, plan: Plan, progress: Progress) -> Iterator[dict[str, Staged]]:
    """The raw tables by name, in temporary tables that are dropped at the end."""
    staged: dict[str, Staged] = {}
    with ExitStack() as opening:
        scratch = Path(opening.enter_context(tempfile.TemporaryDirectory(prefix="graphsocial-")))
        opened = {
            table.name: tuple(open_file(store.connection, table, file, scratch=scratch) for file in table.files)
            for table in plan.tables
        }
        for number, table in enumerate(plan.tables):
            progress(f"read {table.name}", number, len(plan.tables))
            if table.columns:
                staged[table.name] = opening.enter_context(stage(store.connection, table, opened, scratch=scratch))
        yield staged


def _select(store: GraphStore, plan: Plan, staged: Mapping[str, Staged], rows: Rows) -> str:
    """The SQL select of one type's rows for `GraphStore.write`, with each row's number in the raw table."""
    tables = {name: entry.relation for name, entry in staged.items()}
    ctes = ", ".join(f"{quote(name)} as not materialized ({sql})" for name, sql in (*tables.items(), *plan.derived))
    fields = "".join(f", {sql} as {quote(name)}" for name, sql in {**rows.keys, **rows.columns}.items())
    table = quote(rows.table)
    number, origin = f"{table}.{ROW_NUMBER}", table
    if rows.each is not None:  # each entry is numbered in the order of the file
        unnested = f"unnest({rows.each}) as {ENTRY}, generate_subscripts({rows.each}, 1) as {POSITION}"
        number, origin = (
            f"{number} * {LONGEST_LIST} + {POSITION} - 1",
            f"(select *, {unnested} from {table}) as {table}",
        )
    select = f"with {ctes} select {number} as {ROW_NUMBER}{fields} from {origin} {rows.joins}"
    if rows.where:
        select += f" where {rows.where}"
    return _distinct(store, plan, rows, select) if rows.distinct else select


def _distinct(store: GraphStore, plan: Plan, rows: Rows, select: str) -> str:
    """The first row of each key among those of `select`, without nodes that the store has already."""
    keys = ", ".join(f"trim({quote(key)}::varchar) as {quote(key)}" for key in rows.keys)
    first = "".join(f", arg_min({quote(name)}, {ROW_NUMBER}) as {quote(name)}" for name in rows.columns)
    complete = " and ".join(f"nullif(trim({quote(key)}::varchar), '') is not null" for key in rows.keys)
    distinct = f"select min({ROW_NUMBER}) as {ROW_NUMBER}, {keys}{first} from ({select}) where {complete} group by all"
    span = store.span(rows.into, plan.dataset)
    if not span or not isinstance(rows.into, NodeType):
        return distinct
    stored = f"select id from {quote(rows.into.table)} where {span}"
    return f"select * from ({distinct}) where id not in ({stored})"


def _report(store: GraphStore, plan: Plan, *, changed: bool, seconds: float = 0.0) -> IngestReport:
    """What the store holds of the dataset now."""
    rejects: dict[str, dict[str, int]] = {}
    for table, reason, count in store.sql(
        "select table_name, split_part(reason, ': ', 1) as why, count(*) as rows from rejects where dataset = ? "
        "group by all order by table_name, rows desc, why",
        [plan.dataset],
    ).fetchall():
        rejects.setdefault(table, {})[reason] = count
    return IngestReport(
        dataset=plan.dataset,
        changed=changed,
        rows={str(entry): len(store.span(entry, plan.dataset)) for entry in plan.schema.types},
        rejects=rejects,
        missing_images=sum(_missing_images(store, plan, entry) for entry in plan.schema.nodes),
        seconds=seconds,
    )


def _missing_images(store: GraphStore, plan: Plan, entry: NodeType) -> int:
    """How many rows of a node type name an image file that does not exist."""
    missing = 0
    for column in entry.columns:
        if column.kind == "image":
            named = f"select {quote(column.name)}, count(*) from ({store.visible(entry, dataset=plan.dataset)}) "
            files = store.sql(f"{named} where {quote(column.name)} is not null group by all").fetchall()
            # pathlib takes ten times as long, which counts for a hundred thousand images
            missing += sum(rows for file, rows in files if not isfile(join(plan.root, file)))  # noqa: PTH113, PTH118
    return missing
