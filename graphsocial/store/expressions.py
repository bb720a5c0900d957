"""SQL expressions that someone else wrote, such as those of a mapping: each gives one value a row, and does no more."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import duckdb

from graphsocial.errors import InputError

CLOCK = ("current_date", "error", "get_current_time", "get_current_timestamp", "now", "random", "today", "uuid")
"""Functions that may be used although they do not give the same for the same arguments."""
RELATIONS = ("EMPTY", "BASE_TABLE", "JOIN", "SUBQUERY", "EXPRESSION_LIST")


def check_expression(sql: str, tables: Collection[str], where: str) -> None:
    """Check that a text is exactly one expression whose value belongs to one row.

    It may have windows, which keep the number of rows, and subqueries, as values, over the tables that are named; no
    functions that read files or settings, and no aggregates or `unnest` of its own.

    Args:
        sql: the expression.
        tables: the tables that subqueries may read.
        where: where the expression stands, for the error.

    Raises:
        InputError: it is something else; says what.
    """
    refuse = Refusal(sql, where)
    if not sql.strip():
        raise refuse.because("it is empty")
    try:
        ((text,),) = _connection().cursor().execute("select json_serialize_sql(?)", [f"select ({sql}\n)"]).fetchall()
    except duckdb.Error as error:
        raise refuse.because(str(error).splitlines()[0]) from error
    parsed = json.loads(text)
    if parsed.get("error"):
        raise refuse.because(str(parsed.get("error_message") or "it does not parse").splitlines()[0])
    (statement,) = parsed["statements"]  # json_serialize_sql takes `;` for an error within parentheses
    node = statement["node"]
    parts = (node.get(name) for name in ("where_clause", "having", "qualify", "sample"))
    if node["type"] != "SELECT_NODE" or len(node["select_list"]) != 1 or node["from_table"]["type"] != "EMPTY":
        raise refuse.because("it is more than one expression")
    if any(parts) or node["group_expressions"] or node["modifiers"] or node["cte_map"]["map"]:
        raise refuse.because("it is more than one expression")
    _check(node["select_list"][0], {table.lower() for table in tables}, refuse, inside=False)


class Refusal:
    """The error of one expression."""

    def __init__(self, sql: str, where: str) -> None:
        self.sql, self.where = sql, where

    def because(self, reason: str) -> InputError:
        """The error with its reason."""
        return InputError(
            f"{self.where}: the SQL '{' '.join(self.sql.split())[:200]}' cannot be used: {reason}. It must be one "
            "expression over the columns of one row, such as: upper(name); subqueries may read the mapping's files."
        )


def _check(tree: Any, tables: Collection[str], refuse: Refusal, *, inside: bool) -> None:
    """Check every node of a parsed expression; `inside` a subquery, aggregates are allowed."""
    for node in _nodes(tree):
        kind = str(node.get("class") or node.get("type"))
        inside_query = inside or "select_list" in node or node.get("type") == "SET_OPERATION_NODE"
        if "CTE_NODE" in str(node.get("type")) or node.get("cte_map", {}).get("map"):
            raise refuse.because("it has a `with`")
        if kind == "WINDOW" and len(node["qualified_name"]["path"]) > 1:
            raise refuse.because(f"{node['function_name']}() is named with a schema")
        if kind == "STAR" and not inside_query:
            raise refuse.because("* and columns() are several values")
        if kind in ("PARAMETER", "POSITIONAL_REFERENCE"):
            raise refuse.because("it has a parameter")
        if kind == "FUNCTION":
            _check_function(node, refuse, inside=inside_query)
        if kind == "TABLE_FUNCTION":
            raise refuse.because(f"{node['function']['function_name']}() reads other things than the mapping's files")
        if kind == "BASE_TABLE":
            named = node["qualified_name"]["path"]
            if len(named) != 1 or str(named[0]).lower() not in tables:
                raise refuse.because(f"'{'.'.join(map(str, named))}' is none of the mapping's files")
        elif "sample" in node and "alias" in node and kind not in RELATIONS:
            raise refuse.because(f"it reads from a {kind.lower().replace('_', ' ')}")
        for value in node.values():
            _check(value, tables, refuse, inside=inside_query)


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    """The outermost nodes in a value of the parsed JSON."""
    if isinstance(tree, Mapping):
        yield tree
    elif isinstance(tree, list):
        for entry in tree:
            yield from _nodes(entry)


def _check_function(node: Mapping[str, Any], refuse: Refusal, *, inside: bool) -> None:
    name = str(node["function_name"]).lower()
    if len(node["qualified_name"]["path"]) > 1:
        raise refuse.because(f"{name}() is named with a schema")
    if name == "unnest" and not inside:
        raise refuse.because("unnest() changes the number of rows")
    if node["is_operator"] or name in ("unnest", "struct_pack", "row"):
        return
    kinds = _functions().get(name)
    if kinds is None:
        close = get_close_matches(name, _functions(), n=1)
        raise refuse.because(f"there is no function {name}()" + f"; did you mean {close[0]}()?" * bool(close))
    if not kinds & {"scalar", "macro"} and not (inside and "aggregate" in kinds):
        several = "aggregate" in kinds
        raise refuse.because(f"{name}() {'reads other rows' if several else 'gives no value of a row'}")
    if "unsteady" in kinds and name not in CLOCK:
        raise refuse.because(f"{name}() reads or changes more than the row")


@lru_cache(maxsize=1)
def _functions() -> dict[str, set[str]]:
    """DuckDB's own functions by name: their kinds, and whether they are unsteady."""
    functions: dict[str, set[str]] = {}
    rows = _connection().cursor().execute("select function_name, function_type, stability from duckdb_functions()")
    for name, kind, stability in rows.fetchall():
        kinds = functions.setdefault(name.lower(), set())
        kinds.add(kind)
        if kind == "scalar" and stability not in (None, "CONSISTENT"):
            kinds.add("unsteady")
    return functions


@lru_cache(maxsize=1)
def _connection() -> duckdb.DuckDBPyConnection:
    """A connection that only parses."""
    connection = duckdb.connect()
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection
