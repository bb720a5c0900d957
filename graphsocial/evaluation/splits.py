"""Splits into training, validation and test examples: at random, by node, group, column or file, or by time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.errors import DataError, InputError, MissingFileError, UnknownNameError
from graphsocial.evaluation.id_files import read_ids
from graphsocial.specs import Spec

log = logging.getLogger(__name__)
FEW_ROWS, FEW_SOURCES = 30, 10
ROLES = ("train", "validation", "test")
UNUSED = -1
POLICIES = ("random", "stratified", "kfold", "source", "destination", "time")
BY_COLUMN = ("group", "column")
ENDS = ("source", "destination")
EXAMPLES = ("kfold:GROUP", "group:COLUMN", "column:NAME", "file:DIR")


@dataclass(frozen=True)
class SplitPolicy:
    """How labelled examples are assigned to the roles train, validation and test.

    Attributes:
        policy: `random`, `stratified` (each class in proportion), `kfold` (stratified; `fold` of `folds` is the test
            part and an eighth of the rest the validation part), `kfold:GROUP` (the same with whole groups, each tested
            in one fold: `source` or `destination` of an edge, or a column), `source` and `destination` (all examples
            of a source or of a destination have one role), `time` (test examples are the newest), `group:COLUMN`
            (examples with the same value have one role), `column:NAME` (the column holds `train`, `validation` or
            `test`), or `file:DIR` with `train`, `val` and `test` as `.csv` or `.csv.gz`, whose header says which column
            has the ids of which end (see `id_files`). Columns are the node's or edge's own, or, as `source.NAME` and
            `destination.NAME`, those of an edge's endpoints.
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
        if self.policy not in POLICIES and not (self.kind in (*BY_COLUMN, "file", "kfold") and ":" in self.policy):
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
        """The column that holds the roles or the groups; None for other policies."""
        argument = Spec(self.policy).argument
        by_column = self.kind in BY_COLUMN or (self.kind == "kfold" and argument not in ("", *ENDS))
        return argument if by_column else None

    @property
    def folder(self) -> Path | None:
        """The folder of split files; None for other policies."""
        return Path(Spec(self.policy).argument) if self.kind == "file" else None

    def each_fold(self) -> tuple[SplitPolicy, ...]:
        """For `kfold`, the policy with each fold in turn as the test part; otherwise the policy alone."""
        return tuple(replace(self, fold=fold) for fold in range(self.folds)) if self.kind == "kfold" else (self,)

    def __str__(self) -> str:
        if self.kind == "kfold":
            return f"{self.policy} of {self.folds}"  # one line of the leaderboard for all folds
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
    ends: tuple[str, ...] = (),
) -> NDArray[np.int64]:
    """Assign a role to each labelled example, independently of the order in which rows were ingested.

    Args:
        policy: the split policy.
        ids: (P,) of str each: the source's own ids of the nodes, or of both endpoints of the pairs.
        codes: (P,) class codes, whose proportions a stratified split keeps; -1 for unlabelled examples, which get no
            role.
        times: (P,) datetime64[us], needed for `time`.
        column: (P,) values of `policy.column`, None where a row has none; needed where the policy has one.
        ends: the node types of `ids`, by which files of ids name their columns.

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
        roles[labelled] = _from_files(policy.folder, tuple(part[labelled] for part in ids), ends)
    elif policy.policy == "time":
        roles[labelled] = _by_time(policy, None if times is None else times[labelled])
    elif (end := policy.policy.removeprefix("kfold:")) in ENDS:
        if len(ids) == 1:
            raise InputError(f"Nodes have no {end}; split them by another policy, such as group:COLUMN.")
        rule = _by_group if end == policy.policy else _by_fold_of_groups
        roles[labelled] = rule(policy, ids[end == "destination"][labelled])
    elif policy.column is not None:
        if column is None:
            raise InputError(f"The split '{policy}' needs the values of the column '{policy.column}'.")
        rule = {"group": _by_group, "column": _by_column, "kfold": _by_fold_of_groups}[policy.kind]
        roles[labelled] = rule(policy, column[labelled])
    elif policy.policy == "random":
        roles[labelled] = _cut(np.random.default_rng(policy.seed).permutation(len(labelled)), policy)
    else:
        roles[labelled] = _by_class(policy, codes[labelled])
    for code, role in enumerate(ROLES):
        if not (roles == code).any():
            if policy.kind == "column":
                counts = ", ".join(f"{name} {int((roles == other).sum()):,}" for other, name in enumerate(ROLES))
                reason = (
                    f"of {len(labelled):,} labelled examples the column has {counts}. Use another split, or fill it in."
                )
            elif policy.policy == "time" and times is not None:
                distinct = np.unique(times[labelled][~np.isnat(times[labelled])])
                missing = int(np.isnat(times[labelled]).sum())
                reason = (
                    f"the {len(labelled):,} labelled examples have {len(distinct):,} different times, {missing:,} have "
                    "none, and equal times share a part. Use another split, or times that differ."
                )
            else:
                reason = f"{len(labelled):,} labelled examples are too few, or all of one kind. Use another split, or "
                reason += "larger shares."
            raise DataError(f"The {role} part of the split '{policy}' is empty: {reason}")
    return roles


def disjoint_endpoint(roles: NDArray[np.int64], ends: tuple[NDArray[np.int64], ...]) -> int | None:
    """The endpoint at which no node is in training pairs and also in validation or test pairs.

    It is computed from the nodes, not from the policy, so it is valid for splits from files too.

    Args:
        roles: (P,) indices into `ROLES`.
        ends: (P,) the nodes at each endpoint.

    Returns:
        The first such endpoint, 0 for the source and 1 for the destination; None if there is none, and for node tasks.
    """
    for position, end in enumerate(ends if len(ends) > 1 else ()):
        if not len(shared_nodes(roles, end)):
            return position
    return None


def shared_nodes(roles: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """The nodes of an endpoint (P,) that have training examples and also validation or test examples, sorted."""
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


def _by_fold_of_groups(policy: SplitPolicy, values: NDArray[np.object_]) -> NDArray[np.int64]:
    """Whole groups in folds of about as many examples, the largest groups first; each is tested in one fold.

    Raises:
        DataError: there are fewer groups than folds.
    """
    labels = [f"\0{row}" if value is None else str(value) for row, value in enumerate(values)]
    names, group, sizes = np.unique(np.asarray(labels, dtype=str), return_inverse=True, return_counts=True)
    if len(names) < policy.folds + 1:
        raise DataError(
            f"The split '{policy}' needs at least {policy.folds + 1} groups, and there are {len(names)}; use fewer "
            "folds."
        )
    shuffled = np.random.default_rng(policy.seed).permutation(len(names))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold, load = np.zeros(len(names), dtype=np.int64), np.zeros(policy.folds)
    for position in order:
        fold[position] = load.argmin()
        load[fold[position]] += sizes[position]
    others = shuffled[fold[shuffled] != policy.fold]
    roles = np.where(fold == policy.fold, 2, 0)
    roles[others[::8]] = 1
    return roles[group]


def remarks(
    roles: NDArray[np.int64],
    *,
    codes: NDArray[np.int64],
    sources: NDArray[np.int64] | None = None,
    times: NDArray[np.datetime64] | None = None,
    policy: SplitPolicy | None = None,
) -> list[str]:
    """What makes the scores of a split uncertain, a sentence each.

    Args:
        roles: (P,) indices into `ROLES`.
        codes: (P,) class codes; all equal where there are no classes.
        sources: (P,) the source of each pair; None for nodes.
        times: (P,) the time of each example; None where the data has none.
        policy: the policy that assigned the roles.
    """
    lines = []
    for code, role in enumerate(ROLES):
        rows = roles == code
        if code and rows.sum() < FEW_ROWS:
            lines.append(f"The {role} part has {rows.sum():,} rows: scores on fewer than {FEW_ROWS} are mostly chance.")
        if sources is not None and code:
            people = len(np.unique(sources[rows]))
            if people < FEW_SOURCES:
                lines.append(
                    f"The {role} part has {people:,} sources: with fewer than {FEW_SOURCES}, scores depend on which."
                )
        if code:
            unseen = np.setdiff1d(codes[rows], codes[roles == 0])
            if len(unseen):
                lines.append(f"The {role} part has {len(unseen):,} classes that no training example has.")
    if policy is not None and policy.policy == "time" and times is not None:
        distinct = len(np.unique(times[roles >= 0]))
        if distinct < 0.5 * (roles >= 0).sum():
            lines.append(
                f"{int((roles >= 0).sum()):,} examples have {distinct:,} different times; equal times are in one part, "
                "so the parts may differ from the shares that were asked for."
            )
    return lines


def _by_column(policy: SplitPolicy, values: NDArray[np.object_]) -> NDArray[np.int64]:
    """The roles that a column holds; an example without a value has none."""
    codes = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "development": 1}
    codes |= {"test": 2, "testing": 2, "eval": 2, "evaluation": 2}
    names = [None if value is None else str(value).strip().lower() for value in values]
    unknown = sorted({name for name in names if name is not None} - set(codes))
    if unknown:
        raise InputError(f"The column '{policy.column}' holds '{unknown[0]}'; a role is one of {', '.join(codes)}.")
    return np.asarray([UNUSED if name is None else codes[name] for name in names], dtype=np.int64)


def _by_class(policy: SplitPolicy, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The shares within each class, so that rare classes are in every role if they have enough examples."""
    roles = np.zeros(len(codes), dtype=np.int64)
    generator = np.random.default_rng(policy.seed)
    assigned = 0  # the fold index continues from class to class, so that folds have equal sizes
    quota = np.zeros(2)  # and so does what rounding left over of the shares of test and validation
    for code in np.unique(codes):
        members = generator.permutation(np.flatnonzero(codes == code))
        ranks = np.arange(len(members))
        if policy.policy == "kfold":
            fold = (ranks + assigned) % policy.folds
            turn = (ranks + assigned) // policy.folds
            roles[members] = np.select([fold == policy.fold, (turn + fold) % 8 == 0], [2, 1], 0)
            assigned += len(members)
        else:
            quota += len(members) * np.asarray([policy.test, policy.validation])
            test, validation = np.floor(quota + 0.5 + 1e-9).astype(int)
            quota -= [test, validation]
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


def _from_files(folder: Path, ids: tuple[NDArray[np.object_], ...], ends: tuple[str, ...]) -> NDArray[np.int64]:
    if not folder.is_dir():
        raise MissingFileError(f"There is no folder '{folder}' with split files.")
    count = len(ids[0])
    examples = pl.DataFrame(
        {**{"ab"[endpoint]: part.astype(str) for endpoint, part in enumerate(ids)}, "i": np.arange(count)}
    )
    roles = np.full(count, UNUSED, dtype=np.int64)
    for code, stem in enumerate(("train", "val", "test")):
        path = next((path for suffix in (".csv", ".csv.gz") if (path := folder / f"{stem}{suffix}").is_file()), None)
        if path is None:
            raise MissingFileError(f"'{folder}' has no {stem}.csv or {stem}.csv.gz.")
        listed = _listed(path, ends or ("",) * len(ids))
        joined = examples.join(listed.unique(), on=listed.columns, how="inner")
        rows = joined["i"].to_numpy()
        if not len(rows):
            raise InputError(f"No labelled example of the data is in '{path}'; its columns should hold the ids.")
        if (roles[rows] != UNUSED).any():
            raise InputError(f"'{path}' repeats examples that are in another part of the split.")
        unknown = listed.join(examples, on=listed.columns, how="anti")
        if unknown.height:
            log.warning(
                "%s of %s rows of '%s' are no labelled examples of the data, such as %s; they are left out.",
                f"{unknown.height:,}", f"{listed.height:,}", path, " ".join(unknown.row(0)),
            )  # fmt: skip
        roles[rows] = code
    return roles


def _listed(path: Path, ends: tuple[str, ...]) -> pl.DataFrame:
    """The ids in a split file: a column `a` of the source, and `b` of the destination unless the file has only one."""
    file = read_ids(path, ends, fewer=True)
    if file.rejects:
        line, reason = file.rejects[0]
        log.warning(
            "%s of %s rows of '%s' cannot be used: line %s: %s.", len(file.rejects), file.read, path, line, reason
        )
    width = len(file.rows[0]) if file.rows else 1
    return pl.DataFrame(file.rows, schema=dict.fromkeys("ab"[:width], pl.String), orient="row")
