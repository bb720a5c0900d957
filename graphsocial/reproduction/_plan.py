"""What a reproduction has to train: each row of the tables, with each seed, on each split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.experiment import design
from graphsocial.reproduction.base import Paper, Row, Table
from graphsocial.splits import SplitPolicy
from graphsocial.store import GraphStore


@dataclass(frozen=True)
class Training:
    """One of the trainings that a reproduction takes.

    Attributes:
        table, row: what it is for.
        seed: of the training, and of the split where it has one.
        options: what `train` is called with.
    """

    table: Table
    row: Row
    seed: int
    options: Mapping[str, Any]

    def __str__(self) -> str:
        fold = self.options["settings"].get("split.fold")
        return f"Table {self.table.number}, {self.row.name}, seed {self.seed}" + (
            "" if fold is None else f", fold {fold}"
        )


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
            options: dict[str, Any] = {
                "model": row.model,
                "dataset": dataset,
                "split": split or paper.split,
                "features": row.features,
                "edge_types": row.edge_types,
                "settings": {**row.settings, **own},
            }
            policy = design(store, paper.task, **options).split
            for seed in range(paper.seeds) if seeds is None else seeds:
                for dealt in _deals(policy, seed, options["settings"]):
                    own_settings = {**options["settings"], **dealt}
                    found.append(Training(chosen, row, seed, {**options, "settings": own_settings}))
    for name in given.keys() - used:
        raise InputError(f"No row of {'the paper' if table is None else f'table {table}'} has a setting '{name}'.")
    return found


def _takes(store: GraphStore, paper: Paper, row: Row, name: str, value: object, dataset: str | None) -> bool:
    """Whether a row's model, or the split or training of any row, has this setting; a bad value is an error."""
    try:
        design(store, paper.task, model=row.model, dataset=dataset, settings={name: value})
    except UnknownNameError:
        return False
    return True


def _deals(policy: SplitPolicy, seed: int, settings: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """The settings of the splits that one seed trains on."""
    dealt_by_seed = policy.policy != "time" and not policy.policy.startswith(("file:", "column:"))
    if not dealt_by_seed or {"split.seed", "split.fold", "fold"} & set(settings):
        yield {}
    elif policy.policy == "kfold":
        for fold in range(policy.folds):
            yield {"split.fold": fold}
    else:
        yield {"split.seed": seed}
