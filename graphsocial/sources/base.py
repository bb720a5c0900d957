"""How a source describes its files: which there are, what each column may hold, and which rows they become."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from graphsocial.errors import InputError, MissingFileError
from graphsocial.types import Column, EdgeType, GraphSchema, Kind, NodeType

ENTRY = "__entry"
"""An entry of the list that `Rows.each` names, in the SQL of `Rows.keys` and `Rows.columns`."""
NO_ANSWER: tuple[str, ...] = (
    *("nan", "n/a", "na", "n.a.", "#n/a", "null", "nil", "unknown", "no answer", "not applicable", "not available"),
    *("missing", "undefined", "no response", "don't know", "prefer not to say", "?", "-", "--"),
)
"""Words that are no classes of a label, in lower case."""
FORMATS = ("csv", "csv.gz", "tsv", "tsv.gz", "parquet", "jsonl", "jsonl.gz", "ndjson")


@dataclass(frozen=True)
class RawColumn:
    """What one column of a file may hold; a row that breaks it is rejected with file, line and reason.

    Attributes:
        name: the column's name inside graphsocial.
        kind: see `graphsocial.types.Kind`; list kinds are `a|b|c` in text files, lists in Parquet and JSON.
        header: its name in the file, where that differs.
        sql: an expression over the file's own columns instead; in text files those are `varchar`.
        required: an absent column is an error and an empty value a reject.
        must_exist: an absent column is an error; empty values are fine.
        minimum, maximum: inclusive bounds of a number.
        values: the allowed values of a category (or of each entry of `categories`), lower-cased before the check.
        format: how a timestamp is written, as for `strptime`, such as `%d/%m/%y`; by default ISO 8601, seconds or
            milliseconds or microseconds since 1970, or RFC 2822.
        key: whether it is an id, which no number with an exponent or beyond the precision of its type can be.
        classes: whether the values are the classes of a label; those of `no_answer`, in lower case, count as missing.
        when: the name of a boolean column of the table; where that is not true, the value is not checked.
        entries: whether the entries of a list become rows: none of them makes the row a malformed one.
        decimal, thousands: the separators of a number, where they are not a point and none.
    """

    name: str
    kind: Kind = "text"
    header: str | None = None
    sql: str | None = None
    required: bool = False
    must_exist: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    format: str | None = None
    key: bool = False
    classes: bool = False
    no_answer: tuple[str, ...] = ()
    when: str | None = None
    decimal: str = "."
    thousands: str = ""
    entries: bool = False

    @property
    def source_name(self) -> str:
        """The column's name in the file."""
        return self.header or self.name


@dataclass(frozen=True)
class RawTable:
    """One table of the raw data: its files (read as one), how to read them, what their columns may hold.

    Attributes:
        name: its name in `Rows` and their SQL.
        files: CSV, TSV, Parquet or JSON, also in gzip, zstd or zip; all of one format.
        columns: the columns that are used; others in the file are ignored and reported. A table without any only
            serves the `sql` of other tables' columns.
        has_header: False for text files whose first row is data.
        names: the names of their fields, in order; those of `columns` by default.
        delimiter, encoding: for text files; the delimiter is inferred among comma, tab and semicolon by default.
        quote: the character around fields that hold delimiters or line ends; empty where quotes are text.
        comment: lines that begin with it are left out, besides those before the header that begin with #.
        skip: number of lines before the header that are left out.
        decimal, thousands: the separators of numbers; a decimal comma is found by looking where fields are separated by
            something else.
        records: keys, joined by dots, that lead to the array of records in a JSON document.
        nulls: texts that mean a missing value, such as `NA`; an empty field always does.
        required: no rows are an error.
        unique: columns whose values name a row; a second row with the same ones is rejected.
    """

    name: str
    files: tuple[Path, ...]
    columns: tuple[RawColumn, ...]
    has_header: bool = True
    names: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: str = "utf-8"
    quote: str = '"'
    comment: str | None = None
    skip: int = 0
    decimal: str | None = None
    thousands: str | None = None
    records: str | None = None
    nulls: tuple[str, ...] = ()
    required: bool = True
    unique: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """Which rows of a node or edge type a raw table becomes.

    Attributes:
        into: the node or edge type.
        table: the `RawTable` the rows come from.
        keys: SQL for `id` (nodes) or `src` and `dst` (edges: the endpoints' own ids), over the raw table's columns.
        columns: SQL for each column of `into`; a column that is left out is null.
        joins: further raw tables by SQL, e.g. `left join comments using (comment_id)`.
        where: SQL condition: keep only these rows; the others are left out, not rejected.
        each: SQL of a list: one edge or node for each of its entries, which `keys` call `ENTRY`.
        distinct: several rows with one key become one, the first (ids collected from an edge list, say), instead of
            rejected duplicates.
    """

    into: NodeType | EdgeType
    table: str
    keys: dict[str, str]
    columns: dict[str, str] = field(default_factory=dict)
    joins: str = ""
    where: str | None = None
    distinct: bool = False
    each: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a source makes of one folder: the raw tables and the rows that they become.

    Attributes:
        tables: the raw tables.
        rows: the rows of each node and edge type; of one type, in this order.
        root: the folder that image paths are relative to.
        dataset: the name of the dataset.
        derived: further tables as (name, SQL select) over the raw tables and those before; `Rows.joins` may use them.
            There each raw table also has its rows' numbers, `graphsocial.store.sql.ROW_NUMBER`, in the files' order.
    """

    tables: tuple[RawTable, ...]
    rows: tuple[Rows, ...]
    root: Path
    dataset: str
    derived: tuple[tuple[str, str], ...] = ()

    @property
    def schema(self) -> GraphSchema:
        """The node and edge types of all rows."""
        types: dict[str, NodeType | EdgeType] = {}
        for rows in self.rows:
            types[rows.into.table] = _merged(types.get(rows.into.table, rows.into), rows.into)
        return GraphSchema(
            nodes=tuple(t for t in types.values() if isinstance(t, NodeType)),
            edges=tuple(t for t in types.values() if isinstance(t, EdgeType)),
        )


def _merged(one: NodeType | EdgeType, other: NodeType | EdgeType) -> NodeType | EdgeType:
    """One type with the columns of both.

    Raises:
        InputError: they are two types with one table, or have a column or time of two kinds.
    """
    if str(one) != str(other):
        raise InputError(f"'{one}' and '{other}' would be one table, '{one.table}'; rename one of them.")
    if one.time and other.time and one.time != other.time:
        raise InputError(f"The time of '{one}' is '{one.time}' in one place and '{other.time}' in another; use one.")
    columns = {column.name: column for column in one.columns}
    for column in other.columns:
        before = columns.setdefault(column.name, column)
        if (before.kind, before.role) != (column.kind, column.role):
            raise InputError(
                f"The column '{column.name}' of '{one}' is {before.kind} ({before.role}) in one place and "
                f"{column.kind} ({column.role}) in another; give both the same, or two names."
            )
    return replace(one, columns=tuple(columns.values()), time=one.time or other.time)


class Source(Protocol):
    """A frozen dataclass in `sources/<name>.py` whose fields are its settings."""

    def plan(self, path: Path, *, dataset: str | None = None) -> Plan:
        """The tables among the files under `path`, and the rows that they become; reads no rows.

        Args:
            path: a folder or file.
            dataset: the dataset's name; the source chooses one by default.
        """
        ...


def find_table(root: Path, stem: str) -> tuple[Path, ...]:
    """The files of one table: `stem.<format>` or every `stem/*.<format>`; empty when there are none.

    Raises:
        InputError: the table exists in two formats.
    """
    single = [root / f"{stem}.{ending}" for ending in FORMATS]
    files = [path for path in single if path.is_file()]
    if len(files) > 1:
        raise InputError(f"Two files claim to be the table '{stem}': {files[0].name} and {files[1].name}. Keep one.")
    if files:
        return (files[0],)
    folder = root / stem
    parts = sorted(path for ending in FORMATS for path in folder.glob(f"*.{ending}") if path.name[0] != ".")
    endings = {"".join(path.suffixes) for path in parts}
    if len(endings) > 1:
        raise InputError(f"The files of table '{stem}' have different formats: {sorted(endings)}. Use one.")
    return tuple(parts)


def missing_table(root: Path, name: str, otherwise: str) -> MissingFileError:
    """The error of a folder without a required table.

    Args:
        root: the folder.
        name: the table.
        otherwise: a sentence on how to read other layouts.
    """
    present = ", ".join(sorted(entry.name for entry in root.iterdir())[:12]) or "nothing"
    return MissingFileError(
        f"'{root}' has no table '{name}': expected {name}.csv (or .tsv, .parquet, .jsonl, .gz of these) or a folder "
        f"'{name}' of such files. There: {present}. {otherwise}"
    )


def require_folder(path: Path | str) -> Path:
    """`path` as a `Path`.

    Raises:
        MissingFileError: the path does not exist, or is a file.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(f"There is no folder '{path}'.")
    if not path.is_dir():
        raise MissingFileError(f"'{path}' is a file; this source reads a folder.")
    return path


def columns_from_schema(rows_schema: dict[str, Any], headers: dict[str, str] | None = None) -> tuple[RawColumn, ...]:
    """Turn the JSON Schema of one row into `RawColumn`s, so that rows are checked against the schema.

    Args:
        rows_schema: an object schema; each property has `x-kind` and may have `minimum`, `maximum`, `enum`.
        headers: other column names for this table, ours → the file's.
    """
    headers = headers or {}
    required = set(rows_schema.get("required", ()))
    columns = []
    for name, rule in rows_schema["properties"].items():
        inner = rule.get("items", rule)
        columns.append(
            RawColumn(
                name=name,
                kind=rule["x-kind"],
                header=headers.get(name),
                required=name in required,
                minimum=inner.get("minimum"),
                maximum=inner.get("maximum"),
                values=tuple(value for value in inner.get("enum", ()) if value is not None),
                classes=(is_label := _is_open_label(rule)),
                no_answer=NO_ANSWER if is_label else (),
            )
        )
    return tuple(columns)


def _is_open_label(rule: dict[str, Any]) -> bool:
    """Whether a property is a label whose classes are whatever the data holds."""
    return rule["x-kind"] == "category" and rule.get("x-role") == "label" and "enum" not in rule


def stored_columns(rows_schema: dict[str, Any], *, leave_out: tuple[str, ...] = ()) -> tuple[Column, ...]:
    """The `Column`s that a row schema's properties are stored as, by `x-kind` and `x-role`."""
    return tuple(
        Column(name, rule["x-kind"], rule.get("x-role", "feature"), rule.get("description", ""))
        for name, rule in rows_schema["properties"].items()
        if name not in leave_out
    )
