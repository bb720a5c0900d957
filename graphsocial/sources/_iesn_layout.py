"""The IESN layout as a plan: shared by the sources `iesn` and `synthetic`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import yaml

from graphsocial.errors import InputError, MissingFileError, UnknownNameError
from graphsocial.schemas import text
from graphsocial.sources._affect import comment_affect, norms_table
from graphsocial.sources.base import (
    Plan,
    RawTable,
    Rows,
    columns_from_schema,
    find_table,
    missing_table,
    require_folder,
    stored_columns,
)
from graphsocial.types import Column, EdgeType, NodeType

LABELS = ("emotions", "sentiment", "valence", "arousal", "dominance")
UNIQUE = {"users": ("user_id",), "images": ("image_id",), "groups": ("group_id",), "comments": ("comment_id",)}


def contract() -> dict[str, Any]:
    """The layout's JSON Schema: table → rule."""
    properties: dict[str, Any] = json.loads(text("datasets", "iesn.schema.json"))["properties"]
    return properties


def plan_iesn(
    path: Path | str,
    *,
    dataset: str | None = None,
    labels: Literal["given", "comments"] = "given",
    norms: Path | None = None,
    map: Path | None = None,
) -> Plan:
    """The tables of the layout among the files of a folder, and the rows that they become.

    Args:
        path: the folder.
        dataset: the dataset's name; the folder's by default.
        labels: `given` in the label table, or derived from the words of the `comments`.
        norms: the file of word norms, for labels from comments.
        map: a YAML file with other file and column names.

    Raises:
        MissingFileError: a required table has no file, or the norms are missing.
        InputError: the mapping names a table or column that the layout does not have.
    """
    root = require_folder(path).resolve()
    rules = contract()
    mapping = _mapping(map, rules)
    tables = {name: _table(root, name, rule, mapping.get(name, {})) for name, rule in rules.items()}
    present = {name: table for name, table in tables.items() if table.files}
    for name, rule in rules.items():
        if rule["x-required"] and name not in present:
            raise missing_table(root, name, "Other file names go into a mapping (--map FILE.yaml).")
    derived: tuple[tuple[str, str], ...] = ()
    if labels == "comments":
        if "comments" not in present:
            raise MissingFileError(f"'{root}' has no table 'comments', which labels=comments reads.")
        present["norms"] = norms_table(norms)
        derived = (("comment_affect", comment_affect()),)
    rows = _rows(rules, set(present), from_comments=labels == "comments")
    return Plan(tuple(present.values()), rows, root, dataset or root.name, derived)


def _table(root: Path, name: str, rule: dict[str, Any], given: dict[str, Any]) -> RawTable:
    pattern = given.get("file", name)
    files = find_table(root, pattern)
    if not files and "file" in given:
        files = tuple(sorted(file for file in root.glob(pattern) if file.is_file()))
        if not files:
            raise MissingFileError(
                f"The mapping declares '{pattern}' for table '{name}', but '{root}' has no such file."
            )
    return RawTable(
        name,
        files,
        columns_from_schema(rule["items"], given.get("columns")),
        delimiter=given.get("delimiter"),
        encoding=given.get("encoding", "utf-8"),
        required=rule["x-required"],
        unique=UNIQUE.get(name, ()),
    )


def _mapping(path: Path | None, rules: dict[str, Any]) -> dict[str, Any]:
    """The tables of a `--map` file, checked against the layout."""
    if path is None:
        return {}
    if not Path(path).is_file():
        raise MissingFileError(f"There is no mapping '{path}'.")
    try:
        given = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is not YAML: {error}") from error
    if not isinstance(given, dict):
        raise InputError(f"'{path}' must be a mapping of tables, such as `users: {{file: people.csv}}`.")
    for table, entry in given.items():
        if table not in rules:
            raise InputError(f"{path}: {UnknownNameError.of('table of the IESN layout', str(table), rules)}")
        if not isinstance(entry, dict):
            raise InputError(f"{path}: '{table}' must be a mapping with file, columns, encoding or delimiter.")
        keys = ("file", "columns", "encoding", "delimiter")
        for key, value in entry.items():
            if key not in keys:
                raise InputError(f"{path}: {UnknownNameError.of(f'setting of table {table}', str(key), keys)}")
            if not isinstance(value, dict if key == "columns" else str):
                kind = "a mapping of our column names to yours" if key == "columns" else "text"
                raise InputError(f"{path}: '{key}' of table '{table}' must be {kind}, not {value!r}.")
        for column in entry.get("columns", {}):
            columns = rules[table]["items"]["properties"]
            if column not in columns:
                raise InputError(f"{path}: {UnknownNameError.of(f'column of table {table}', str(column), columns)}")
    return given


def _rows(rules: dict[str, Any], tables: set[str], *, from_comments: bool) -> tuple[Rows, ...]:
    def stored(table: str, *leave_out: str) -> tuple[Column, ...]:
        return stored_columns(rules[table]["items"], leave_out=leave_out)

    def same(columns: tuple[Column, ...], table: str) -> dict[str, str]:
        return {column.name: f"{table}.{column.name}" for column in columns}

    user = NodeType("user", stored("users", "user_id"))
    image = NodeType("image", stored("images", "image_id", "owner_id"))
    group = NodeType("group", stored("groups", "group_id"))
    comment = Column("comment", "text", doc="What the viewer wrote; label-bearing, so hidden wherever the label is.")
    views = EdgeType(
        "user", "views", "image", (*stored("labels", "viewer_id", "image_id"), comment), time="labelled_at"
    )
    rows = [
        Rows(user, "users", {"id": "user_id"}, same(user.columns, "users")),
        Rows(image, "images", {"id": "image_id"}, same(image.columns, "images")),
        Rows(
            EdgeType("user", "posts", "image"),
            "images",
            {"src": "owner_id", "dst": "image_id"},
            where="owner_id is not null",
        ),
    ]
    if "groups" in tables:
        rows.append(Rows(group, "groups", {"id": "group_id"}, same(group.columns, "groups")))
    elif "memberships" in tables:
        rows.append(Rows(group, "memberships", {"id": "group_id"}, distinct=True))
    if "contacts" in tables:
        connects = EdgeType("user", "connects", "user")
        rows.append(Rows(connects, "contacts", {"src": "user_id", "dst": "contact_id"}))
    if "memberships" in tables:
        rows.append(Rows(EdgeType("user", "joins", "group"), "memberships", {"src": "user_id", "dst": "group_id"}))
    labelled = Rows(
        views, "labels", {"src": "labels.viewer_id", "dst": "labels.image_id"}, same(views.columns, "labels")
    )
    columns = {**labelled.columns, "comment": "null"}
    joins = ""
    if "comments" in tables:
        joins = "left join comments on comments.comment_id = labels.comment_id"
        columns["comment"] = "comments.text"
    if from_comments:
        joins += " left join comment_affect on comment_affect.comment_id = labels.comment_id"
        columns |= {name: f"comment_affect.{name}" for name in LABELS}
    return (*rows, replace(labelled, columns=columns, joins=joins))
