"""The context of posts: the form and emotion of their content, and their neighbors' earlier posts and shares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from graphsocial.errors import DataError, InputError
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.store.time import exists_from
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType, Role

SPANS = ("7 days", "30 days", "1000 days")
MARKS = {"exclamations": "!", "questions": "?", "hashtags": "#", "mentions": "@", "links": "http"}
SHARPNESS = 20
"""The weight of a similar post is e^(20 (cosine - 1)): a third at 0.95, almost nothing at 0.7."""
EMOTIONS = ("text_emotion", "image_emotion")
"""The emotion of the text, 1 to 5, and of the image, 0 to 1."""
_ENCODERS = dict(
    zip(EMOTIONS, (("sentiment", 2), ("faces", 12)), strict=True)
)  # encoder and position in its vector, from 1


def counted_node(schema: GraphSchema, node: str | None, column: str) -> NodeType:
    """The node type that `node` names, or the only one that has the column of counts.

    Args:
        schema: the store's schema.
        node: a node type's name, or None.
        column: the column of counts.

    Raises:
        DataError: no node type has the column, or several have it and none is named.
        InputError: the named node type lacks the column.
    """
    if node is not None:
        named = schema.node(node)
        if all(c.name != column for c in named.columns):
            names = [c.name for c in named.columns]
            raise InputError(f"'{named}' has no column '{column}'; it has {names}. Name another: --set shares=COLUMN.")
        return named
    having = [entry for entry in schema.nodes if any(c.name == column and c.kind == "integer" for c in entry.columns)]
    if not having:
        raise DataError(f"No node type has a whole-number column '{column}'. Name it: --set shares=COLUMN.")
    if len(having) > 1:
        known = ", ".join(f"'{entry}'" for entry in having)
        raise DataError(f"Several node types have a column '{column}': {known}. Say which: --set node=NAME.")
    return having[0]


@dataclass(frozen=True)
class ContextPart:
    """A part of the context of posts, and the SQL that selects it.

    Attributes:
        name: the part's name; explanations ablate a part as one.
        columns: the columns that the SQL selects beside `idx`.
        sql: an SQL select, in which `$posts` stands for the posts: a table or a select in parentheses.
        note: where the values come from, in sentences.
    """

    name: str = ""
    columns: tuple[Column, ...] = ()
    sql: str = ""
    note: str = ""

    def over(self, posts: str) -> str:
        """The SQL with `$posts` replaced by `posts`."""
        return self.sql.replace("$posts", posts)


def emotions(store: GraphStore, node: NodeType, dataset: str) -> ContextPart:
    """`text_emotion` and `image_emotion`: the columns of these names, or the newest vectors of the encoders.

    Where the data lacks a column, the text emotion is the mean grade of the encoder `sentiment` over the text columns,
    and the image emotion the maximum intensity of the encoder `faces`. Without vectors the column is left out.

    Args:
        store: the open store.
        node: the node type of the posts.
        dataset: the dataset's name.
    """
    chosen, joins, notes, columns = ["n.idx"], [], [], []
    given = {column.name for column in node.columns}
    for name, (encoder, position) in _ENCODERS.items():
        everyone = store.visible(node, dataset=dataset)
        if name in given and store.first(f"select 1 from ({everyone}) where {quote(name)} is not null limit 1"):
            chosen.append(f"n.{quote(name)}::double as {name}")
            notes.append(f"The {name.replace('_', ' ')} is the column '{name}'.")
        else:
            newest = store.first(
                "select s.set_id, s.dimension from feature_sets as s join feature_rows as r using (set_id) where "
                "s.encoder = ? and r.dataset = ? and r.table_name = ? order by s.created_at desc, s.set_id limit 1",
                [encoder, dataset, node.table],
            )
            if newest is None:
                continue
            summary = "avg" if name == "text_emotion" else "max"
            joins.append(
                f"left join (select r.idx, {summary}(v.vector[{position}])::double as {name} from feature_rows as r "
                f"join vectors_{int(newest[1])} as v using (set_id, content) where r.set_id = {literal(newest[0])} "
                f"and r.dataset = {literal(dataset)} and r.table_name = {literal(node.table)} group by r.idx) "
                f"as of_{name} on of_{name}.idx = n.idx"
            )
            chosen.append(f"of_{name}.{name}")
            notes.append(f"The {name.replace('_', ' ')} is the output of the encoder '{encoder}'.")
        columns.append(Column(name, "number", "reference"))
    return ContextPart(
        "emotion", tuple(columns), f"select {', '.join(chosen)} from $posts as n {' '.join(joins)}", " ".join(notes)
    )


def content(node: NodeType) -> ContextPart:
    """The form of each text (length, words, marks), and the hour and weekday of the post's time."""
    chosen: dict[Column, str] = {}
    for column in node.columns:
        if column.kind == "text" and column.role == "feature":
            text = quote(column.name)
            measures = {
                "length": f"length({text})",
                "words": f"length(string_split({text}, ' '))",
                **{
                    name: f"(length({text}) - length(replace({text}, '{mark}', ''))) / {len(mark)}"
                    for name, mark in MARKS.items()
                },
            }
            for name, sql in measures.items():
                chosen[Column(f"{column.name}_{name}", "number")] = f"ln(1 + {sql})"
            capitals = f"length(regexp_replace({text}, '[^A-Z]', '', 'g')) / (1 + length({text}))"
            chosen[Column(f"{column.name}_capitals", "number")] = capitals
    if node.time is not None:
        chosen[Column("hour", "category")] = f"hour({quote(node.time)})::varchar"
        chosen[Column("weekday", "category")] = f"isodow({quote(node.time)})::varchar"
    fields = "".join(f", {sql} as {quote(column.name)}" for column, sql in chosen.items())
    return ContextPart("form", tuple(chosen), f"select idx{fields} from $posts")


def liked(node: NodeType, likes: str, *, known: bool) -> ContextPart:
    """`likes`: a reference that models may read by name if likes are `known`, else a label like the shares.

    Args:
        node: the node type of the posts.
        likes: the column of likes.
        known: models may use a post's likes as an input.

    Raises:
        InputError: likes are known, and the node type lacks the column.
    """
    if not known and likes not in {column.name for column in node.columns}:
        return ContextPart()
    if likes not in {column.name for column in node.columns}:
        names = [column.name for column in node.columns]
        raise InputError(
            f"'{node}' has no column '{likes}' for likability; it has {names}. Name another: --set likes=COLUMN."
        )
    role: Role = "reference" if known else "label"
    return ContextPart(
        "likes", (Column("likes", "number", role),), f"select idx, {quote(likes)}::double as likes from $posts"
    )


def history(
    store: GraphStore, node: NodeType, dataset: str, *, label: str, hours: int, as_of: datetime | None = None
) -> list[ContextPart]:
    """Statistics of the earlier posts of each post's neighbors, such as its page or author.

    For each type of neighbor and each of `SPANS`: mean and standard deviation of log(1 + shares), and log(1 + number of
    posts); mean and number among the neighbor's posts of the same category; log(1 + number) of its posts in the last
    day, and log(1 + minutes since its last post). Shares count as known `hours` after a post, and an edge from the time
    from which it exists: one that is later than the post gives it no history. Empty where posts lack times.

    Args:
        store: the open store.
        node: the node type of the posts.
        dataset: the dataset's name.
        label: the column of shares.
        hours: hours after a post at which its shares count as known.
        as_of: only rows that existed at this time are used; None for all.
    """
    if node.time is None:
        return []
    categories = [c.name for c in node.columns if c.kind == "category" and c.role == "feature"]
    parts, names = [], set[str]()
    for edge in store.schema.edges:
        if node.name not in (edge.src, edge.dst) or edge.src == edge.dst or not len(store.span(edge, dataset)):
            continue
        post_end, neighbor_end, other = ("dst", "src", edge.src) if edge.dst == node.name else ("src", "dst", edge.dst)
        prefix = other if other not in names else f"{other}_{edge.relation}"
        names.add(prefix)
        windows, chosen = {}, {}
        for span in SPANS:
            days = span.split()[0]
            windows[f"d{days}"] = f"partition by other order by time {_frame(f'interval {span}', f'{hours} hours')}"
            chosen[f"{prefix}_mean_{days}"] = f"avg(logged) over d{days}"
            chosen[f"{prefix}_deviation_{days}"] = f"stddev_pop(logged) over d{days}"
            chosen[f"{prefix}_posts_{days}"] = f"ln(1 + count(*) over d{days})"
        for name in categories:
            by = quote(f"by_{name}")
            frame = _frame(f"interval {SPANS[-1]}", f"{hours} hours")
            windows[f"by_{name}"] = f"partition by other, {quote(name)} order by time {frame}"
            chosen[f"{prefix}_{name}_mean"] = f"avg(logged) over {by}"
            chosen[f"{prefix}_{name}_posts"] = f"ln(1 + count(*) over {by})"
        windows["day"] = f"partition by other order by time {_frame('interval 24 hours', '1 microsecond')}"
        windows["before"] = f"partition by other order by time {_frame('unbounded', '1 microsecond')}"
        chosen[f"{prefix}_day"] = "ln(1 + count(*) over day)"
        chosen[f"{prefix}_gap"] = "ln(1 + date_diff('minute', max(posted) over before, time))"
        columns = "".join(f", {quote(name)}" for name in categories)
        linked = (
            f"select e.{neighbor_end} as other, n.idx, n.{quote(node.time)} as posted, e.since, "
            f"ln(1 + n.{quote(label)}) as logged{columns} from ({_edges(store, edge, dataset, as_of)}) as e "
            f"join $posts as n on n.idx = e.{post_end} where isfinite(e.since)"
        )
        # a post that is linked later than it was posted counts from then on, and has no history by that link
        posts = (
            f"with linked as ({linked}) "
            f"select other, idx, posted as time, posted, logged{columns} from linked where since <= posted union all "
            f"select other, null, since, posted, logged{columns} from linked where since > posted"
        )
        fields = ", ".join(f"{sql} as {quote(name)}" for name, sql in chosen.items())
        window_clause = ", ".join(f"{quote(name)} as ({sql})" for name, sql in windows.items())
        means = ", ".join(f"avg({quote(name)}) as {quote(name)}" for name in chosen)  # over several neighbors of a post
        sql = (
            f"select idx, {means} from (select idx, {fields} from ({posts}) window {window_clause}) "
            "where idx is not null group by idx"
        )
        parts.append(ContextPart(prefix, tuple(Column(name, "number") for name in chosen), sql))
    return parts


def alike(
    store: GraphStore, node: NodeType, dataset: str, *, label: str, hours: int, as_of: datetime | None = None
) -> list[ContextPart]:
    """Shares of the earlier posts that are linked with a post: by similarity, a reply or a quote.

    For each edge type between posts: the mean of log(1 + shares) and log(1 + number) of the linked posts, weighted by
    similarity where the edges have it, and the maximum similarity; mean and number among those that have a neighbor in
    common with the post, such as its page. Shares count as known `hours` after a post; edges that do not exist yet at
    the post's time are not used. Empty where posts lack times.

    Args:
        store: the open store.
        node: the node type of the posts.
        dataset: the dataset's name.
        label: the column of shares.
        hours: hours after a post at which its shares count as known.
        as_of: only rows that existed at this time are used; None for all.
    """
    if node.time is None:
        return []
    time, parts = quote(node.time), list[ContextPart]()
    others = [edge for edge in store.schema.edges if len(store.span(edge, dataset))]
    for edge in others:
        if not edge.src == edge.dst == node.name:
            continue
        similar = any(column.name == "similarity" for column in edge.columns)
        weight = f"exp({SHARPNESS} * (e.similarity - 1))" if similar else "1.0"
        chosen = {"mean": "sum(weight * logged) / sum(weight)", "posts": "ln(1 + sum(weight))"}
        chosen |= {"nearest": "max(similarity)"} if similar else {}
        joins, flags = "", ""
        for number, other in enumerate(other for other in others if node.name in (other.src, other.dst)):
            if other.src == other.dst:
                continue
            post_end, neighbor_end, name = (
                ("dst", "src", other.src) if other.dst == node.name else ("src", "dst", other.dst)
            )
            ends = (
                f"select {post_end} as idx, {neighbor_end} as other, since "
                f"from ({_edges(store, other, dataset, as_of)})"
            )
            joins += (
                f" left join (select distinct p.idx, p.peer, true as shared from pairs as p join ({ends}) as a "
                f"on a.idx = p.idx and a.since <= p.time join ({ends}) as b "
                f"on b.idx = p.peer and b.other = a.other and b.since <= p.time) as n{number} "
                f"on n{number}.idx = pairs.idx and n{number}.peer = pairs.peer"
            )
            flags += f", coalesce(n{number}.shared, false) as shared{number}"
            name = name if f"{name}_mean" not in chosen else f"{name}_{other.relation}"
            only = f"filter (where shared{number})"
            chosen[f"{name}_mean"] = f"sum(weight * logged) {only} / sum(weight) {only}"
            chosen[f"{name}_posts"] = f"ln(1 + coalesce(sum(weight) {only}, 0))"
        pairs = (
            f"select e.dst as idx, e.src as peer, {weight} as weight{', e.similarity' if similar else ''}, "
            f"ln(1 + s.{quote(label)}) as logged, d.{time} as time "
            f"from ({_edges(store, edge, dataset, as_of)}) as e join $posts as s on s.idx = e.src "
            f"join $posts as d on d.idx = e.dst where s.{quote(label)} is not null "
            f"and s.{time} <= d.{time} - interval {hours} hours and e.since <= d.{time}"
        )
        named = {f"{edge.relation}_{name}": sql for name, sql in chosen.items()}
        fields = ", ".join(f"{sql} as {quote(name)}" for name, sql in named.items())
        sql = (
            f"with pairs as ({pairs}) select idx, {fields} from (select pairs.*{flags} from pairs{joins}) group by idx"
        )
        parts.append(ContextPart(edge.relation, tuple(Column(name, "number") for name in named), sql))
    return parts


def _edges(store: GraphStore, edge: EdgeType, dataset: str, as_of: datetime | None) -> str:
    """An SQL select of the visible edges, with `since`, the time from which each exists; an endpoint has a time."""
    visible = store.visible(edge, dataset=dataset, as_of=as_of)
    return f"select *, {exists_from(edge, store.schema, 'visible')} as since from ({visible}) as visible"


def _frame(start: str, end: str) -> str:
    return f"range between {start} preceding and interval {end} preceding"
