"""The leaderboard and the runs behind it, read from the store's views and laid out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .render import Output
from .values import number

if TYPE_CHECKING:
    import polars as pl

    from graphsocial.runs import Run
    from graphsocial.store import GraphStore
    from graphsocial.training.estimation import Estimate

METRICS = ("weighted_f1", "macro_f1", "accuracy", "log_loss", "mae", "median_ae", "rmse", "rmsle", "r2", "spearman")


def task_name(given: str | None) -> str | None:
    """A task as the store writes it: `edge_emotion` and `edge-emotion` are one."""
    if given is None:
        return None
    from graphsocial.plugins import resolve

    return str(resolve("task", given).name)


def board(store: GraphStore, *, task: str | None, dataset: str | None, split: str | None = None) -> pl.DataFrame:
    """The leaderboard, seeds taken together."""
    import polars as pl

    from graphsocial.runs import leaderboard

    found = leaderboard(store, task=task, dataset=dataset)
    return found if split is None else found.filter(pl.col("split") == split)


def each(store: GraphStore, task: str | None, dataset: str | None) -> pl.DataFrame:
    """The leaderboard, run by run."""
    return _only(store.connection.table("leaderboard").pl(), task=task, dataset=dataset)


def of_runs(store: GraphStore, runs: list[Run]) -> pl.DataFrame:
    """The leaderboard's lines of these runs, in their order."""
    import polars as pl

    order = pl.DataFrame({"run_id": [run.id for run in runs]}).unique(maintain_order=True)
    return order.join(store.connection.table("leaderboard").pl(), on="run_id", how="inner", maintain_order="left")


def finished(store: GraphStore) -> set[str]:
    """The ids of runs that are done."""
    found = store.connection.table("runs").pl()
    return set(found.filter(found["status"] == "done")["run_id"].to_list())


def of_status(store: GraphStore, status: str, task: str | None, dataset: str | None) -> list[str]:
    """The ids of runs that are `failed`, or `running`: being trained, or interrupted."""
    found = _only(store.connection.table("runs").pl(), task=task, dataset=dataset)
    return sorted(found.filter(found["status"] == status)["run_id"].to_list())


def closed(store: GraphStore, task: str | None, dataset: str | None) -> list[str]:
    """The ids of runs that are done, and whose test part was not opened yet."""
    found = _only(store.connection.table("runs").pl(), task=task, dataset=dataset)
    done = set(found.filter(found["status"] == "done")["run_id"].to_list())
    return sorted(done - set(store.connection.table("leaderboard").pl()["run_id"].to_list()))


def _only(frame: pl.DataFrame, **wanted: str | None) -> pl.DataFrame:
    for column, value in wanted.items():
        if value is not None:
            frame = frame.filter(frame[column] == value)
    return frame


def show_boards(out: Output, found: pl.DataFrame) -> None:
    """One table for each task, dataset, split and target; `looks` (see the view) where one is more than the first."""
    for title, rows in _groups(found):
        metrics = _metrics(rows)
        looks = ["looks"] if any((row["looks"] or 1) > 1 for row in rows) else []
        tested = ["tested on"] if len({tuple(row["split_ids"]) for row in rows}) > 1 else []
        out.table(
            ["model", "runs", *metrics, "seconds", "config", *tested, *looks, "notes"],
            [
                [
                    row["model"],
                    row["runs"],
                    *(number(row[name], row.get(f"{name}_sd")) for name in metrics),
                    number(row["wall_seconds"], places=1),
                    row["config_id"][:6],
                    *([_examples(row["split_ids"])] if tested else []),
                    *(row[name] for name in looks),
                    ", ".join(json.loads(row["notes"])),
                ]
                for row in rows
            ],
            title=title,
        )

        if tested:
            out.say("Rows that differ in 'tested on' were tested on other examples, and do not compare.")


def _examples(split_ids: list[str]) -> str:
    """The start of a split's id; of folds, how many more there are."""
    return split_ids[0][:6] + (f" + {len(split_ids) - 1}" if len(split_ids) > 1 else "")


def show_runs(out: Output, found: pl.DataFrame, *, grouped: bool = False) -> None:
    """The runs, each on its line; one table for each target, and for each task, dataset and split where asked."""
    groups = _groups(found)
    for title, rows in groups:
        metrics = _metrics(rows)
        if not grouped:
            title = f"Runs: {rows[0]['target']}" if len(groups) > 1 else "Runs"
        notes = ["notes"] if any(row["notes"] != "[]" for row in rows) else []
        out.table(
            ["run", "seed", *metrics, "seconds", "config", *notes],
            [
                [
                    row["run_id"],
                    row["seed"],
                    *(number(row[name]) for name in metrics),
                    number(row["wall_seconds"], places=1),
                    row["config_id"][:6],
                    *(", ".join(json.loads(row[name])) for name in notes),
                ]
                for row in rows
            ],
            title=title,
        )


def _metrics(rows: list[dict[str, Any]]) -> list[str]:
    """The metrics that the rows have."""
    return [name for name in METRICS if any(row[name] is not None for row in rows)]


def _groups(found: pl.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in found.to_dicts():
        title = f"{row['task']} on {row['dataset']}, split {row['split']}: {row['target']} of the test part"
        groups.setdefault(title, []).append(row)
    return list(groups.items())


def show_estimates(out: Output, found: list[tuple[str, int, Estimate]]) -> None:
    """What trainings would take: a line for each model, then what they have in common."""
    if out.json:
        rows = [{"model": model, "trainings": times, **one.to_dict()} for model, times, one in found]
        return out.value(rows)
    columns = ["model", "trainings", "parameters", "steps", "step_seconds", "epochs", "minutes_each", "minutes", "MiB"]
    lines = []
    for model, times, one in found:
        minutes = [number(share * one.training_minutes, places=1) for share in (1, times)]
        step = number(one.step_seconds)
        memory = round(one.peak_memory_mib)
        lines.append([model, times, one.parameters, one.steps, step, one.epochs, *minutes, memory])
    first = found[0][2]
    counted = [
        *first.nodes.items(),
        *first.edges.items(),
        *((f"{name} examples", n) for name, n in first.examples.items()),
    ]
    out.table(["what", "rows"], counted, title="in the graph")
    out.table(["column", "to encode"], list(first.contents.items()), title="not encoded yet")
    out.table(columns, lines, title="at most, on this machine as busy as it is now")
    total = first.encoding_minutes + sum(times * one.training_minutes for _, times, one in found)
    out.say(
        f"In all at most {total:.1f} minutes, {first.encoding_minutes:.1f} of them to encode; early stops shorten it."
    )
