"""Dialogues: segments in order with their speaker, what they reply to, emotion and sentiment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.schemas import text
from graphsocial.sources._mapping import DialogueMapping, KeyRule, SegmentRule, folder_of, raw_table, read_mapping
from graphsocial.sources.base import (
    Plan,
    RawColumn,
    RawTable,
    Rows,
    columns_from_schema,
    find_table,
    missing_table,
    require_folder,
    stored_columns,
)
from graphsocial.store.sql import ROW_NUMBER, literal, quote
from graphsocial.types import EdgeType, NodeType

TIME = "said_at"


@dataclass(frozen=True)
class Dialogue:
    """Reads a folder in the layout of `schemas/datasets/dialogue.schema.json`, or the files that a YAML mapping names.

        dataset: talks
        root: ${DATA}/talks
        files: {talks: talks.csv}
        segments:
          - file: talks
            columns: {dialogue: talk, turn: number, speaker: who, text: words, emotion: {sql: "lower(felt)"}}

    Node types `segment` and `user`; edges `user speaks segment`, `segment next segment` (each to the one after it in
    its dialogue) and `segment replies segment` (from a reply to what it replies to).

    Attributes:
        replies: `turns`: a segment without `reply_to` replies to the last segment of another speaker in its dialogue,
            where both speakers are known; `given`: only `reply_to` counts.
        speakers: `shared`: a name is one user in all dialogues; `per_dialogue`: a name such as A is another
            user in each dialogue.
        root: the data's folder, instead of the one in the mapping.
    """

    replies: Literal["turns", "given"] = "turns"
    speakers: Literal["shared", "per_dialogue"] = "shared"
    root: Path | None = None

    def plan(self, path: Path, *, dataset: str | None = None) -> Plan:
        """The tables among the files under `path`, and the rows that they become; reads no rows.

        Raises:
            MissingFileError: a file or folder does not exist.
            InputError: the mapping is not one, or names a column that the layout does not have.
        """
        tables, root, name = self._mapped(Path(path)) if Path(path).is_file() else self._folder(Path(path))
        parts = {table.name: {column.name for column in table.columns} for table in tables if table.columns}
        return Plan(tables, tuple(self._rows(parts)), root, dataset or name, (("turns", self._turns(parts)),))

    def _folder(self, path: Path) -> tuple[tuple[RawTable, ...], Path, str]:
        root = require_folder(path).resolve()
        files = find_table(root, "segments")
        if not files:
            raise missing_table(root, "segments", "Files of other names and columns are read by a YAML mapping.")
        return (RawTable("segments", files, columns_from_schema(_contract())),), root, root.name

    def _mapped(self, path: Path) -> tuple[tuple[RawTable, ...], Path, str]:
        mapping = read_mapping(path, DialogueMapping)
        root = folder_of(mapping.root, path, self.root)
        columns: dict[str, tuple[RawColumn, ...]] = {}
        for number, rule in enumerate(mapping.segments):
            if rule.file not in mapping.files:
                wrong = UnknownNameError.of("file", rule.file, mapping.files)
                raise InputError(f"{path}: segments.{number}: {wrong}")
            if rule.file in columns:
                raise InputError(f"{path}: segments.{number}: the file '{rule.file}' is read already; name it once.")
            columns[rule.file] = _columns(f"{path}: segments.{number}", rule)
        tables = tuple(
            raw_table(name, rule, columns.get(name, ()), root, path, tables=mapping.files)
            for name, rule in mapping.files.items()
        )
        return tables, root, mapping.dataset

    def _turns(self, parts: dict[str, set[str]]) -> str:
        """SQL: each segment's id, speaker and time, and the ids of the one after it and of the one that it replies to.

        Segments of one turn, such as messages of one minute, are in the order of the file and have ids of their own:
        `talk/7`, `talk/7#2`. A row with the id of an earlier one, or equal to it, is kept, to be rejected as a node; it
        takes no part in the order.
        """
        user = "speaker" if self.speakers == "shared" else "dialogue || '/' || speaker"
        turn = "case when turn = trunc(turn) then turn::bigint::varchar else turn::varchar end"
        rows = " union all ".join(
            f"select {number} as part, {literal(name)} as file, {ROW_NUMBER}, {_needed(columns)} from {quote(name)}"
            for number, (name, columns) in enumerate(parts.items())
        )
        replied_to = "reply_to"
        if self.replies == "turns":  # the one before the run of one speaker's segments that this one is in
            replied_to = "coalesce(reply_to, first_value(before) over (partition by dialogue, run order by position))"
        return f"""
            with
            given as (
                select *, min((part, {ROW_NUMBER})) over (partition by dialogue, turn, speaker, text) as first_said
                from ({rows})
            ),
            tied as (
                select *, dense_rank() over (partition by dialogue, turn order by first_said) as tie from given
            ),
            named as (
                select
                    *,
                    coalesce(segment_id, dialogue || '/' || {turn} || case when tie > 1 then '#' || tie else '' end)
                        as id,
                    {user} as user
                from tied
            ),
            rows as (
                select
                    *,
                    row_number() over (partition by id order by part, {ROW_NUMBER}) > 1 as repeats,
                    row_number() over (partition by dialogue order by turn, part, {ROW_NUMBER}) as position
                from named
            ),
            neighbors as (
                select
                    *,
                    case when user is not null and lag(user) over spoken is not null then lag(id) over spoken end
                        as before,
                    lead(id) over spoken as after,
                    lead({TIME}) over spoken as after_at,
                    user is not distinct from lag(user) over spoken as goes_on
                from rows
                where not repeats
                window spoken as (partition by dialogue order by position)
            ),
            runs as (
                select
                    *,
                    sum((not goes_on)::int) over (
                        partition by dialogue order by position rows between unbounded preceding and current row
                    ) as run
                from neighbors
            )
            select file, {ROW_NUMBER}, id, user, {TIME}, after, after_at, {replied_to} as replied_to
            from runs
            union all
            select file, {ROW_NUMBER}, id, null, {TIME}, null, null, null
            from rows
            where repeats
        """

    def _rows(self, parts: dict[str, set[str]]) -> Iterator[Rows]:
        segment = NodeType("segment", stored_columns(_contract(), leave_out=("segment_id",)), time=TIME)
        (time,) = (column for column in segment.columns if column.name == TIME)
        user = NodeType("user")
        speaks, following, replies = (
            EdgeType(*names, (time,), time=TIME)
            for names in (
                ("user", "speaks", "segment"),
                ("segment", "next", "segment"),
                ("segment", "replies", "segment"),
            )
        )
        for part, names in parts.items():
            name = quote(part)
            joins = f"join turns on turns.file = {literal(part)} and turns.{ROW_NUMBER} = {name}.{ROW_NUMBER}"
            columns = {
                column.name: f"{name}.{quote(column.name)}" for column in segment.columns if column.name in names
            }
            time_of = {TIME: f"turns.{TIME}"}
            yield Rows(segment, part, {"id": "turns.id"}, columns, joins)
            yield Rows(user, part, {"id": "turns.user"}, joins=joins, where="turns.user is not null", distinct=True)
            yield Rows(
                speaks, part, {"src": "turns.user", "dst": "turns.id"}, time_of, joins, where="turns.user is not null"
            )
            yield Rows(
                following,
                part,
                {"src": "turns.id", "dst": "turns.after"},
                {TIME: "turns.after_at"},
                joins,
                where="turns.after is not null",
            )
            yield Rows(
                replies,
                part,
                {"src": "turns.id", "dst": "turns.replied_to"},
                time_of,
                joins,
                where="turns.replied_to is not null",
            )


def _contract() -> dict[str, Any]:
    """The JSON Schema of one segment."""
    items: dict[str, Any] = json.loads(text("datasets", "dialogue.schema.json"))["properties"]["segments"]["items"]
    return items


def _needed(columns: set[str]) -> str:
    """SQL: the columns that say who spoke when, null where a file does not have them."""
    kinds = {"segment_id": "varchar", "dialogue": "varchar", "turn": "double", "speaker": "varchar", "text": "varchar"}
    kinds |= {"reply_to": "varchar", TIME: "timestamptz"}
    return ", ".join(name if name in columns else f"null::{kind} as {name}" for name, kind in kinds.items())


def _columns(where: str, rule: SegmentRule) -> tuple[RawColumn, ...]:
    """The contract's columns as a mapping's rule reads them; `where` in the mapping it stands is for messages."""
    schema = _contract()
    for name in rule.columns:
        if name not in schema["properties"]:
            raise InputError(f"{where}: {UnknownNameError.of('column of a segment', name, schema['properties'])}")
    missing = [name for name in schema["required"] if name not in rule.columns]
    if missing:
        raise InputError(f"{where}: columns needs '{missing[0]}': {schema['properties'][missing[0]]['description']}")
    columns = []
    for column in columns_from_schema(schema):
        given = rule.columns.get(column.name)
        if isinstance(given, KeyRule):
            columns.append(replace(column, sql=given.sql))
        elif given is not None:
            columns.append(replace(column, header=given, must_exist=True))
    return tuple(columns)
