"""What is known of posts: which node type they are, and what their texts and images seem to feel."""

from __future__ import annotations

from dataclasses import dataclass

from graphsocial.errors import DataError, InputError
from graphsocial.store import GraphStore, literal, quote
from graphsocial.types import Column, GraphSchema, Kind, NodeType

EMOTIONS = ("text", "image")
"""Text emotion, 1 to 5, and image emotion, 0 to 1."""
_ENCODERS = {"text": ("sentiment", 2), "image": ("faces", 12)}  # the encoder, and which of its numbers (from 1)


def counted_node(schema: GraphSchema, node: str | None, column: str) -> NodeType:
    """The node type that `node` names, or the only one that has the column of counts.

    Raises:
        DataError: no node type has the column, or several have and none was named.
        InputError: the named one has not.
    """
    if node is not None:
        found = schema.node(node)
        if all(c.name != column for c in found.columns):
            names = [c.name for c in found.columns]
            raise InputError(f"'{found}' has no column '{column}'; it has {names}. Name another: --set shares=COLUMN.")
        return found
    having = [entry for entry in schema.nodes if any(c.name == column and c.kind == "integer" for c in entry.columns)]
    if not having:
        raise DataError(f"No node type has a whole-number column '{column}'. Name it: --set shares=COLUMN.")
    if len(having) > 1:
        known = ", ".join(f"'{entry}'" for entry in having)
        raise DataError(f"Several node types have a column '{column}': {known}. Say which: --set node=NAME.")
    return having[0]


@dataclass(frozen=True)
class Emotions:
    """SQL of `idx` and those of `text` and `image` that are known; where they come from, in words."""

    sql: str
    found: tuple[str, ...]
    notes: tuple[str, ...]


def emotions(store: GraphStore, node: NodeType, dataset: str) -> Emotions:
    """Text and image emotion of every node: the columns `text_emotion` and `image_emotion` where the data has them,
    else what the featurizers `sentiment` (the mean grade over the text columns) and `faces` (the greatest intensity)
    made of its columns, where they were run.
    """
    columns = {column.name for column in node.columns}
    everyone = store.visible(node, dataset=dataset)
    chosen, joins, found, notes = ["n.idx"], [], [], []
    for name, (encoder, place) in _ENCODERS.items():
        given = f"{name}_emotion"
        if given in columns and store.first(f"select 1 from ({everyone}) where {quote(given)} is not null limit 1"):
            chosen.append(f"n.{quote(given)}::double as {name}")
            notes.append(f"{name.capitalize()} emotion: the column '{given}'.")
        else:
            sets = store.sql(
                "select distinct s.set_id, s.dimension from feature_sets as s join feature_rows as r using (set_id) "
                "where s.encoder = ? and r.dataset = ? and r.table_name = ? order by s.set_id",
                [encoder, dataset, node.table],
            ).fetchall()
            if not sets:
                continue
            set_id, dimension = sets[-1]
            of = "avg" if name == "text" else "max"
            joins.append(
                f"left join (select r.idx, {of}(v.vector[{place}])::double as {name} from feature_rows as r "
                f"join vectors_{int(dimension)} as v using (set_id, content) where r.set_id = {literal(set_id)} "
                f"and r.dataset = {literal(dataset)} and r.table_name = {literal(node.table)} group by r.idx) "
                f"as {name}_scores on {name}_scores.idx = n.idx"
            )
            chosen.append(f"{name}_scores.{name}")
            notes.append(f"{name.capitalize()} emotion: the encoder '{encoder}'.")
        found.append(name)
    return Emotions(f"select {', '.join(chosen)} from ({everyone}) as n {' '.join(joins)}", tuple(found), tuple(notes))


SPANS = ("7 days", "30 days", "1000 days")
MARKS = {"exclamations": "!", "questions": "?", "hashtags": "#", "mentions": "@", "links": "http"}


@dataclass(frozen=True)
class Context:
    """SQL of `idx` and one column for each of `columns`, over all nodes of a type."""

    sql: str
    columns: tuple[Column, ...]


def content(store: GraphStore, node: NodeType, dataset: str) -> Context:
    """What a text looks like from outside (length, words, marks) and the hour and weekday of the post's time."""
    chosen, columns = [], []

    def add(name: str, sql: str, kind: Kind = "number") -> None:
        chosen.append(f"{sql} as {quote(name)}")
        columns.append(Column(name, kind))

    for column in node.columns:
        if column.kind == "text" and column.role == "feature":
            text = quote(column.name)
            add(f"{column.name}_length", f"ln(1 + length({text}))")
            add(f"{column.name}_words", f"ln(1 + length(string_split({text}, ' ')))")
            add(f"{column.name}_capitals", f"length(regexp_replace({text}, '[^A-Z]', '', 'g')) / (1 + length({text}))")
            for name, mark in MARKS.items():
                found = f"(length({text}) - length(replace({text}, '{mark}', ''))) / {len(mark)}"
                add(f"{column.name}_{name}", f"ln(1 + {found})")
    if node.time is not None:
        add("hour", f"hour({quote(node.time)})::varchar", "category")
        add("weekday", f"isodow({quote(node.time)})::varchar", "category")
    fields = "".join(f", {sql}" for sql in chosen)
    return Context(f"select idx{fields} from ({store.visible(node, dataset=dataset)})", tuple(columns))


def history(store: GraphStore, node: NodeType, dataset: str, *, label: str, hours: int) -> Context | None:
    """What each post's page, author or other neighbour had published before, and how it was shared: as of `hours`
    before the post, by when the shares of those posts are taken to be known.

    For each type of neighbour and each of `SPANS`: mean and deviation of log(1 + shares) and the log of the number of
    posts; the mean once more among the neighbour's posts of the same category; how many posts the neighbour had in the
    last day (these are seen without their shares), and how long ago the last one was. None where posts have no time.
    """
    if node.time is None:
        return None
    categories = [c.name for c in node.columns if c.kind == "category" and c.role == "feature"]
    parts, columns = [], list[Column]()
    for edge in store.schema.edges:
        here = "dst" if edge.dst == node.name else "src"
        there = edge.src if here == "dst" else edge.dst
        if node.name not in (edge.src, edge.dst) or edge.src == edge.dst or not len(store.span(edge, dataset)):
            continue
        known = {c.name for c in columns}
        prefix = there if f"{there}_gap" not in known else f"{there}_{edge.relation}"
        other = "src" if here == "dst" else "dst"
        windows, chosen = {}, {}
        for number, span in enumerate(SPANS):
            days = span.split()[0]
            windows[f"w{number}"] = f"partition by other order by time {_frame(span, f'{hours} hours')}"
            chosen[f"{prefix}_mean_{days}"] = f"avg(logged) over w{number}"
            chosen[f"{prefix}_deviation_{days}"] = f"stddev_pop(logged) over w{number}"
            chosen[f"{prefix}_posts_{days}"] = f"ln(1 + count(*) over w{number})"
        for name in categories:
            key = quote(name)
            windows[f"by_{name}"] = f"partition by other, {key} order by time {_frame(SPANS[-1], f'{hours} hours')}"
            chosen[f"{prefix}_{name}_mean"] = f"avg(logged) over {quote(f'by_{name}')}"
            chosen[f"{prefix}_{name}_posts"] = f"ln(1 + count(*) over {quote(f'by_{name}')})"
        windows["day"] = f"partition by other order by time {_frame('24 hours', '1 microsecond')}"
        windows["before"] = "partition by other order by time range between unbounded preceding and " \
            "interval 1 microsecond preceding"
        chosen[f"{prefix}_day"] = "ln(1 + count(*) over day)"
        chosen[f"{prefix}_gap"] = "ln(1 + date_diff('minute', max(time) over before, time))"
        fields = ", ".join(f"{sql} as {quote(name)}" for name, sql in chosen.items())
        named = ", ".join(f"{quote(name)} as ({sql})" for name, sql in windows.items())
        posts = (
            f"select e.{other} as other, n.idx, n.{quote(node.time)} as time, ln(1 + n.{quote(label)}) as logged"
            + "".join(f", n.{quote(name)}" for name in categories)
            + f" from ({store.visible(edge, dataset=dataset)}) as e "
            f"join ({store.visible(node, dataset=dataset)}) as n on n.idx = e.{here} where n.{quote(node.time)} is not null"
        )
        means = ", ".join(f"avg({quote(name)}) as {quote(name)}" for name in chosen)
        parts.append(f"(select idx, {means} from (select idx, {fields} from ({posts}) window {named}) group by idx)")
        columns += [Column(name, "number") for name in chosen]
    if not parts:
        return None
    joined = "".join(f" left join {part} as p{number} using (idx)" for number, part in enumerate(parts))
    names = ", ".join(quote(column.name) for column in columns)
    return Context(f"select idx, {names} from ({store.visible(node, dataset=dataset)}) as n{joined}", tuple(columns))


def _frame(start: str, end: str) -> str:
    return f"range between interval {start} preceding and interval {end} preceding"
