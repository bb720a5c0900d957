"""The command that asks why: explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import JsonOption, QuietOption, RunArgument, StoreOption, settle
from .values import number

if TYPE_CHECKING:
    import polars as pl

    from .render import Output


def explain(
    ctx: typer.Context,
    run: RunArgument,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="ID ID", help="One pair, such as a user and an image; it needs no edge."),
    ] = None,
    node: Annotated[str | None, typer.Option(metavar="ID", help="One node, for tasks that ask about nodes.")] = None,
    split: Annotated[str, typer.Option(metavar="PART", help="Otherwise all of: train, validation or test.")] = "test",
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="At most so many of that part, drawn by --seed.")
    ] = None,
    top: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Neighbours of each end in each relation, and places by each attention."),
    ] = 5,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of what is drawn at random.")] = 0,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what a run's answers owe to each kind of information, and to whom its attention goes.

    The rows go to the table explanations. A modality's value is what the
    log-probability of the named class loses without it; sequence is the same for
    what stands around it in its sequence, such as the segments of a dialogue,
    and attention says where the network looks there. The fidelity is what is
    lost without the first ones, beyond what is lost without random ones.
    """
    session = settle(ctx, store, json, quiet)
    if pair and node:
        raise typer.BadParameter("--pair and --node exclude each other.", param_hint="--node")
    with session.write() as opened:
        from graphsocial import runs
        from graphsocial.explanation import explain as account

        chosen = runs.load(opened, run)
        ids: list[Any] | None = [pair] if pair else [node] if node else None
        with session.out.progress() as progress:
            found = account(opened, chosen, ids=ids, split=split, limit=limit, top=top, seed=seed, progress=progress)
    if session.out.json:
        return session.out.value(found.to_dicts())
    if ids:
        _show_one(session.out, found, top)
    else:
        _show_means(session.out, found)
    query = f"select name, avg(value) from explanations where run_id = '{chosen.id}' and kind = 'modality' group by all"
    session.out.say(f"Look at them: {session.command('sql', query)}")


def _show_one(out: Output, found: pl.DataFrame, top: int) -> None:
    """A table of each kind for each target; of long ones the first."""
    for (target, kind), part in found.group_by("target", "kind", maintain_order=True):
        placed = kind in ("sequence", "attention")
        rows = (
            part.filter(part["rank"] <= top).sort("name", "rank", maintain_order=True) if placed else part
        ).to_dicts()
        who = " and ".join(str(rows[0][name]) for name in ("entity_id", "other_id") if rows[0][name] is not None)
        title = f"{target} of {who}: {kind}{_fidelity(part)}"
        if kind == "neighbour":
            shown = [(row["end_id"], row["name"], row["neighbour_id"], number(row["value"])) for row in rows]
            out.table(["end", "relation", "neighbour", "attention"], shown, title=title)
        elif placed:
            rows = sorted(rows, key=lambda row: row["rank"]) if kind == "sequence" else rows
            places = [(row["name"], row["neighbour_id"], f"{row['distance']:+d}", number(row["value"])) for row in rows]
            out.table([str(kind), str(rows[0]["neighbour_type"]), "distance", "value"], places, title=title)
        else:
            out.table([str(kind), "value"], [(row["name"], number(row["value"])) for row in rows], title=title)


def _show_means(out: Output, found: pl.DataFrame) -> None:
    """The mean over examples, most important first; neighbours are too many to name."""
    import polars as pl

    for (target, kind), part in found.group_by("target", "kind", maintain_order=True):
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
    """How much of each attention goes to what comes before the example, to itself, and to what comes after."""
    sides = [part["distance"] < 0, part["distance"] == 0, part["distance"] > 0]
    return [
        (
            str(name),
            *(number(float(part.filter(side & (part["name"] == name))["value"].sum()) / count) for side in sides),
        )
        for name in part["name"].unique(maintain_order=True)
    ]


def _fidelity(part: pl.DataFrame) -> str:
    each = part.unique(["entity_id", "other_id", "name"])["fidelity"].drop_nulls().to_list()
    return f", fidelity {number(sum(each) / len(each))}" if each else ""
