"""Does a run see what it should not? A list of checks, written to the store beside the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from graphsocial import runs
from graphsocial.auditing.base import Check
from graphsocial.auditing.columns import check_columns
from graphsocial.auditing.controls import MOST_EPOCHS, check_look_up, check_shuffled_training
from graphsocial.auditing.messages import check_messages
from graphsocial.auditing.parts import check_apart, check_rows
from graphsocial.auditing.perturbation import check_perturbation
from graphsocial.errors import InputError
from graphsocial.prediction import rebuild
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.training.data import make_loader
from graphsocial.training.loop import Epoch
from graphsocial.types import Progress

CLEAN, QUICK, LEAK = "audited", "audited without controls", "leak: "


@dataclass(frozen=True)
class Audit:
    """What was found in a run."""

    run: str
    checks: tuple[Check, ...]

    @property
    def leaks(self) -> tuple[str, ...]:
        """The names of the checks that found a leak."""
        return tuple(check.name for check in self.checks if check.verdict == "leak")

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"run": self.run, "leaks": list(self.leaks), "checks": [asdict(check) for check in self.checks]}


def audit(
    store: GraphStore,
    run: Run | str,
    *,
    quick: bool = False,
    report: Callable[[Epoch], None] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Rebuild what a run saw and count what it should not have seen; see `audits` for the checks.

    The findings are written to the table `audits`, and the run's notes, which the leaderboard shows, say `audited` or
    name the leaks. No prediction is compared with a test answer.

    Args:
        run: a run, its id, the start of it, or `latest`.
        quick: leave out the training on shuffled answers, the one check that takes long (see `expected`).
        report: called after each epoch of that training.
        progress: called while content is encoded.

    Raises:
        InputError: the run is not done, or the data has changed since.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    told = store.first("select data_hash from runs where run_id = ?", [run.id])
    if run.status == "done" and told and told[0] != store.data_hash(run.dataset):
        raise InputError(
            f"The data has changed since the run '{run.id}': it was ingested anew, or `link` has added edges. "
            "What the run saw is not there now. Train again."
        )
    checks = check_rows(store, run.split_id)
    if not any(check.verdict == "leak" and check.name == "parts overlap" for check in checks):
        checks += _look_inside(store, run, quick, report, progress)
    found = Audit(run.id, tuple(checks))
    _record(store, found, quick)
    return found


def _look_inside(
    store: GraphStore, run: Run, quick: bool, report: Callable[[Epoch], None] | None, progress: Progress | None
) -> list[Check]:
    """The checks that need the run's batches and its network."""
    restored = rebuild(store, run, progress=progress)
    config, data = restored.config, restored.data
    loader = make_loader(config, data)
    train = data.examples("train").numpy()
    found = [
        check_apart(store, config, data),
        *check_messages(config, loader, data.roles, restored.network),
        *check_perturbation(config, loader, data.roles, restored.network),
        *check_columns(data.graph, train, config.visibility, seed=config.seed),
        check_look_up(config, data, restored.network),
    ]
    return found if quick else [*found, check_shuffled_training(config, data, report=report)]


def expected(store: GraphStore, run: Run) -> tuple[int, float]:
    """The most epochs of the training on shuffled answers, and their seconds if each takes as long as the run's own."""
    row = store.first("select avg(seconds) from run_epochs where run_id = ?", [run.id])
    if row is None or row[0] is None:
        return 0, 0.0
    epochs = min(MOST_EPOCHS, int(run.config["fitting"]["epochs"]))
    return epochs, epochs * float(row[0])


def _record(store: GraphStore, found: Audit, quick: bool) -> None:
    """Write the findings in place of older ones, and the run's notes; one transaction."""
    row = store.first("select notes from runs where run_id = ?", [found.run])
    before: list[str] = json.loads(row[0]) if row else []
    kept = [note for note in before if note not in (CLEAN, QUICK) and not note.startswith(LEAK)]
    said = [f"{LEAK}{name}" for name in found.leaks] or [QUICK if quick else CLEAN]
    with store.transaction():
        store.connection.execute("delete from audits where run_id = ?", [found.run])
        store.connection.executemany(
            "insert into audits (run_id, name, verdict, examined, found, detail, examples) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            [
                [found.run, check.name, check.verdict, check.examined, check.found, check.detail, list(check.examples)]
                for check in found.checks
            ],
        )
        store.connection.execute("update runs set notes = ? where run_id = ?", [json.dumps([*kept, *said]), found.run])
