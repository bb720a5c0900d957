"""The command that asks what a run would say if a node were different: what-if."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import JsonOption, QuietOption, RunArgument, StoreOption, pairs, settle
from .values import number

Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="COLUMN=VALUE", help="Another caption, image or number; may be given several times."),
]


def what_if(
    ctx: typer.Context,
    run: RunArgument,
    node: Annotated[str, typer.Argument(metavar="ID", help="The node's own id.")],
    set_: Changes = None,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score a node again with another text, image or value of a column; nothing stays in the store."""
    session = settle(ctx, store, json, quiet)
    changes = pairs(set_, option="--set")
    with session.write() as opened:
        from graphsocial.prediction.what_if import what_if as suppose

        found = suppose(opened, run, node, {name: value or None for name, value in changes.items()})
    if session.out.json:
        return session.out.value(found.to_dict())
    lines = []
    for row in found.answers.to_dicts():
        key = "value" if row["label"] is None else "label"
        extra = ("lower", "upper") if row["label"] is None else ("confidence",)
        for which, end in (("as it is", ""), ("what if", "_if")):
            told = " to ".join(number(row[name + end]) for name in extra if row[name + end] is not None)
            said = row[key + end] if key == "label" else number(row[key + end])
            lines.append((row["target"], which, said, told))
    session.out.table(
        ["target", "", "answer", "interval or confidence"], lines, title=f"{found.entity_id} by {found.run}"
    )
