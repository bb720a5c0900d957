"""The command that attributes predictions: explain."""

from __future__ import annotations

from statistics import mean, stdev
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import CodeOption, PartOption, RunArgument, Session
from .values import number

if TYPE_CHECKING:
    import polars as pl

    from .render import Output


def explain(
    run: RunArgument,
    *,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="ID ID", help="Pair to explain, such as a user and an image; no edge is needed.", show_default=False
        ),
    ] = None,
    node: Annotated[
        str | None, typer.Option(metavar="ID", help="Node to explain, for node tasks.", show_default=False)
    ] = None,
    split: PartOption = "test",
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of examples, drawn at random by --seed.", show_default="all"),
    ] = None,
    top: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Number of neighbors per endpoint and relation, and of positions per attention."
        ),
    ] = 5,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Random seed of all that is drawn.")] = 0,
    allow_code: CodeOption = False,
    session: Session,
) -> None:
    """Attribute a run's predictions to modalities, edge types, neighbors and attention.

    The rows go to the table explanations. The value of a modality is the
    drop in log-probability of the predicted class when it is removed; sequence
    is the same for the other nodes of the example's sequence, such as the
    segments of a dialogue, and attention is the weight on each of them. Fidelity
    is the drop when the top items are removed, minus that for random ones.
    """
    if pair and node:
        raise typer.BadParameter("--pair and --node exclude each other.", param_hint="--node")
    ids: list[Any] | None = [pair] if pair else [node] if node else None
    with session.write(allow_code=allow_code) as opened:
        from graphsocial import runs
        from graphsocial.explanation import explain as attribute

        loaded = runs.load(opened, run)
        with session.out.progress() as progress:
            (notes,) = opened.first("select notes from runs where run_id = ?", [loaded.id]) or ("[]",)
            rows = attribute(opened, loaded, ids=ids, split=split, limit=limit, top=top, seed=seed, progress=progress)
    if session.out.json:
        return session.out.value(rows.to_dicts())
    if ids:
        _show_one(session.out, rows, top)
    else:
        _show_means(session.out, rows)
    query = f"select name, avg(value) from explanations where run_id = '{loaded.id}' and kind = 'modality' group by all"
    if "transductive" in notes:
        session.out.say(
            "The model is transductive: what it learnt of single nodes, their labels included, is in its weights, "
            "so that removing labels or edges shows a part of their effect, or none."
        )
    session.out.say(f"Explanations: {session.command('sql', query)}")


def _show_one(out: Output, explanations: pl.DataFrame, top: int) -> None:
    """A table of each kind for each target; of sequences and attention the `top` rows."""
    for (target, kind), part in explanations.group_by("target", "kind", maintain_order=True):
        ranked = kind in ("sequence", "attention")
        rows = (
            part.filter(part["rank"] <= top).sort("name", "rank", maintain_order=True) if ranked else part
        ).to_dicts()
        ids = " and ".join(str(rows[0][name]) for name in ("entity_id", "other_id") if rows[0][name] is not None)
        title = f"{target} of {ids}: {kind}{_fidelity(part)}"
        if kind == "neighbour":
            shown = [(row["end_id"], row["name"], row["neighbour_id"], number(row["value"])) for row in rows]
            out.table(["end", "relation", "neighbor", "attention"], shown, title=title)
        elif ranked:
            rows = sorted(rows, key=lambda row: row["rank"]) if kind == "sequence" else rows
            shown = [(row["name"], row["neighbour_id"], f"{row['distance']:+d}", number(row["value"])) for row in rows]
            out.table([str(kind), str(rows[0]["neighbour_type"]), "distance", "value"], shown, title=title)
        else:
            out.table([str(kind), "value"], [(row["name"], number(row["value"])) for row in rows], title=title)


def _show_means(out: Output, explanations: pl.DataFrame) -> None:
    """The mean over examples by name, greatest mean absolute value first."""
    import polars as pl

    for (target, kind), part in explanations.group_by("target", "kind", maintain_order=True):
        count = part.select("entity_id", "other_id").n_unique()
        title = f"{target} of {count:,} examples: {kind}{_fidelity(part)}"
        if kind == "attention":
            out.table(["attention", "before", "itself", "after"], _sides(part, count), title=title)
            continue
        means = part.group_by("name", maintain_order=True).agg(
            pl.col("value").mean(), pl.col("value").abs().mean().alias("size"), pl.len()
        )
        rows = means.sort("size", descending=True, maintain_order=True).to_dicts()
        shown = [(row["name"], number(row["value"]), number(row["size"]), row["len"]) for row in rows]
        out.table([str(kind), "mean", "mean_size", "rows"], shown, title=title)


def _sides(part: pl.DataFrame, count: int) -> list[tuple[str, ...]]:
    """The share of each attention on positions before the example, on itself, and on positions after it."""
    sides = [part["distance"] < 0, part["distance"] == 0, part["distance"] > 0]
    return [
        (
            str(name),
            *(number(float(part.filter(side & (part["name"] == name))["value"].sum()) / count) for side in sides),
        )
        for name in part["name"].unique(maintain_order=True)
    ]


def _fidelity(part: pl.DataFrame) -> str:
    """The mean fidelity ± its standard error, for a title."""
    each = part.unique(["entity_id", "other_id", "name"])["fidelity"].drop_nulls().to_list()
    return f", fidelity {number(mean(each), stdev(each) / len(each) ** 0.5 if len(each) > 1 else None)}" if each else ""
