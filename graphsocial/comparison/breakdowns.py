"""Scores by group: training degree and cold start of the endpoints, class, any SQL expression over their columns."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.comparison.bootstrap import BootstrapSamples, ScoredRows
from graphsocial.comparison.examples import Examples
from graphsocial.comparison.outcomes import ClassOutcomes, Outcomes, is_classes
from graphsocial.errors import InputError
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.store.temporary import registered

DEGREES = {"0": 0, "1–2": 1, "3–9": 3, "10+": 10}  # label → the smallest degree
SMALL = 30  # rows; a group with fewer is marked as small
FEW = 10  # clusters; a group with fewer is marked as small
QUANTILE_BINS = 4
MAX_GROUPS = 20
Groups = pl.Series


def training_degrees(store: GraphStore, examples: Examples) -> list[NDArray[np.int64]]:
    """For each endpoint, (N,) the number of training rows of the row's split that have it; 0 is a cold start."""
    splits = sorted(set(examples.split_ids))
    degrees = []
    for end in ("entity_id", "other_id")[: len(examples.ends)]:
        counts = store.sql(
            f"select split_id, {end}, count(*) as degree from split_members "
            "where role = 'train' and list_contains(?, split_id) group by all",
            [splits],
        ).pl()
        joined = examples.frame.join(counts, on=["split_id", end], how="left", maintain_order="left")
        degrees.append(joined["degree"].fill_null(0).cast(pl.Int64).to_numpy())
    return degrees


def degree_bins(degrees: NDArray[np.int64]) -> Groups:
    """0, 1–2, 3–9, 10+."""
    names = np.asarray(list(DEGREES))
    return pl.Series(names[np.searchsorted(list(DEGREES.values()), degrees, side="right") - 1], dtype=pl.Enum(names))


def cold_start(store: GraphStore, examples: Examples) -> dict[str, Groups]:
    """Groupings of pairs by their endpoints' training degrees, and by which are new; none for single nodes."""
    if len(examples.ends) < 2:
        return {}
    degrees = training_degrees(store, examples)
    words = ["source", "destination"] if len(set(examples.ends)) < 2 else list(examples.ends)
    by_degree = {f"training degree of the {word}": degree_bins(part) for word, part in zip(words, degrees, strict=True)}
    names = ["both known", f"new {words[0]}", f"new {words[1]}", "both new"]
    new = (degrees[0] == 0) + 2 * (degrees[1] == 0)
    return {**by_degree, "cold start": pl.Series(np.asarray(names)[new], dtype=pl.Enum(names))}


def grouped_by(store: GraphStore, examples: Examples, dataset: str, expression: str) -> Groups:
    """(N,) groups by an SQL expression over the columns of the endpoints' node tables.

    Args:
        store: the store of the nodes.
        examples: the rows.
        dataset: name of the data set that the nodes belong to.
        expression: such as `user.gender`, `gender` or `case when user.age < 30 then 'young' else 'old' end`. The
            endpoints' rows have the names of their node types; `source` and `destination` where both are of one type.
            Numbers with many values become quartiles; of many strings the most frequent ones stay.

    Raises:
        InputError: the SQL does not run; lists the columns.
    """
    same = len(examples.ends) > len(set(examples.ends))
    aliases = ["source", "destination"] if same else list(examples.ends)
    keys = ("entity_id", "other_id")[: len(aliases)]
    tables = {alias: quote(store.schema.node(end).table) for alias, end in zip(aliases, examples.ends, strict=True)}
    joins = " ".join(
        f"left join (select * exclude (dataset) from {table} where dataset = {literal(dataset)}) as {quote(alias)} "
        f"on {quote(alias)}.id = _examples._{key}"
        for (alias, table), key in zip(tables.items(), keys, strict=True)
    )
    renamed = ", ".join(f"{key} as _{key}" for key in keys)
    frame = examples.frame.select(keys).unique()
    columns = ", ".join(f"_examples._{key} as {key}" for key in keys)
    try:
        with registered(store.connection, frame) as table:
            values = store.sql(
                f"select {columns}, ({expression}) as _value from (select {renamed} from {table}) as _examples {joins}"
            ).pl()
    except InputError as error:
        column_names = ", ".join(
            f"{alias}.{column.name}"
            for alias, end in zip(aliases, examples.ends, strict=True)
            for column in store.schema.node(end).columns
        )
        message = str(error).partition("\n\nLINE ")[0]  # without the query, most of which the user did not write
        raise InputError(f"{message.rstrip('.')}. Columns: {column_names or 'none'}.") from error
    return _group_labels(examples.frame.join(values, on=list(keys), how="left", maintain_order="left")["_value"])


def _group_labels(values: pl.Series) -> Groups:
    """Values as at most `MAX_GROUPS` labels, in natural order."""
    if values.dtype.is_nested():
        raise InputError("Groups are strings, numbers, dates or booleans; this expression gives lists or structs.")
    not_null = values.drop_nulls()
    if not_null.dtype.is_numeric() and not_null.n_unique() > MAX_GROUPS:
        edges = np.unique(np.quantile(not_null.to_numpy(), np.linspace(0, 1, QUANTILE_BINS + 1)))
        names = [f"{low:g} to {high:g}" for low, high in pairwise(edges.tolist())]
        bins = np.searchsorted(edges[1:-1], values.cast(pl.Float64).fill_null(np.nan).to_numpy(), side="right")
        labels = pl.Series([None if value is None else names[index] for value, index in zip(values, bins, strict=True)])
    else:
        by_count = not_null.value_counts(sort=True)[not_null.name].to_list()
        kept = sorted(by_count[:MAX_GROUPS], key=_natural_key)
        names = [_label(value) for value in kept]
        rest = f"{len(by_count) - len(kept):,} others"
        label_of = dict(zip(kept, names, strict=True))
        labels = pl.Series([None if value is None else label_of.get(value, rest) for value in values])
        names += [rest] if len(by_count) > len(kept) else []
    return labels.fill_null("not known").cast(pl.Enum([*dict.fromkeys([*names, "not known"])]))


def _label(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _natural_key(value: object) -> list[int | str]:
    """A sort key that puts `9` before `10`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(value))]


def by_group(
    bootstrap: BootstrapSamples,
    outcomes: Mapping[str, Sequence[Outcomes]],
    groupings: Mapping[str, Groups],
    metric: str,
) -> pl.DataFrame:
    """The scores of each group of rows, and their differences from the scores of all other rows.

    Args:
        bootstrap: bootstrap samples of the N rows.
        outcomes: configuration → the outcomes of its seeds, whose scores are averaged.
        groupings: name → (N,) groups.
        metric: the metric that gets intervals.

    Returns:
        `by`, `group`, `model`, `rows`, `clusters` (a list: of each way), every metric, `low` and `high` of `metric`,
        `difference` from the other rows with `difference_low` and `difference_high`, `small` (fewer than 30 rows or 10
        clusters: too few to rely on).
    """
    parts: dict[Hashable, ScoredRows] = {}
    for by, groups in groupings.items():
        for group in groups.unique():
            inside = (groups == group).to_numpy()
            for model, seeds in outcomes.items():
                for side, mask in ((True, inside), (False, ~inside)):
                    if mask.any():
                        parts[by, group, model, side] = ScoredRows(seeds, np.flatnonzero(mask))
    scores = bootstrap.scores(parts, [metric])
    rows: list[dict[str, Any]] = []
    for by, groups in groupings.items():
        for group in groups.unique().sort():
            for model in outcomes:
                inside_key, outside_key = (by, group, model, True), (by, group, model, False)
                group_rows = parts[inside_key].rows
                clusters = scores.clusters[inside_key]
                interval = scores.interval(inside_key, metric)
                if outside_key in parts:
                    gap = scores.difference(inside_key, outside_key, metric)
                else:
                    gap = dict.fromkeys(interval)
                rows.append(
                    {
                        "by": by,
                        "group": group,
                        "model": model,
                        "rows": len(group_rows),
                        "clusters": list(clusters),
                        **scores.value[inside_key],
                        "low": interval["low"],
                        "high": interval["high"],
                        "difference": gap["value"],
                        "difference_low": gap["low"],
                        "difference_high": gap["high"],
                        "small": len(group_rows) < SMALL or min(clusters) < FEW,
                    }
                )
    return pl.DataFrame(rows, infer_schema_length=None)


def by_class(outcomes: Mapping[str, Sequence[Outcomes]], classes: Sequence[str]) -> pl.DataFrame:
    """Precision, recall and F1 of each class, means over the seeds.

    Returns:
        `model`, `class`, `precision` (null where the class is never predicted), `recall`, `f1`, `support` (rows of the
        class), `answered` (rows predicted as the class).
    """
    rows: list[dict[str, Any]] = []
    for model, seeds in outcomes.items():
        tables = [confusion(outcomes, len(classes)) for outcomes in seeds if is_classes(outcomes)]
        for code, name in enumerate(classes):
            support = tables[0][code].sum()
            correct = np.asarray([table[code, code] for table in tables], dtype=np.float64)
            predicted = np.asarray([table[:, code].sum() for table in tables], dtype=np.float64)
            rows.append(
                {
                    "model": model,
                    "class": name,
                    "precision": float(np.mean(correct / predicted)) if predicted.all() else None,
                    "recall": float(np.mean(correct) / support) if support else None,
                    "f1": float(np.mean(2 * correct / np.maximum(support + predicted, 1))),
                    "support": int(support),
                    "answered": float(np.mean(predicted)),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def confusion(outcomes: ClassOutcomes, classes: int) -> NDArray[np.int64]:
    """(K, K) counts of the true classes (rows) by predicted class (columns)."""
    cells = np.bincount(outcomes.target * classes + outcomes.predicted, minlength=classes * classes)
    return cells.reshape(classes, classes)
