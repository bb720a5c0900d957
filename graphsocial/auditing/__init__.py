"""Leakage checks of a run, written to the table `audits`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from graphsocial import runs
from graphsocial.auditing.allowance import Allowance
from graphsocial.auditing.base import Check
from graphsocial.auditing.columns import check_columns
from graphsocial.auditing.controls import MOST_EPOCHS, check_look_up, check_shuffled_training
from graphsocial.auditing.deletion import check_deletion
from graphsocial.auditing.messages import check_messages, used_batches
from graphsocial.auditing.parts import check_apart, check_rows
from graphsocial.auditing.perturbation import check_perturbation
from graphsocial.auditing.reciprocal import check_reciprocal
from graphsocial.auditing.stored_edges import check_edges
from graphsocial.auditing.stored_values import check_averages, check_labels, check_values
from graphsocial.errors import InputError
from graphsocial.evaluation.splits import ROLES
from graphsocial.prediction import rebuild
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.training.config import RunConfig
from graphsocial.training.data import make_loader
from graphsocial.training.loop import Epoch
from graphsocial.types import Progress

CLEAN, QUICK, LEAK, MISSING = "audited", "audited without controls", "leak: ", "missing: "
SAMPLED_BATCHES = 2  # of each role, whose contents are compared with the store


@dataclass(frozen=True)
class Audit:
    """The checks of one run.

    Attributes:
        run: its id.
        checks: their results.
    """

    run: str
    checks: tuple[Check, ...]

    @property
    def leaks(self) -> tuple[str, ...]:
        """The names of the checks with the verdict `leak`."""
        return tuple(check.name for check in self.checks if check.verdict == "leak")

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the checks with the verdict `missing`."""
        return tuple(check.name for check in self.checks if check.verdict == "missing")

    def to_dict(self) -> dict[str, Any]:
        """The checks as values that JSON can hold."""
        return {
            "run": self.run,
            "leaks": list(self.leaks),
            "missing": list(self.missing),
            "checks": [asdict(check) for check in self.checks],
        }


def audit(
    store: GraphStore,
    run: Run | str,
    *,
    quick: bool = False,
    report: Callable[[Epoch], None] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Rebuild the batches of a run and count the labels, edges and columns that leak; see `audits` for the checks.

    The results are written to the table `audits`, and the run's notes, which the leaderboard shows, say `audited` or
    name the leaks. No prediction is compared with a test label.

    Args:
        store: the store of the run.
        run: a run, its id, a prefix of it, or `latest`.
        quick: leave out the training on shuffled labels, the one check that takes long (see `expected`).
        report: called after each epoch of that training.
        progress: called while content is encoded.

    Raises:
        InputError: the run is not done, or the data has changed since.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    row = store.first("select data_hash from runs where run_id = ?", [run.id])
    if run.status == "done" and row and row[0] != store.data_hash(run.dataset):
        raise InputError(
            f"The data has changed since the run '{run.id}': it was ingested anew, or `link` has added edges. "
            "The graph that the run was trained on cannot be rebuilt. Train again."
        )
    checks = check_rows(store, run.split_id)
    if not any(check.verdict == "leak" and check.name == "parts overlap" for check in checks):
        checks += _check_batches(store, run, quick, report, progress)
    result = Audit(run.id, tuple(checks))
    _record(store, result, quick)
    return result


def _check_batches(
    store: GraphStore, run: Run, quick: bool, report: Callable[[Epoch], None] | None, progress: Progress | None
) -> list[Check]:
    """The checks that need the run's batches and network."""
    restored = rebuild(store, run, progress=progress)
    config, data = restored.config, restored.data
    loader = make_loader(config, data)
    train = data.examples("train").numpy()
    allowance = Allowance(store, config, data, temporal=loader.exact.temporal)
    batches = [
        batch
        for role in ROLES
        for batch in islice(used_batches(config, loader, data.roles, restored.network, parts=(role,)), SAMPLED_BATCHES)
    ]
    checks = [
        check_apart(store, config, data),
        check_edges(allowance, loader, batches),
        check_labels(allowance, batches),
        check_values(allowance, data.features, seed=config.seed),
        check_averages(allowance, batches, seed=config.seed),
        *check_deletion(store, config, data, loader, restored.network, quick=quick),
        *check_messages(config, loader, data.roles, restored.network),
        check_reciprocal(data.graph, batches, config.visibility),
        *check_perturbation(config, loader, data.roles, restored.network),
        *check_columns(data.graph, train, config.visibility, temporal=loader.exact.temporal, seed=config.seed),
        check_look_up(config, data, restored.network),
    ]
    return checks if quick else [*checks, check_shuffled_training(config, data, report=report)]


def expected(store: GraphStore, run: Run) -> tuple[int, float]:
    """Maximum number of epochs of the training on shuffled labels, and their seconds at the run's own pace."""
    row = store.first("select avg(seconds) from run_epochs where run_id = ?", [run.id])
    if row is None or row[0] is None:
        return 0, 0.0
    epochs = min(MOST_EPOCHS, RunConfig.from_run(run, allow_code=store.allow_code).fitting.epochs)
    return epochs, epochs * float(row[0])


def _record(store: GraphStore, result: Audit, quick: bool) -> None:
    """Replace the run's earlier checks and update its notes, in one transaction."""
    row = store.first("select notes from runs where run_id = ?", [result.run])
    before: list[str] = json.loads(row[0]) if row else []
    kept = [note for note in before if note not in (CLEAN, QUICK) and not note.startswith((LEAK, MISSING))]
    added = [f"{LEAK}{name}" for name in result.leaks] + [f"{MISSING}{name}" for name in result.missing]
    added = added or [QUICK if quick else CLEAN]
    with store.transaction():
        store.connection.execute("delete from audits where run_id = ?", [result.run])
        store.connection.executemany(
            "insert into audits (run_id, name, verdict, examined, found, detail, examples) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            [
                [result.run, check.name, check.verdict, check.examined, check.found, check.detail, list(check.examples)]
                for check in result.checks
            ],
        )
        store.connection.execute(
            "update runs set notes = ? where run_id = ?", [json.dumps([*kept, *added]), result.run]
        )
