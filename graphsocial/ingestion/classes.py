"""The classes of labels: words for "no answer" are none, and classes that are written in two ways get a note."""

from __future__ import annotations

import duckdb

from graphsocial.sources.base import RawColumn, RawTable
from graphsocial.store.sql import literal

SHOWN = 5  # words or classes in a note


def without_no_answers(column: RawColumn, value: str) -> str:
    """SQL of a label's value, null where it is a word for "no answer"."""
    return f"case when not {_is_none(column, value)} then {value} end" if column.no_answer else value


def notes(connection: duckdb.DuckDBPyConnection, table: RawTable, staged: str) -> list[str]:
    """Sentences about the labels of a staged table.

    Args:
        connection: the store's.
        table: the raw table.
        staged: the temporary table with its columns as `c0`, `c1`, …, and `reason`.
    """
    found = []
    for number, column in enumerate(table.columns):
        if not column.classes:
            continue
        value, name = f"c{number}", column.source_name
        rows = f"from {staged} where reason is null and {value} is not null"
        if column.no_answer:
            words = connection.execute(
                f"select {value}, count(*) as n {rows} and {_is_none(column, value)} group by 1 order by n desc, 1"
            ).fetchall()
            if words:
                shown = ", ".join(f"'{word}' ({count:,})" for word, count in words[:SHOWN])
                found.append(
                    f"{sum(count for _, count in words):,} values of '{name}' are no answers, so missing labels: "
                    f"{shown}{', …' if len(words) > SHOWN else ''}. To keep such words as classes: `no_answer: []`."
                )
        same = f"coalesce(try_cast({value} as double)::varchar, lower({value}))"
        answers = f"{rows} and not {_is_none(column, value)}" if column.no_answer else rows
        alike = connection.execute(
            f"select list(distinct {value} order by {value}) as ways {answers} group by {same} "
            f"having count(distinct {value}) > 1 order by ways limit {SHOWN}"
        ).fetchall()
        for (ways,) in alike:
            found.append(f"'{name}' has classes that differ in spelling only: {', '.join(map(repr, ways[:SHOWN]))}.")
    return found


def _is_none(column: RawColumn, value: str) -> str:
    return f"coalesce(lower({value}) in ({', '.join(map(literal, column.no_answer))}), false)"
