"""Which rows a score hides: by how well training knew their ends, by class, and by groups of people or things."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.comparison.bootstrap import Part, Resamples
from graphsocial.comparison.outcomes import ClassOutcomes, Examples, Outcomes, is_classes
from graphsocial.errors import InputError
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote

DEGREES = {"0": 0, "1–2": 1, "3–9": 3, "10+": 10}  # label → the least degree
SMALL = 30  # rows, below which a group's score says little
FEW = 10  # clusters, below which its interval does
BANDS = 4
MOST_GROUPS = 20
Groups = pl.Series


def training_degrees(store: GraphStore, examples: Examples) -> list[NDArray[np.int64]]:
    """Per end, (N,) how many training rows of the row's split have it; 0 is an end that training never saw."""
    splits = sorted(set(examples.split_ids))
    found = []
    for end in ("entity_id", "other_id")[: len(examples.ends)]:
        counts = store.sql(
            f"select split_id, {end}, count(*) as degree from split_members "
            "where role = 'train' and list_contains(?, split_id) group by all",
            [splits],
        ).pl()
        joined = examples.frame.join(counts, on=["split_id", end], how="left", maintain_order="left")
        found.append(joined["degree"].fill_null(0).cast(pl.Int64).to_numpy())
    return found


def degree_bands(degrees: NDArray[np.int64]) -> Groups:
    """0, 1–2, 3–9, 10+."""
    names = np.asarray(list(DEGREES))
    return pl.Series(names[np.searchsorted(list(DEGREES.values()), degrees, side="right") - 1], dtype=pl.Enum(names))


def cold_start(store: GraphStore, examples: Examples) -> dict[str, Groups]:
    """Groupings of pairs by their ends' training degrees, and by which ends are new; none for single nodes."""
    if len(examples.ends) < 2:
        return {}
    degrees = training_degrees(store, examples)
    words = ["source", "destination"] if len(set(examples.ends)) < 2 else list(examples.ends)
    found = {f"training degree of the {word}": degree_bands(part) for word, part in zip(words, degrees, strict=True)}
    names = ["both known", f"new {words[0]}", f"new {words[1]}", "both new"]
    new = (degrees[0] == 0) + 2 * (degrees[1] == 0)
    return {**found, "new ends": pl.Series(np.asarray(names)[new], dtype=pl.Enum(names))}


def grouped_by(store: GraphStore, examples: Examples, dataset: str, expression: str) -> Groups:
    """(N,) groups by an SQL expression over the columns of the ends' node tables.

    Args:
        examples: the rows.
        dataset: whose nodes they are.
        expression: such as `user.gender`, `gender` or `case when user.age < 30 then 'young' else 'old' end`. The
            ends' rows go by the names of their types; by `source` and `destination` where both are of one type.
            Numbers with many values become quarters of the rows; of many words the most frequent ones stay.

    Raises:
        InputError: the SQL does not run; names the columns that there are.
    """
    same = len(examples.ends) > len(set(examples.ends))
    aliases = ["source", "destination"] if same else list(examples.ends)
    keys = ("entity_id", "other_id")[: len(aliases)]
    tables = {alias: quote(store.schema.node(end).table) for alias, end in zip(aliases, examples.ends, strict=True)}
    joins = " ".join(
        f"left join (select * exclude (dataset) from {table} where dataset = {literal(dataset)}) as {quote(alias)} "
        f"on {quote(alias)}.id = asked._{key}"
        for (alias, table), key in zip(tables.items(), keys, strict=True)
    )
    renamed = ", ".join(f"{key} as _{key}" for key in keys)
    frame = examples.frame.select(keys).unique()
    store.connection.register("asked_rows", frame)
    try:
        columns = ", ".join(f"asked._{key} as {key}" for key in keys)
        found = store.sql(
            f"select {columns}, ({expression}) as found from (select {renamed} from asked_rows) as asked {joins}"
        ).pl()
    except InputError as error:
        there = ", ".join(
            f"{alias}.{column.name}"
            for alias, end in zip(aliases, examples.ends, strict=True)
            for column in store.schema.node(end).columns
        )
        told = str(error).partition("\n\nLINE ")[0]  # without the query, most of which is ours
        raise InputError(f"{told.rstrip('.')}. Columns: {there or 'none'}.") from error
    finally:
        store.connection.unregister("asked_rows")
    values = examples.frame.join(found, on=list(keys), how="left", maintain_order="left")["found"]
    return _named(values)


def _named(values: pl.Series) -> Groups:
    """Values as few words, in an order that reads well."""
    if values.dtype.is_nested():
        raise InputError("Groups are words, numbers, dates or truth values; this expression gives lists or structures.")
    known = values.drop_nulls()
    if known.dtype.is_numeric() and known.n_unique() > MOST_GROUPS:
        edges = np.unique(np.quantile(known.to_numpy(), np.linspace(0, 1, BANDS + 1)))
        names = [f"{low:g} to {high:g}" for low, high in pairwise(edges.tolist())]
        place = np.searchsorted(edges[1:-1], values.cast(pl.Float64).fill_null(np.nan).to_numpy(), side="right")
        named = pl.Series([None if value is None else names[at] for value, at in zip(values, place, strict=True)])
    else:
        counts = known.value_counts(sort=True)[known.name].to_list()
        kept = sorted(counts[:MOST_GROUPS], key=_natural)
        names = [_word(value) for value in kept]
        rest = f"{len(counts) - len(kept):,} others"
        words = dict(zip(kept, names, strict=True))
        named = pl.Series([None if value is None else words.get(value, rest) for value in values])
        names += [rest] if len(counts) > len(kept) else []
    return named.fill_null("not known").cast(pl.Enum([*dict.fromkeys([*names, "not known"])]))


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _natural(value: object) -> list[int | str]:
    """A key that sorts `9` before `10`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(value))]


def by_group(
    resamples: Resamples, outcomes: Mapping[str, Sequence[Outcomes]], groupings: Mapping[str, Groups], metric: str
) -> pl.DataFrame:
    """The scores of each group of rows, and how far they are from those of all other rows.

    Args:
        resamples: of the rows.
        outcomes: configuration → the outcomes of its seeds, whose scores are averaged.
        groupings: name → (N,) groups.
        metric: the one that gets intervals.

    Returns:
        `by`, `group`, `model`, `rows`, `clusters`, every metric, `low` and `high` of `metric`, `difference` from the
        other rows with `difference_low` and `difference_high`, `small` (fewer than 30 rows or 10 clusters: do not build
        on it).
    """
    parts: dict[Hashable, Part] = {}
    for by, groups in groupings.items():
        for group in groups.unique():
            inside = (groups == group).to_numpy()
            for model, seeds in outcomes.items():
                for side, mask in ((True, inside), (False, ~inside)):
                    if mask.any():
                        parts[by, group, model, side] = Part(seeds, np.flatnonzero(mask))
    scores = resamples.scores(parts, [metric])
    rows: list[dict[str, Any]] = []
    for by, groups in groupings.items():
        for group in groups.unique().sort():
            for model in outcomes:
                here, there = (by, group, model, True), (by, group, model, False)
                own = parts[here].rows
                clusters = len(np.unique(resamples.clusters[own]))
                interval = scores.interval(here, metric)
                gap = scores.difference(here, there, metric) if there in parts else dict.fromkeys(interval)
                rows.append(
                    {
                        "by": by,
                        "group": group,
                        "model": model,
                        "rows": len(own),
                        "clusters": clusters,
                        **scores.value[here],
                        "low": interval["low"],
                        "high": interval["high"],
                        "difference": gap["value"],
                        "difference_low": gap["low"],
                        "difference_high": gap["high"],
                        "small": len(own) < SMALL or clusters < FEW,
                    }
                )
    return pl.DataFrame(rows, infer_schema_length=None)


def by_class(outcomes: Mapping[str, Sequence[Outcomes]], classes: Sequence[str]) -> pl.DataFrame:
    """Precision, recall and F1 of each class, means over the seeds.

    Returns:
        `model`, `class`, `precision` (null where the class is never answered), `recall`, `f1`, `support`, `answered`.
    """
    rows: list[dict[str, Any]] = []
    for model, seeds in outcomes.items():
        tables = [confusion(one, len(classes)) for one in seeds if is_classes(one)]
        for code, name in enumerate(classes):
            support = tables[0][code].sum()
            right = np.asarray([table[code, code] for table in tables], dtype=np.float64)
            answered = np.asarray([table[:, code].sum() for table in tables], dtype=np.float64)
            rows.append(
                {
                    "model": model,
                    "class": name,
                    "precision": float(np.mean(right / answered)) if answered.all() else None,
                    "recall": float(np.mean(right) / support) if support else None,
                    "f1": float(np.mean(2 * right / np.maximum(support + answered, 1))),
                    "support": int(support),
                    "answered": float(np.mean(answered)),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def confusion(outcomes: ClassOutcomes, classes: int) -> NDArray[np.int64]:
    """(K, K) how often each true class (row) got each answer (column)."""
    cells = np.bincount(outcomes.target * classes + outcomes.chosen, minlength=classes * classes)
    return cells.reshape(classes, classes)
