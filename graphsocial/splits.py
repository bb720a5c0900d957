"""Who is learnt from and who is tested on: splits by pair, user, image or time, made once, stored and hashed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.errors import DataError, InputError, MissingFileError, UnknownNameError
from graphsocial.store import GraphStore

ROLES = ("train", "validation", "test")
UNUSED = -1
POLICIES = ("random", "stratified", "kfold", "user", "image", "time")


@dataclass(frozen=True)
class SplitPolicy:
    """How labelled pairs are dealt out to train, validation and test.

    Attributes:
        policy: `random` (by pair), `stratified` (by pair, each class in proportion), `kfold` (stratified; `fold` of
            `folds` is the test part and an eighth of the rest the validation part), `user` and `image` (whole users
            or images are unseen in training), `time` (the newest pairs are tested), or `file:DIR` with `train`,
            `val` and `test` as `.csv` or `.csv.gz`, whose first two columns are the ids of the pair's ends, or whose
            only column is the id of its source.
        seed: of the one permutation that decides; not the seed of training.
        validation, test: shares of the whole.
    """

    policy: str = "random"
    seed: int = 0
    validation: float = 0.1
    test: float = 0.1
    folds: int = 5
    fold: int = 0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES and not self.policy.startswith("file:"):
            raise UnknownNameError.of("split policy", self.policy, [*POLICIES, "file:DIR"])
        if min(self.validation, self.test) <= 0 or self.validation + self.test >= 1:
            raise InputError(f"Shares of {self.validation} and {self.test} leave no split; use say 0.1 and 0.1.")
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise InputError(f"Fold {self.fold} of {self.folds} does not exist; folds are counted from 0.")

    def __str__(self) -> str:
        if self.policy == "kfold":
            return f"kfold of {self.folds}"  # folds of one policy are one line of the leaderboard
        if self.policy.startswith("file:"):
            return f"file:{Path(self.policy[5:]).name}"
        return self.policy if self.seed == 0 else f"{self.policy} (seed {self.seed})"


def assign(
    policy: SplitPolicy,
    *,
    sources: NDArray[np.object_],
    destinations: NDArray[np.object_],
    codes: NDArray[np.int64],
    times: NDArray[np.datetime64] | None,
) -> NDArray[np.int64]:
    """Deal out the labelled pairs; pure, and independent of the order in which rows were ingested.

    Args:
        policy: how.
        sources, destinations: the source's own ids of the pair's ends, (P,) of str.
        codes: (P,) class codes, -1 for pairs without a label, which get no role.
        times: (P,) datetime64[us], needed for `time`.

    Returns:
        (P,) roles.

    Raises:
        DataError: a role would be empty, or the pairs have no times.
        InputError: a split file does not fit the data.
    """
    roles = np.full(len(codes), UNUSED, dtype=np.int64)
    labelled = np.flatnonzero(codes >= 0)
    keys = pl.DataFrame({"s": sources[labelled].astype(str), "d": destinations[labelled].astype(str)})
    labelled = labelled[keys.select(pl.struct("s", "d").arg_sort()).to_series().to_numpy()]
    if policy.policy.startswith("file:"):
        roles[labelled] = _from_files(Path(policy.policy[5:]), sources[labelled], destinations[labelled])
    elif policy.policy == "time":
        roles[labelled] = _by_time(policy, None if times is None else times[labelled])
    elif policy.policy in ("user", "image"):
        ends = (sources if policy.policy == "user" else destinations)[labelled].astype(str)
        names, group = np.unique(ends, return_inverse=True)
        roles[labelled] = _cut(np.random.default_rng(policy.seed).permutation(len(names)), policy)[group]
    elif policy.policy == "random":
        roles[labelled] = _cut(np.random.default_rng(policy.seed).permutation(len(labelled)), policy)
    else:
        roles[labelled] = _by_class(policy, codes[labelled])
    for code, role in enumerate(ROLES):
        if not (roles == code).any():
            raise DataError(
                f"The {role} part of the split '{policy}' is empty: {len(labelled):,} labelled pairs are too few, "
                "or all of one kind. Use another split, or larger shares."
            )
    return roles


def _cut(ranks: NDArray[np.int64], policy: SplitPolicy) -> NDArray[np.int64]:
    """Roles by rank in a permutation: the first ranks train, then validation, then test."""
    count = len(ranks)
    test = max(1, round(count * policy.test))
    validation = max(1, round(count * policy.validation))
    return np.select([ranks < count - validation - test, ranks < count - test], [0, 1], 2)


def _by_class(policy: SplitPolicy, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The shares of each class apart, so that rare classes are in every role where they can be."""
    roles = np.zeros(len(codes), dtype=np.int64)
    generator = np.random.default_rng(policy.seed)
    dealt = 0  # folds go on where the last class stopped, so that they are of one size
    for code in np.unique(codes):
        members = generator.permutation(np.flatnonzero(codes == code))
        ranks = np.arange(len(members))
        if policy.policy == "kfold":
            fold = (ranks + dealt) % policy.folds
            turn = (ranks + dealt) // policy.folds
            roles[members] = np.select([fold == policy.fold, (turn + fold) % 8 == 0], [2, 1], 0)
            dealt += len(members)
        else:
            test, validation = round(len(members) * policy.test), round(len(members) * policy.validation)
            roles[members] = np.select([ranks < test, ranks < test + validation], [2, 1], 0)
    return roles


def _by_time(policy: SplitPolicy, times: NDArray[np.datetime64] | None) -> NDArray[np.int64]:
    if times is None:
        raise DataError("The edges have no times, so they cannot be split by time; use another split.")
    known = ~np.isnat(times)
    if not known.any():
        raise DataError("None of the labelled pairs has a time, so they cannot be split by time.")
    ordered = np.sort(times[known])
    count = len(ordered)
    first = ordered[min(count - 1, round(count * (1 - policy.validation - policy.test)))]
    second = ordered[min(count - 1, round(count * (1 - policy.test)))]
    return np.select([~known, times < first, times < second], [UNUSED, 0, 1], 2)  # equal times share a role


def _from_files(folder: Path, sources: NDArray[np.object_], destinations: NDArray[np.object_]) -> NDArray[np.int64]:
    if not folder.is_dir():
        raise MissingFileError(f"There is no folder '{folder}' with split files.")
    pairs = pl.DataFrame({"a": sources.astype(str), "b": destinations.astype(str), "i": np.arange(len(sources))})
    roles = np.full(len(sources), UNUSED, dtype=np.int64)
    for code, stem in enumerate(("train", "val", "test")):
        path = next(
            (folder / f"{stem}{end}" for end in (".csv", ".csv.gz") if (folder / f"{stem}{end}").is_file()), None
        )
        if path is None:
            raise MissingFileError(f"'{folder}' has no {stem}.csv or {stem}.csv.gz.")
        given = pl.read_csv(path, infer_schema=False)
        given = given.select(given.columns[:2]).rename(dict(zip(given.columns[:2], "ab", strict=False))).unique()
        found = pairs.join(given, on=list("ab"[: len(given.columns)]), how="inner")["i"].to_numpy()
        if not len(found):
            raise InputError(
                f"No labelled pair of the data stands in '{path}'; its columns should hold the pair's ids."
            )
        if (roles[found] != UNUSED).any():
            raise InputError(f"'{path}' repeats pairs that stand in another part of the split.")
        roles[found] = code
    return roles


def save(
    store: GraphStore,
    policy: SplitPolicy,
    roles: NDArray[np.int64],
    *,
    task: str,
    dataset: str,
    sources: NDArray[np.object_],
    destinations: NDArray[np.object_],
) -> str:
    """Write a split under the hash of its members, unless it is there already; returns that hash, the split's id."""
    used = np.flatnonzero(roles != UNUSED)
    members = pl.DataFrame(
        {
            "entity_id": sources[used].astype(str),
            "other_id": destinations[used].astype(str),
            "role": np.asarray(ROLES)[roles[used]],
        }
    ).sort("entity_id", "other_id")
    settings = {**asdict(policy), "policy": policy.policy}
    digest = blake2b(json.dumps([task, dataset, settings], sort_keys=True).encode(), digest_size=8)
    for column in members.iter_columns():
        digest.update("\n".join(column.to_list()).encode())
    split_id = digest.hexdigest()
    with store.transaction():
        if not store.sql("select 1 from splits where split_id = ?", [split_id]).fetchall():
            store.connection.execute(
                "insert into splits (split_id, task, dataset, policy, settings) values (?, ?, ?, ?, ?)",
                [split_id, task, dataset, str(policy), json.dumps(settings)],
            )
            store.connection.register("members", members)
            store.connection.execute(
                "insert into split_members select ?, entity_id, other_id, role from members", [split_id]
            )
            store.connection.unregister("members")
    return split_id


def restore(
    store: GraphStore, split_id: str, *, sources: NDArray[np.object_], destinations: NDArray[np.object_]
) -> NDArray[np.int64]:
    """(P,) the roles that a stored split gave to these pairs; -1 for pairs that it does not know."""
    members = store.sql(
        "select entity_id as s, other_id as d, role from split_members where split_id = ?", [split_id]
    ).pl()
    pairs = pl.DataFrame({"s": sources.astype(str), "d": destinations.astype(str)})
    roles = pairs.join(members, on=["s", "d"], how="left", maintain_order="left")["role"]
    codes = roles.replace_strict(list(ROLES), list(range(len(ROLES))), default=UNUSED, return_dtype=pl.Int64)
    return codes.to_numpy(writable=True)
