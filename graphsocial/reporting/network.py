"""The section about where in the graph the errors are: by degree, on few nodes, in communities."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.analysis import _measures as measures
from graphsocial.comparison.outcomes import Array
from graphsocial.reporting import charts
from graphsocial.reporting.page import Chart, Section
from graphsocial.reporting.subject import LEAST_ROWS, Subject, frame_of, is_order
from graphsocial.store.sql import quote
from graphsocial.types import EdgeType

BANDS = {"0": 0, "1–2": 1, "3–9": 3, "10–29": 10, "30–99": 30, "100+": 100}
SHUFFLES = 200
LEAST_NODES = 5  # below which a standard error between nodes means nothing
MOST_EDGES = 5_000_000  # of a network that communities are looked for in
MOST_COMMUNITIES = 12


def graph(subject: Subject) -> Section | None:
    """Degrees, and where in the graph the errors are; nothing where the rows' ends have no edges."""
    store, examples = subject.store, subject.examples
    spread: list[pl.DataFrame] = []
    by_degree: list[dict[str, Any]] = []
    for place, end in enumerate(dict.fromkeys(examples.ends)):
        for edge in store.schema.edges:
            if end not in (edge.src, edge.dst) or not len(store.span(edge, subject.run.dataset)):
                continue
            degree = _degrees(subject, edge, end)
            if degree["degree"].n_unique() > 1:
                spread.append(charts.survival(degree["degree"].to_numpy(), f"{end}: {edge}"))
                by_degree += _error_by_degree(subject, place, degree, f"{edge}, edges of the {end}")
    if not spread:
        return None
    parts = [
        Chart(
            "How many edges nodes have",
            charts.degrees(pl.concat(spread)),
            "Read: of the nodes of that type, the share on the vertical axis has at least so many edges of that type. "
            "A straight line is a power law.",
        ),
    ]
    if by_degree:
        parts.append(
            Chart(
                f"{subject.error.capitalize()} by degree",
                charts.ranges(frame_of(by_degree), subject.error, reference=float(subject.errors.mean())),
                "Lines are two standard errors to each side; the dashed line is the mean over all rows. All edges of "
                "the data count here, whatever their part of the split.",
            )
        )
    parts += _concentration(subject)
    parts += _communities(subject)
    return Section("Errors in the graph", "Where in the network the model is wrong.", parts)


def _degrees(subject: Subject, edge: EdgeType, end: str) -> pl.DataFrame:
    """`id`, `degree` of the dataset's nodes of one type, over one edge type, in both directions."""
    store = subject.store
    sides = [name for name, kind in (("src", edge.src), ("dst", edge.dst)) if kind == end]
    edges = store.visible(edge, dataset=subject.run.dataset, as_of=subject.run.config["as_of"])
    ends = " union all ".join(f"select {side} as node from ({edges})" for side in sides)
    nodes = store.visible(store.schema.node(end), dataset=subject.run.dataset)
    found: pl.DataFrame = store.sql(
        f"select nodes.id, count(ends.node) as degree from ({nodes}) as nodes left join ({ends}) as ends "
        "on ends.node = nodes.idx group by nodes.idx, nodes.id order by nodes.idx"
    ).pl()
    return found


def _error_by_degree(subject: Subject, place: int, degree: pl.DataFrame, by: str) -> list[dict[str, Any]]:
    ids = subject.examples.ids[place]
    found = pl.DataFrame({"id": ids}).join(degree, on="id", how="left", maintain_order="left")
    bands = np.searchsorted(list(BANDS.values()), found["degree"].fill_null(0).to_numpy(), side="right") - 1
    rows = _means(subject.errors, np.asarray(list(BANDS))[bands], list(BANDS), by, ids)
    return rows if len(rows) > 1 else []


def _means(errors: Array, group: NDArray[np.str_], order: list[str], by: str, ids: pl.Series) -> list[dict[str, Any]]:
    """Mean errors with two standard errors, which take the rows of one node together."""
    rows = []
    for name in order:
        inside = np.flatnonzero(group == name)
        if len(inside) < LEAST_ROWS or ids[inside].n_unique() < LEAST_NODES:
            continue
        mean = float(errors[inside].mean())
        sums = pl.DataFrame({"id": ids[inside], "more": errors[inside] - mean}).group_by("id").agg(pl.sum("more"))
        width = 2 * float(np.sqrt(np.square(sums["more"].to_numpy()).sum())) / len(inside)
        bounds = {"value": mean, "low": max(0.0, mean - width), "high": min(float(errors.max()), mean + width)}
        rows.append({"by": by, "group": name, **bounds, "rows": len(inside)})
    return rows


def _concentration(subject: Subject) -> list[Chart]:
    """How far errors gather on few nodes, beside what shuffling them over the rows gives; for pairs only."""
    if len(subject.examples.ends) < 2:
        return []
    frames, tenths = [], []
    for end, ids in zip(subject.examples.ends, subject.examples.ids, strict=True):
        place = ids.rank("dense").to_numpy().astype(np.int64) - 1
        found = _lorenz(subject.errors, place)
        generator = np.random.default_rng(0)
        chance = [_lorenz(generator.permutation(subject.errors), place) for _ in range(SHUFFLES)]
        low, high = np.quantile(chance, [0.025, 0.975], axis=0)
        share = np.linspace(0, 1, len(found))
        frames.append(pl.DataFrame({"ends": end, "share": share, "found": found, "low": low, "high": high}))
        tenths.append(f"{found[np.searchsorted(share, 0.1)]:.0%} are with a tenth of the {end}s")
    return [
        Chart(
            "Do errors gather on few nodes?",
            charts.concentration(pl.concat(frames)),
            f"Of all errors, {' and '.join(tenths)}. The grey bands are what dealing the same errors out at random "
            f"among the rows gives (95 % of {SHUFFLES} times): above them, some nodes are harder than others.",
        )
    ]


def _lorenz(errors: Array, place: NDArray[np.int64], points: int = 51) -> Array:
    """(points,) the share of all errors that the nodes with most errors have, by the share of the nodes."""
    each = np.sort(np.bincount(place, errors))[::-1]
    curve = np.concatenate([[0.0], each.cumsum() / max(each.sum(), 1e-12)])
    found: Array = np.interp(np.linspace(0, len(each), points), np.arange(len(curve)), curve)
    return found


def _communities(subject: Subject) -> list[Chart]:
    """Errors by community of the network that joins the rows' sources among themselves, where there is one."""
    store, end = subject.store, subject.examples.ends[0]
    for edge in store.schema.edges:
        span = store.span(edge, subject.run.dataset)
        if not (edge.src == edge.dst == end) or not 0 < len(span) <= MOST_EDGES:
            continue
        if is_order(store, edge, subject.run.dataset):
            continue
        nodes = store.span(store.schema.node(end), subject.run.dataset)
        visible = store.visible(edge, dataset=subject.run.dataset, as_of=subject.run.config["as_of"])
        links = store.sql(f"select src, dst from ({visible})").fetchnumpy()
        src, dst = (np.asarray(links[side], dtype=np.int64) - nodes.first for side in ("src", "dst"))
        part = measures.communities(measures.undirected(measures.simple(src, dst, len(nodes))), seed=0)
        ids = store.sql(
            f"select id from {quote(store.schema.node(end).table)} where idx >= ? and idx < ? order by idx",
            [nodes.first, nodes.last],
        ).pl()
        known = pl.DataFrame({"id": ids["id"], "part": np.asarray(part)})
        found = pl.DataFrame({"id": subject.examples.ids[0]}).join(known, on="id", how="left", maintain_order="left")
        sizes = found["part"].drop_nulls().value_counts(sort=True)["part"].head(MOST_COMMUNITIES).to_list()
        names = np.asarray([f"community {one}" for one in found["part"].fill_null(-1)])
        order = [f"community {one}" for one in sizes]
        rows = _means(subject.errors, names, order, f"communities of {edge}", subject.examples.ids[0])
        rows.sort(key=lambda row: row["value"])
        if len(rows) < 2:
            continue
        return [
            Chart(
                f"{subject.error.capitalize()} by community",
                charts.ranges(frame_of(rows), subject.error, reference=float(subject.errors.mean())),
                f"Communities of ‘{edge}’ (Louvain), those with most test rows, ordered by error; lines are two "
                "standard errors to each side.",
            )
        ]
    return []
