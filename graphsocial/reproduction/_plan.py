"""What a reproduction has to train: each row of the tables, with each seed, on each split."""

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
    """One of the trainings that a reproduction takes.

    Attributes:
        table, row: what it is for.
        config: what is trained.
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
    """What `reproduce` would train, with all names and settings checked; equal ones are one run.

    Raises:
        UnknownNameError: a table or a setting that does not exist.
        InputError: a setting that no row can take.
    """
    tables = paper.tables if table is None else (paper.table(table),)
    given, found = dict(settings or {}), []
    used: set[str] = set()
    for chosen in tables:
        for row in chosen.rows:
            if row.model is None:
                continue
            own = {name: value for name, value in given.items() if _takes(store, paper, row, name, value, dataset)}
            used |= own.keys()
            options = TrainOptions(
                model=row.model,
                dataset=dataset,
                split=split or paper.split,
                features=row.features,
                edge_types=row.edge_types,
                settings={**row.settings, **own},
            )
            config = design(store, paper.task, options)
            for seed in range(paper.seeds) if seeds is None else seeds:
                deals = _deals(config.split, seed, {*row.settings, *own})
                found += [Training(chosen, row, replace(config, seed=seed, split=dealt)) for dealt in deals]
    for name in given.keys() - used:
        raise InputError(f"No row of {'the paper' if table is None else f'table {table}'} has a setting '{name}'.")
    return found


def _takes(store: GraphStore, paper: Paper, row: Row, name: str, value: object, dataset: str | None) -> bool:
    """Whether a row's model, or the split or training of any row, has this setting; a bad value is an error."""
    try:
        design(store, paper.task, TrainOptions(model=row.model, dataset=dataset, settings={name: value}))
    except UnknownNameError:
        return False
    return True


def _deals(policy: SplitPolicy, seed: int, settings: Set[str]) -> Iterator[SplitPolicy]:
    """The splits that one seed trains on, unless the settings say which."""
    dealt_by_seed = policy.kind not in ("time", "file", "column")
    if not dealt_by_seed or {"split.seed", "split.fold", "fold"} & settings:
        yield policy
    elif policy.policy == "kfold":
        yield from policy.each_fold()
    else:
        yield replace(policy, seed=seed)
