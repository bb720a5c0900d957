"""The mapping file of the source `table`, checked where it comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from graphsocial.errors import InputError, MissingFileError, UnknownNameError
from graphsocial.types import Kind, Role


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRule(_Strict):
    """One raw table: a file, or several that are read as one."""

    path: str = Field(
        description="File or glob pattern below the root; its ending says CSV, TSV, Parquet or JSON lines."
    )
    header: bool = Field(True, description="Whether the first row of a text file names the columns.")
    names: list[str] = Field([], description="The columns' names, in order, for a file without a header.")
    delimiter: str | None = Field(None, description="One character; comma, tab and semicolon are found out.")
    encoding: str = Field("utf-8", description="Of text files.")
    nulls: list[str] = Field([], description="What stands for no value in a text file, such as NA.")


class ColumnRule(_Strict):
    """One column of a node or edge type; just the kind where the file's column has the same name."""

    kind: Kind = Field(description="What the values are.")
    source: str | None = Field(None, alias="from", description="The file's column, where its name differs.")
    sql: str | None = Field(None, description="An expression over the file's columns instead.")
    role: Role = Field("feature", description="feature, label (an answer) or reference (kept, never an input).")
    doc: str = Field("", description="One sentence for `graphsocial info`.")
    required: bool = Field(False, description="Reject rows without a value.")
    minimum: float | None = Field(None, description="Least number allowed.")
    maximum: float | None = Field(None, description="Greatest number allowed.")
    values: list[str] = Field([], description="The categories allowed, in lower case.")


class KeyRule(_Strict):
    """An id; just the column's name where no SQL is needed."""

    sql: str = Field(description="An expression over the file's columns.")


def _as_rule(given: object) -> object:
    return {"kind": given} if isinstance(given, str) else given


def _as_file(given: object) -> object:
    return {"path": given} if isinstance(given, str) else given


Columns = dict[str, Annotated[ColumnRule, BeforeValidator(_as_rule, json_schema_input_type=Kind | ColumnRule)]]
File = Annotated[FileRule, BeforeValidator(_as_file, json_schema_input_type=str | FileRule)]
Key = str | KeyRule


class NodeRule(_Strict):
    """A node type: rows of a file, ids found in other files, or both."""

    file: str | None = Field(None, description="The raw table with one row per node.")
    id: Key | None = Field(None, description="The column with the node's id.")
    columns: Columns = Field({}, description="The node's columns.")
    time: str | None = Field(None, description="The column that says when the node came to be.")
    where: str | None = Field(None, description="SQL condition: keep only these rows.")
    distinct: bool = Field(False, description="Several rows with one id are one node, not duplicates to reject.")
    ids_from: list[str] = Field([], description="Further nodes: distinct ids from table.column.")


class EdgeRule(_Strict):
    """An edge type, written as `source relation destination`: rows of a file."""

    type: str = Field(description="Such as: user rates business.")
    file: str = Field(description="The raw table with one row per edge.")
    src: Key = Field(description="The column with the id of the source node.")
    dst: Key = Field(description="The column with the id of the destination node.")
    columns: Columns = Field({}, description="The edge's columns.")
    time: str | None = Field(None, description="The column that says when the edge came to be.")
    where: str | None = Field(None, description="SQL condition: keep only these rows.")
    distinct: bool = Field(False, description="Several rows with one pair of ends are one edge.")


class Mapping(_Strict):
    """How a set of tables becomes a graph: the file that `graphsocial ingest table` reads."""

    dataset: str = Field(min_length=1, description="The dataset's name in the store.")
    root: str | None = Field(
        None, description="The data's folder, relative to this file; ${NAME} is the environment's."
    )
    files: dict[str, File] = Field(min_length=1, description="The raw tables by name.")
    nodes: dict[str, NodeRule] = Field(min_length=1, description="The node types by name.")
    edges: list[EdgeRule] = Field([], description="The edge types.")


def read_mapping(path: Path | str) -> Mapping:
    """Read and check a mapping file.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is not YAML, or not a mapping; names the place and what is allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"There is no mapping '{path}'; this source reads a YAML file.")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict):
        raise InputError(f"'{path}' must have the keys {', '.join(Mapping.model_fields)}.")
    try:
        return Mapping.model_validate(given)
    except ValidationError as error:
        first = min(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")  # a misspelt key, most likely
        raise InputError(f"{path}: {_told(first['loc'], first['type'], first['msg'])}") from error


def _told(where: tuple[int | str, ...], kind: str, message: str) -> str:
    """One pydantic error as a sentence."""
    steps = [str(step) for step in where if step not in ("str", "KeyRule")]
    if kind == "extra_forbidden":
        owner = ".".join(steps[:-1]) or "the mapping"
        return str(UnknownNameError.of(f"key of {owner}", steps[-1], _keys(where)))
    return f"{'.'.join(steps)}: {message[0].lower()}{message[1:]}."


def _keys(where: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed at the place of an unknown one."""
    model: type[BaseModel] = Mapping
    if len(where) > 1:
        rules: dict[str, type[BaseModel]] = {"files": FileRule, "nodes": NodeRule, "edges": EdgeRule}
        model = rules[str(where[0])]
        if "columns" in where[:-1]:
            model = ColumnRule
        elif where[-2] == "KeyRule":
            model = KeyRule
    return [rule.alias or name for name, rule in model.model_fields.items()]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the mapping; `schemas/datasets/table.schema.json` is this, for editors that complete YAML."""
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "table.schema.json"}
    return {**described, **Mapping.model_json_schema()}
