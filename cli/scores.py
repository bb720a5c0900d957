"""The leaderboard and its runs, read from the store's views and printed."""

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

METRICS = (
    *("weighted_f1", "micro_f1", "macro_f1", "average_precision", "accuracy", "subset_accuracy", "log_loss"),
    *("roc_auc", "mrr", "hits_10"),
    *("mae", "median_ae", "rmse", "rmsle", "r2", "spearman", "coverage"),
)
GENERAL = ("node", "edge", "link")
"""Tasks that are about any type, which titles name instead."""


def task_name(given: str | None) -> str | None:
    """A task's registered name: `edge_emotion` is `edge-emotion`."""
    if given is None:
        return None
    from graphsocial.plugins import resolve

    return str(resolve("task", given).name)


def board(
    store: GraphStore,
    *,
    task: str | None,
    dataset: str | None,
    split: str | None = None,
    beside: Run | None = None,
) -> pl.DataFrame:
    """The leaderboard, with means over seeds.

    Args:
        store: where the runs are.
        task, dataset, split: of the runs; None for all.
        beside: only runs that predict targets of this one, of the same node or edge type.
    """
    import polars as pl

    from graphsocial.runs import leaderboard

    lines = leaderboard(store, task=task, dataset=dataset)
    if beside is not None:
        targets = {target for metrics in beside.metrics.values() for target in metrics}
        row = store.first("select entity from splits where split_id = ?", [beside.split_id])
        lines = lines.filter(pl.col("target").is_in(targets), pl.col("entity").is_in(row or ()))
    return lines if split is None else lines.filter(pl.col("split") == split)


def each(store: GraphStore, task: str | None, dataset: str | None) -> pl.DataFrame:
    """The leaderboard, run by run.

    Args:
        store: where the runs are.
        task, dataset: of the runs; None for all.
    """
    return _only(store.connection.table("leaderboard").pl(), task=task, dataset=dataset)


def of_runs(store: GraphStore, runs: list[Run]) -> pl.DataFrame:
    """The leaderboard's lines of these runs, in their order."""
    import polars as pl

    order = pl.DataFrame({"run_id": [run.id for run in runs]}).unique(maintain_order=True)
    return order.join(store.connection.table("leaderboard").pl(), on="run_id", how="inner", maintain_order="left")


def finished(store: GraphStore) -> set[str]:
    """The ids of runs that are done."""
    runs = store.connection.table("runs").pl()
    return set(runs.filter(runs["status"] == "done")["run_id"].to_list())


def of_status(store: GraphStore, status: str, task: str | None, dataset: str | None) -> list[str]:
    """The ids of runs in a status.

    Args:
        store: where the runs are.
        status: `failed`, or `running`: in training, or interrupted.
        task, dataset: of the runs; None for all.
    """
    runs = _only(store.connection.table("runs").pl(), task=task, dataset=dataset)
    return sorted(runs.filter(runs["status"] == status)["run_id"].to_list())


def closed(store: GraphStore, task: str | None, dataset: str | None) -> list[str]:
    """The ids of finished runs that were never scored on the test part.

    Args:
        store: where the runs are.
        task, dataset: of the runs; None for all.
    """
    runs = _only(store.connection.table("runs").pl(), task=task, dataset=dataset)
    done = set(runs.filter(runs["status"] == "done")["run_id"].to_list())
    return sorted(done - set(store.connection.table("leaderboard").pl()["run_id"].to_list()))


def _only(frame: pl.DataFrame, **values: str | None) -> pl.DataFrame:
    """The rows with these values; None stands for any."""
    for column, value in values.items():
        if value is not None:
            frame = frame.filter(frame[column] == value)
    return frame


def show_boards(out: Output, board: pl.DataFrame) -> None:
    """One table for each task, dataset, split and target; `test_openings` where a configuration was not the first."""
    for title, rows in _groups(board):
        metrics = _metrics(rows)
        openings = ["test_openings"] if any((row["test_openings"] or 1) > 1 for row in rows) else []
        tested = ["tested on"] if len({tuple(row["split_ids"]) for row in rows}) > 1 else []
        out.table(
            ["model", "runs", *metrics, "seconds", "config", *tested, *openings, "notes"],
            [
                [
                    row["model"],
                    row["runs"],
                    *(number(row[name], row.get(f"{name}_sd")) for name in metrics),
                    number(row["wall_seconds"], places=1),
                    row["config_id"][:6],
                    *([_examples(row["split_ids"])] if tested else []),
                    *(row[name] for name in openings),
                    ", ".join(json.loads(row["notes"])),
                ]
                for row in rows
            ],
            title=title,
        )
        if tested:
            out.say("Rows with another 'tested on' have other test examples, and do not compare.")


def _examples(split_ids: list[str]) -> str:
    """The first split's id, shortened, and the number of further ones (folds)."""
    return split_ids[0][:6] + (f" + {len(split_ids) - 1}" if len(split_ids) > 1 else "")


def show_graph(out: Output, edges: pl.DataFrame) -> None:
    """Print what a run uses of each edge type: rows of `run_edges`."""
    some = edges["left_out"].null_count() < edges.height
    out.table(
        ["edge type", "edges", "first batch", "last batch", *["left out"] * some],
        [
            [row["edge_type"], row["edges"], row["first_batch"], row["last_batch"], *[row["left_out"]] * some]
            for row in edges.to_dicts()
        ],
        title="Edges that batches may use, in order of time",
    )


def show_runs(out: Output, runs: pl.DataFrame, *, grouped: bool = False) -> None:
    """Print the runs, one line each, in one table per target.

    Args:
        out: where they are printed.
        runs: lines of the leaderboard.
        grouped: one table per task, dataset and split, too, which its title names.
    """
    groups = _groups(runs)
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


def _groups(lines: pl.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    """Lines of the leaderboard by task, dataset, split and target, under the title of their table."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in lines.to_dicts():
        what = row["entity"] if row["task"] in GENERAL else row["task"]
        title = f"{what} on {row['dataset']}, split {row['split']}: {row['target']} of the test part"
        groups.setdefault(title, []).append(row)
    return list(groups.items())


def show_estimates(out: Output, estimates: list[tuple[str, int, Estimate]]) -> None:
    """What the trainings of each model would take, and the size of their data."""
    if out.json:
        rows = [{"model": model, "trainings": times, **each.to_dict()} for model, times, each in estimates]
        return out.value(rows)
    columns = ["model", "trainings", "parameters", "steps", "step_seconds", "epochs", "minutes_each", "minutes", "MiB"]
    lines = []
    for model, times, each in estimates:
        minutes = [number(count * each.training_minutes, places=1) for count in (1, times)]
        step = number(each.step_seconds)
        memory = round(each.peak_memory_mib)
        lines.append([model, times, each.parameters, each.steps, step, each.epochs, *minutes, memory])
    first = estimates[0][2]
    sizes = [
        *first.nodes.items(),
        *first.edges.items(),
        *((f"{name} examples", n) for name, n in first.examples.items()),
    ]
    out.table(["what", "rows"], sizes, title="in the graph")
    out.table(["column", "to encode"], list(first.contents.items()), title="not encoded yet")
    out.table(columns, lines, title="at most, on this machine as busy as it is now")
    total = first.encoding_minutes + sum(times * each.training_minutes for _, times, each in estimates)
    out.say(
        f"In all at most {total:.1f} minutes, {first.encoding_minutes:.1f} of them for encoding; early stopping "
        "shortens it."
    )
