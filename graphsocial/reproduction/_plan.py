"""The trainings of a reproduction: each row of the tables, with each seed, on each split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.evaluation.splits import SplitPolicy
from graphsocial.reproduction.base import Paper, Row, Table
from graphsocial.store import GraphStore
from graphsocial.training.config import RunConfig, TrainOptions, design


@dataclass(frozen=True)
class Training:
    """One training of a reproduction.

    Attributes:
        table: the paper's table.
        row: the row of the table.
        config: the run configuration, with its seed and split.
    """

    table: Table
    row: Row
    config: RunConfig

    def __str__(self) -> str:
        return f"Table {self.table.number}, {self.row.name}, {self.config.turn}"


def trainings(
    store: GraphStore,
    paper: Paper,
    *,
    table: str | None = None,
    seeds: Sequence[int] | None = None,
    dataset: str | None = None,
    split: str | None = None,
    settings: Mapping[str, object] | None = None,
) -> list[Training]:
    """The trainings of `reproduce`, with all names and settings checked; equal configurations become one run.

    Args:
        store: the store of the dataset.
        paper: the paper.
        table: number of a table; all tables by default.
        seeds: random seeds; by default as many as the paper's, from 0.
        dataset: name of the dataset; required where the store holds several.
        split: another split policy than the paper's.
        settings: settings in place of the paper's, for the rows that have them.

    Raises:
        UnknownNameError: a table or a setting that does not exist.
        InputError: a setting that no row has.
    """
    tables = paper.tables if table is None else (paper.table(table),)
    given, planned = dict(settings or {}), []
    used: set[str] = set()
    for entry in tables:
        for row in entry.rows:
            if row.model is None:
                continue
            overrides = {
                name: value for name, value in given.items() if _takes(store, paper, row, name, value, dataset)
            }
            used |= overrides.keys()
            options = TrainOptions(
                model=row.model,
                dataset=dataset,
                split=split or paper.split,
                features=row.features,
                edge_types=row.edge_types,
                settings={**row.settings, **overrides},
            )
            config = design(store, paper.task, options)
            for seed in range(paper.seeds) if seeds is None else seeds:
                policies = _split_policies(config.split, seed, {*row.settings, *overrides})
                planned += [Training(entry, row, replace(config, seed=seed, split=policy)) for policy in policies]
    for name in given.keys() - used:
        raise InputError(f"No row of {'the paper' if table is None else f'table {table}'} has a setting '{name}'.")
    return planned


def _takes(store: GraphStore, paper: Paper, row: Row, name: str, value: object, dataset: str | None) -> bool:
    """Whether the row's model, task, split or training has this setting; a wrong value is an error."""
    try:
        design(store, paper.task, TrainOptions(model=row.model, dataset=dataset, settings={name: value}))
    except UnknownNameError:
        return False
    return True


def _split_policies(policy: SplitPolicy, seed: int, settings: Set[str]) -> Iterator[SplitPolicy]:
    """The splits of one seed: every fold, or the random split of that seed, unless the settings fix it."""
    is_random = policy.kind not in ("time", "file", "column")
    if not is_random or {"split.seed", "split.fold", "fold"} & settings:
        yield policy
    elif policy.policy == "kfold":
        yield from policy.each_fold()
    else:
        yield replace(policy, seed=seed)
