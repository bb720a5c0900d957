"""Columns whose kind or role a dataset declares in another way than before, and the runs made before."""

from __future__ import annotations

from graphsocial.store import GraphStore
from graphsocial.types import GraphSchema


def note_changes(store: GraphStore, before: GraphSchema, dataset: str) -> list[str]:
    """Note on the dataset's runs which columns have changed since; returns a sentence for each column.

    Args:
        store: open for writing, with the types as they are declared now.
        before: the types as they were.
        dataset: the dataset's name.
    """
    after = {entry.table: {column.name: column for column in entry.columns} for entry in store.schema.types}
    sentences = []
    for entry in before.types:
        for column in entry.columns:
            now = after[entry.table].get(column.name)
            if now is None or (now.kind, now.role) == (column.kind, column.role):
                continue
            change = f"'{column.name}' of '{entry}' was {column.kind} ({column.role}), is {now.kind} ({now.role})"
            updated = store.connection.execute(
                "update runs set notes = to_json(list_append(notes::varchar[], ?)) where dataset = ?", [change, dataset]
            ).fetchone()
            count = int(updated[0]) if updated else 0
            sentences.append(f"The column {change} now{f'; {count:,} runs made before say so' if count else ''}.")
    return sentences
