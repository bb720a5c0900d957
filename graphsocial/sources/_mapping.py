"""The mapping files of the sources `table` and `dialogue`, checked where they come in."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from graphsocial.errors import InputError, MissingFileError, UnknownNameError
from graphsocial.sources.base import NO_ANSWER, RawColumn, RawTable, find_table
from graphsocial.store.expressions import check_expression
from graphsocial.types import Kind, Role


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRule(_Strict):
    """One raw table: a file, or several that are read as one."""

    path: str = Field(
        description="File or glob pattern below the root: CSV, TSV, Parquet or JSON, also in gzip, zstd or zip."
    )
    header: bool = Field(True, description="Whether the first row of a text file names the columns.")
    names: list[str] = Field([], description="The columns' names, in order, for a file without a header.")
    delimiter: str | None = Field(
        None, description="One character; inferred among comma, tab and semicolon by default."
    )
    encoding: str = Field("utf-8", description="Encoding of text files.")
    quote: str = Field('"', description="The character around fields of a CSV file; none where quotes are text.")
    comment: str | None = Field(
        None, min_length=1, description="Beginning of lines to leave out; # lines before the rows are found by looking."
    )
    skip: int = Field(0, ge=0, description="Number of lines to leave out before the header.")
    decimal: Literal[".", ","] | None = Field(
        None, description="Decimal separator of numbers in a CSV file; found by looking where ; separates fields."
    )
    thousands: str | None = Field(None, min_length=1, max_length=1, description="Thousands separator of numbers.")
    records: str | None = Field(
        None, min_length=1, description="Keys, joined by dots, to the array of records in a JSON document."
    )
    nulls: list[str] = Field([], description="Texts that mean a missing value, such as NA.")


class ColumnRule(_Strict):
    """One column of a node or edge type; just the kind where the file's column has the same name."""

    kind: Kind = Field(description="What the values are.")
    source: str | None = Field(None, alias="from", description="The file's column, where its name differs.")
    sql: str | None = Field(None, description="An expression over the file's columns instead.")
    role: Role = Field("feature", description="feature, label (a target) or reference (kept, never an input).")
    doc: str = Field("", description="One sentence for `graphsocial info`.")
    required: bool = Field(False, description="Whether rows without a value are rejected.")
    minimum: float | None = Field(None, description="Smallest number allowed.")
    maximum: float | None = Field(None, description="Largest number allowed.")
    values: list[str] = Field([], description="The categories allowed, in lower case.")
    no_answer: list[str] = Field(
        [*NO_ANSWER], description="Of a label: words that are no classes, in lower case; their rows have no label."
    )
    format: str | None = Field(
        None, min_length=1, description="How a timestamp is written, as for strptime: %d/%m/%y; inferred by default."
    )


class KeyRule(_Strict):
    """An id; just the column's name where no SQL is needed."""

    sql: str = Field(description="An expression over the file's columns.")


class EntryRule(_Strict):
    """An id in each entry of the list that `each` names; of entries that are objects, the one under a key."""

    entry: str = Field(description="The key of the id in an entry.")


class IdsRule(_Strict):
    """Further nodes: the distinct ids in the lists of a column."""

    each: str = Field(description="The column with the lists, as table.column.")
    entry: str | None = Field(None, description="The key of the id in an entry, where entries are objects.")


def _as_rule(given: object) -> object:
    return {"kind": given} if isinstance(given, str) else given


def _as_file(given: object) -> object:
    return {"path": given} if isinstance(given, str) else given


Columns = dict[str, Annotated[ColumnRule, BeforeValidator(_as_rule, json_schema_input_type=Kind | ColumnRule)]]
File = Annotated[FileRule, BeforeValidator(_as_file, json_schema_input_type=str | FileRule)]
Key = str | KeyRule


class NodeRule(_Strict):
    """A node type: rows of a file, ids that occur in other files, or both."""

    file: str | None = Field(None, description="The raw table with one row per node.")
    id: Key | None = Field(None, description="The column with the node's id.")
    columns: Columns = Field({}, description="The node's columns.")
    time: str | None = Field(None, description="The column with the time from which the node exists.")
    where: str | None = Field(None, description="SQL condition: keep only these rows.")
    distinct: bool = Field(
        False, description="Whether several rows with one id are one node instead of rejected duplicates."
    )
    ids_from: list[str | IdsRule] = Field([], description="Further nodes: the distinct ids in table.column.")


class EdgeRule(_Strict):
    """An edge type, written as `source relation destination`: rows of a file."""

    type: str = Field(description="Such as: user rates business.")
    file: str = Field(description="The raw table with one row per edge.")
    each: Key | None = Field(
        None, description="A column with lists: one edge for each entry, which is the end that is left out."
    )
    src: Key | EntryRule | None = Field(None, description="The column with the id of the source node.")
    dst: Key | EntryRule | None = Field(None, description="The column with the id of the destination node.")
    columns: Columns = Field({}, description="The edge's columns.")
    time: str | None = Field(None, description="The column with the time from which the edge exists.")
    where: str | None = Field(None, description="SQL condition: keep only these rows.")
    distinct: bool = Field(False, description="Whether several rows with the same endpoints are one edge.")


class Mapping(_Strict):
    """How a set of tables becomes a graph: the file that `graphsocial ingest table` reads."""

    dataset: str = Field(min_length=1, description="The dataset's name in the store.")
    root: str | None = Field(
        None, description="The data's folder, relative to this file; ${NAME} is the environment's."
    )
    files: dict[str, File] = Field(min_length=1, description="The raw tables by name.")
    nodes: dict[str, NodeRule] = Field(min_length=1, description="The node types by name.")
    edges: list[EdgeRule] = Field([], description="The edge types.")


class SegmentRule(_Strict):
    """One file with a row per segment of a dialogue."""

    file: str = Field(description="The raw table.")
    columns: dict[str, Key] = Field(
        description="Columns of dialogue.schema.json: the file's column, or {sql: an expression over its columns}."
    )


class DialogueMapping(_Strict):
    """How files become dialogues: what `graphsocial ingest dialogue` reads where columns have other names."""

    dataset: str = Field(min_length=1, description="The dataset's name in the store.")
    root: str | None = Field(
        None, description="The data's folder, relative to this file; ${NAME} is the environment's."
    )
    files: dict[str, File] = Field(min_length=1, description="The raw tables by name.")
    segments: list[SegmentRule] = Field(min_length=1, description="The files that segments are in.")


M = TypeVar("M", Mapping, DialogueMapping)


def read_mapping(path: Path | str, model: type[M] = Mapping) -> M:  # type: ignore[assignment]  # mypy: M is Mapping then
    """Read and check a mapping file.

    Args:
        path: the YAML file.
        model: what it must be.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is not YAML, or not a mapping; names the key and what is allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"There is no mapping '{path}'; this source reads a YAML file.")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict):
        raise InputError(f"'{path}' must have the keys {', '.join(model.model_fields)}.")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = min(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")  # a misspelt key, most likely
        raise InputError(f"{path}: {_sentence(model, first['loc'], first['type'], first['msg'])}") from error


def folder_of(root: str | None, path: Path, instead: Path | None) -> Path:
    """The data's folder: `instead` where it is given, else `root` of the mapping at `path`.

    Args:
        root: relative to the mapping; `${NAME}` is the value of an environment variable.
        path: the mapping.
        instead: a folder that replaces `root`.

    Raises:
        InputError: `root` names a variable that the environment does not have.
        MissingFileError: there is no such folder.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise InputError(
                f"{path}: root is '{root}', but the environment has no {match[1]}. Set it, or give --set root=FOLDER."
            )
        return os.environ[match[1]]

    if instead is not None:
        folder = instead.resolve()
    else:
        folder = (path.resolve().parent / Path(re.sub(r"\$\{(\w+)\}", value, root or ".")).expanduser()).resolve()
    if not folder.is_dir():
        raise MissingFileError(f"{path}: there is no folder '{folder}'. Give another: --set root=FOLDER.")
    return folder


def raw_table(
    name: str, rule: FileRule, columns: tuple[RawColumn, ...], root: Path, path: Path, *, tables: Collection[str]
) -> RawTable:
    """The files of one rule of a mapping, and what is read of them.

    Args:
        name: the table's name in the mapping.
        rule: its file or pattern, and how to read it.
        columns: the columns to read.
        root: the data's folder.
        path: the mapping, for messages.
        tables: the names of all raw tables, which the SQL of columns may read.

    Raises:
        MissingFileError: there is no such file below `root`.
        InputError: the SQL of a column is more than one expression over a row.
    """
    files = _files(root, rule.path)
    for column in columns:
        if column.sql is not None:
            check_expression(column.sql, tables, f"{path}: {column.name}")
    if not files:
        present = ", ".join(sorted(entry.name for entry in root.iterdir())[:12]) or "nothing"
        raise MissingFileError(f"{path}: files.{name}: no file '{rule.path}' in '{root}'. There: {present}.")
    return RawTable(
        name,
        files,
        columns,
        has_header=rule.header,
        names=tuple(rule.names),
        delimiter=rule.delimiter,
        encoding=rule.encoding,
        quote="" if rule.quote == "none" else rule.quote,
        comment=rule.comment,
        skip=rule.skip,
        decimal=rule.decimal,
        thousands=rule.thousands,
        records=rule.records,
        nulls=tuple(rule.nulls),
    )


def _files(root: Path, path: str) -> tuple[Path, ...]:
    """The files of a rule: the one of exactly this name, a table of this stem, or those that match the pattern.

    Hidden files are left out: those that begin with a dot, such as macOS's `._a.csv`.
    """
    exact = root / path
    if exact.is_file():
        return (exact,)
    if found := find_table(root, path):
        return found
    pattern = Path(path)
    if pattern.is_absolute():
        root, pattern = Path(pattern.anchor), pattern.relative_to(pattern.anchor)
    matches = (file for file in root.glob(str(pattern)) if file.is_file())
    hidden = path.rpartition("/")[2].startswith(".")
    return tuple(sorted(file for file in matches if hidden or not file.name.startswith(".")))


def _sentence(model: type[BaseModel], where: tuple[int | str, ...], kind: str, message: str) -> str:
    """One pydantic error as a sentence."""
    steps = [str(step) for step in where if step not in ("str", "KeyRule", "EntryRule", "IdsRule")]
    if kind == "extra_forbidden":
        owner = ".".join(steps[:-1]) or "the mapping"
        return str(UnknownNameError.of(f"key of {owner}", steps[-1], _keys(model, where)))
    return f"{'.'.join(steps)}: {message[0].lower()}{message[1:]}."


def _keys(model: type[BaseModel], where: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed beside an unknown one."""
    if len(where) > 1:
        rules: dict[str, type[BaseModel]] = {
            "files": FileRule,
            "nodes": NodeRule,
            "edges": EdgeRule,
            "segments": SegmentRule,
        }
        model = rules[str(where[0])]
        if where[-2] == "KeyRule":
            model = KeyRule
        elif "columns" in where[:-1]:
            model = ColumnRule
    return [rule.alias or name for name, rule in model.model_fields.items()]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the mapping; `schemas/datasets/table.schema.json` is this, for editors that complete YAML."""
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "table.schema.json"}
    return {**described, **Mapping.model_json_schema()}
