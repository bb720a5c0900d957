"""Splits into training, validation and test examples: at random, by node or group, or by time; stored and hashed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.errors import DataError, InputError, MissingFileError, UnknownNameError
from graphsocial.specs import Spec
from graphsocial.store import GraphStore
from graphsocial.store.temporary import registered

ROLES = ("train", "validation", "test")
UNUSED = -1
POLICIES = ("random", "stratified", "kfold", "source", "destination", "time")
BY_COLUMN = ("group", "column")
EXAMPLES = ("group:COLUMN", "column:NAME", "file:DIR")


@dataclass(frozen=True)
class SplitPolicy:
    """How labelled examples are assigned to the roles train, validation and test.

    Attributes:
        policy: `random`, `stratified` (each class in proportion), `kfold` (stratified; `fold` of `folds` is the test
            part and an eighth of the rest the validation part), `source` and `destination` (whole users or images
            are unseen in training), `time` (the newest are tested), `group:COLUMN` (nodes of one value have one
            role), `column:NAME` (the node's column holds `train`, `validation` or `test`), or `file:DIR` with
            `train`, `val` and `test` as `.csv` or `.csv.gz`, whose first column or columns are the example's ids.
        seed: random seed of the permutation; not the seed of training.
        validation, test: shares of all labelled examples.
        folds: number of folds of `kfold`.
        fold: the test fold, from 0.
    """

    policy: str = "random"
    seed: int = 0
    validation: float = 0.1
    test: float = 0.1
    folds: int = 5
    fold: int = 0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES and not (self.kind in (*BY_COLUMN, "file") and ":" in self.policy):
            raise UnknownNameError.of("split policy", self.policy, [*POLICIES, *EXAMPLES])
        if min(self.validation, self.test) <= 0 or self.validation + self.test >= 1:
            raise InputError(f"Shares of {self.validation} and {self.test} leave no split; use say 0.1 and 0.1.")
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise InputError(f"Fold {self.fold} of {self.folds} does not exist; folds are counted from 0.")

    @property
    def kind(self) -> str:
        """The policy without its argument: `random`, …, `group`, `column` or `file`."""
        return Spec(self.policy).name

    @property
    def column(self) -> str | None:
        """The column that assigns the roles or the groups, if one does."""
        return Spec(self.policy).argument if self.kind in BY_COLUMN else None

    @property
    def folder(self) -> Path | None:
        """The folder of split files, if the roles are read from some."""
        return Path(Spec(self.policy).argument) if self.kind == "file" else None

    def each_fold(self) -> tuple[SplitPolicy, ...]:
        """The policy with each fold in turn as the test part; of other policies than `kfold`, the policy alone."""
        return tuple(replace(self, fold=fold) for fold in range(self.folds)) if self.policy == "kfold" else (self,)

    def __str__(self) -> str:
        if self.policy == "kfold":
            return f"kfold of {self.folds}"  # folds of one policy are one line of the leaderboard
        if self.folder is not None:
            return f"file:{self.folder.name}"
        return self.policy if self.seed == 0 else f"{self.policy} (seed {self.seed})"


def assign(
    policy: SplitPolicy,
    *,
    ids: tuple[NDArray[np.object_], ...],
    codes: NDArray[np.int64],
    times: NDArray[np.datetime64] | None = None,
    column: NDArray[np.object_] | None = None,
) -> NDArray[np.int64]:
    """Assign a role to each labelled example, independently of the order in which rows were ingested.

    Args:
        policy: the rule.
        ids: (P,) of str each: the source's own ids of the nodes, or of both endpoints of the pairs.
        codes: (P,) class codes, whose proportions a stratified split keeps; -1 for unlabelled examples, which get no
            role.
        times: (P,) datetime64[us], needed for `time`.
        column: (P,) values of `policy.column`, None where a row has none; needed for `group` and `column`.

    Returns:
        (P,) indices into `ROLES`; `UNUSED` for examples without a role.

    Raises:
        DataError: a role would be empty, or the data lacks times or the column's values.
        InputError: a split file or column does not fit the data, or the policy does not fit nodes.
    """
    roles = np.full(len(codes), UNUSED, dtype=np.int64)
    labelled = np.flatnonzero(codes >= 0)
    keys = pl.DataFrame({f"{end}": part[labelled].astype(str) for end, part in enumerate(ids)})
    labelled = labelled[keys.select(pl.struct(pl.all()).arg_sort()).to_series().to_numpy()]
    if policy.folder is not None:
        roles[labelled] = _from_files(policy.folder, tuple(part[labelled] for part in ids))
    elif policy.policy == "time":
        roles[labelled] = _by_time(policy, None if times is None else times[labelled])
    elif policy.policy in ("source", "destination"):
        if len(ids) == 1:
            raise InputError(f"Nodes have no {policy.policy}; split them by another policy, such as group:COLUMN.")
        roles[labelled] = _by_group(policy, ids[policy.policy == "destination"][labelled])
    elif policy.column is not None:
        if column is None:
            raise InputError(f"The split '{policy}' needs the values of the column '{policy.column}'.")
        rule = _by_group if policy.kind == "group" else _by_column
        roles[labelled] = rule(policy, column[labelled])
    elif policy.policy == "random":
        roles[labelled] = _cut(np.random.default_rng(policy.seed).permutation(len(labelled)), policy)
    else:
        roles[labelled] = _by_class(policy, codes[labelled])
    for code, role in enumerate(ROLES):
        if not (roles == code).any():
            if policy.kind == "column":
                counts = ", ".join(f"{name} {int((roles == other).sum()):,}" for other, name in enumerate(ROLES))
                why = (
                    f"of {len(labelled):,} labelled examples the column has {counts}. Use another split, or fill it in."
                )
            else:
                why = f"{len(labelled):,} labelled examples are too few, or all of one kind. Use another split, or "
                why += "larger shares."
            raise DataError(f"The {role} part of the split '{policy}' is empty: {why}")
    return roles


def apart(roles: NDArray[np.int64], ends: tuple[NDArray[np.int64], ...]) -> int | None:
    """Which endpoint of the pairs is disjoint: no node there is in training pairs and in validation or test pairs too.

    Read from the nodes themselves, so that it holds for splits from files too.

    Args:
        roles: (P,) indices into `ROLES`.
        ends: (P,) the nodes at each endpoint.

    Returns:
        The first such endpoint, 0 for the source and 1 for the destination; None where there is none, and for nodes.
    """
    for position, end in enumerate(ends if len(ends) > 1 else ()):
        if not len(in_both(roles, end)):
            return position
    return None


def in_both(roles: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """The nodes at one endpoint, given as (P,), of training examples as well as of validation or test examples."""
    return np.intersect1d(end[roles == 0], end[roles > 0])


def _cut(ranks: NDArray[np.int64], policy: SplitPolicy) -> NDArray[np.int64]:
    """Roles by rank in a permutation: the first ranks train, then validation, then test."""
    count = len(ranks)
    test = max(1, round(count * policy.test))
    validation = max(1, round(count * policy.validation))
    return np.select([ranks < count - validation - test, ranks < count - test], [0, 1], 2)


def _by_group(policy: SplitPolicy, values: NDArray[np.object_]) -> NDArray[np.int64]:
    """One role for each group; an example without a group is a group by itself."""
    labels = [f"\0{row}" if value is None else str(value) for row, value in enumerate(values)]
    names, group = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    return _cut(np.random.default_rng(policy.seed).permutation(len(names)), policy)[group]


def _by_column(policy: SplitPolicy, values: NDArray[np.object_]) -> NDArray[np.int64]:
    """The roles that a column holds; an example without a value has none."""
    codes = {"train": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2}
    names = [None if value is None else str(value).lower() for value in values]
    unknown = sorted({name for name in names if name is not None} - set(codes))
    if unknown:
        raise InputError(f"The column '{policy.column}' holds '{unknown[0]}'; a role is one of {', '.join(codes)}.")
    return np.asarray([UNUSED if name is None else codes[name] for name in names], dtype=np.int64)


def _by_class(policy: SplitPolicy, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The shares within each class, so that rare classes are in every role where they can be."""
    roles = np.zeros(len(codes), dtype=np.int64)
    generator = np.random.default_rng(policy.seed)
    assigned = 0  # folds go on where the last class stopped, so that they are of one size
    for code in np.unique(codes):
        members = generator.permutation(np.flatnonzero(codes == code))
        ranks = np.arange(len(members))
        if policy.policy == "kfold":
            fold = (ranks + assigned) % policy.folds
            turn = (ranks + assigned) // policy.folds
            roles[members] = np.select([fold == policy.fold, (turn + fold) % 8 == 0], [2, 1], 0)
            assigned += len(members)
        else:
            test, validation = round(len(members) * policy.test), round(len(members) * policy.validation)
            roles[members] = np.select([ranks < test, ranks < test + validation], [2, 1], 0)
    return roles


def _by_time(policy: SplitPolicy, times: NDArray[np.datetime64] | None) -> NDArray[np.int64]:
    if times is None:
        raise DataError("The data has no times, so it cannot be split by time; use another split.")
    has_time = ~np.isnat(times)
    if not has_time.any():
        raise DataError("None of the labelled examples has a time, so they cannot be split by time.")
    ordered = np.sort(times[has_time])
    count = len(ordered)
    validation_start = ordered[min(count - 1, round(count * (1 - policy.validation - policy.test)))]
    test_start = ordered[min(count - 1, round(count * (1 - policy.test)))]
    # equal times share a role
    return np.select([~has_time, times < validation_start, times < test_start], [UNUSED, 0, 1], 2)


def _from_files(folder: Path, ids: tuple[NDArray[np.object_], ...]) -> NDArray[np.int64]:
    if not folder.is_dir():
        raise MissingFileError(f"There is no folder '{folder}' with split files.")
    count = len(ids[0])
    examples = pl.DataFrame({**{"ab"[end]: part.astype(str) for end, part in enumerate(ids)}, "i": np.arange(count)})
    roles = np.full(count, UNUSED, dtype=np.int64)
    for code, stem in enumerate(("train", "val", "test")):
        path = next(
            (folder / f"{stem}{end}" for end in (".csv", ".csv.gz") if (folder / f"{stem}{end}").is_file()), None
        )
        if path is None:
            raise MissingFileError(f"'{folder}' has no {stem}.csv or {stem}.csv.gz.")
        listed = pl.read_csv(path, infer_schema=False)
        listed = listed.select(listed.columns[: len(ids)])
        listed = listed.rename(dict(zip(listed.columns, "ab", strict=False))).unique()
        rows = examples.join(listed, on=list("ab"[: len(listed.columns)]), how="inner")["i"].to_numpy()
        if not len(rows):
            raise InputError(f"No labelled example of the data is in '{path}'; its first columns should hold the ids.")
        if (roles[rows] != UNUSED).any():
            raise InputError(f"'{path}' repeats examples that are in another part of the split.")
        roles[rows] = code
    return roles


def save(
    store: GraphStore,
    policy: SplitPolicy,
    roles: NDArray[np.int64],
    *,
    task: str,
    dataset: str,
    entity: str,
    ids: tuple[NDArray[np.object_], ...],
) -> str:
    """Store a split under the hash of its members, unless it is stored already; returns that hash, the split's id.

    Args:
        store: what the split is written to.
        policy: what assigned the roles.
        roles: (P,) indices into `ROLES`; examples with `UNUSED` are left out.
        task: the task's name.
        dataset: the dataset's name.
        entity: the node or edge type of the examples.
        ids: (P,) of str each, as in `assign`.
    """
    used = np.flatnonzero(roles != UNUSED)
    members = pl.DataFrame(
        {
            "entity_id": ids[0][used].astype(str),
            "other_id": pl.Series([None] * len(used), dtype=pl.String) if len(ids) == 1 else ids[1][used].astype(str),
            "role": np.asarray(ROLES)[roles[used]],
        }
    ).sort("entity_id", "other_id")
    settings = {**asdict(policy), "policy": policy.policy}
    split_id = _digest(task, dataset, settings, members)
    with store.transaction():
        if not store.sql("select 1 from splits where split_id = ?", [split_id]).fetchall():
            store.connection.execute(
                "insert into splits (split_id, task, dataset, entity, policy, settings) values (?, ?, ?, ?, ?, ?)",
                [split_id, task, dataset, entity, str(policy), json.dumps(settings)],
            )
            with registered(store.connection, members) as rows:
                store.connection.execute(
                    f"insert into split_members select ?, entity_id, other_id, role from {rows}", [split_id]
                )
    return split_id


def recomputed(store: GraphStore, split_id: str) -> str:
    """The id that a stored split's rows hash to; another one than its own if they were changed.

    Raises:
        UnknownNameError: there is no such split.
    """
    row = store.first("select task, dataset, settings from splits where split_id = ?", [split_id])
    if row is None:
        split_ids = store.sql("select split_id from splits").fetchall()
        raise UnknownNameError.of("split", split_id, [name for (name,) in split_ids])
    members = store.sql(
        "select entity_id, other_id, role from split_members where split_id = ? order by entity_id, other_id, role",
        [split_id],
    ).pl()
    task, dataset, settings = row
    return _digest(task, dataset, json.loads(settings), members)


def _digest(task: str, dataset: str, settings: Mapping[str, object], members: pl.DataFrame) -> str:
    """The hash of a split's settings and of its members, which are in order."""
    digest = blake2b(json.dumps([task, dataset, settings], sort_keys=True).encode(), digest_size=8)
    for column in members.iter_columns():
        digest.update("\n".join(column.fill_null("").to_list()).encode())
    return digest.hexdigest()


def restore(store: GraphStore, split_id: str, *, ids: tuple[NDArray[np.object_], ...]) -> NDArray[np.int64]:
    """The roles of examples in a stored split.

    Args:
        store: what holds the split.
        split_id: the split's id.
        ids: (P,) of str each, as in `assign`.

    Returns:
        (P,) indices into `ROLES`; `UNUSED` for examples that are not in the split.
    """
    columns = ["entity_id", "other_id"][: len(ids)]
    members = store.sql(f"select {', '.join(columns)}, role from split_members where split_id = ?", [split_id]).pl()
    examples = pl.DataFrame({name: part.astype(str) for name, part in zip(columns, ids, strict=True)})
    roles = examples.join(members, on=columns, how="left", maintain_order="left")["role"]
    codes = roles.replace_strict(list(ROLES), list(range(len(ROLES))), default=UNUSED, return_dtype=pl.Int64)
    return codes.to_numpy(writable=True)
