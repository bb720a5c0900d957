"""The command that predicts a node with changed columns: what-if."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import CodeOption, RunArgument, Session, pairs
from .values import number


def what_if(
    run: RunArgument,
    node: Annotated[str, typer.Argument(metavar="ID", help="Id of the node.")],
    *,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="COLUMN=VALUE",
            help="Changed value of a column: text, path of an image, category or number. Repeatable.",
            show_default=False,
        ),
    ] = None,
    allow_code: CodeOption = False,
    session: Session,
) -> None:
    """Predict a node with changed column values; nothing is stored."""
    changes = pairs(set_, option="--set")
    with session.write(allow_code=allow_code) as opened:
        from graphsocial.prediction.what_if import what_if as predict_changed

        result = predict_changed(opened, run, node, {name: value or None for name, value in changes.items()})
    if session.out.json:
        return session.out.value(result.to_dict())
    lines = []
    for row in result.answers.to_dicts():
        key = "value" if row["label"] is None else "label"
        certainty = ("lower", "upper") if row["label"] is None else ("confidence",)
        for variant, end in (("as it is", ""), ("what if", "_if")):
            interval = " to ".join(number(row[name + end]) for name in certainty if row[name + end] is not None)
            prediction = row[key + end] if key == "label" else number(row[key + end])
            lines.append((row["target"], variant, prediction, interval))
    session.out.table(
        ["target", "", "prediction", "interval or confidence"], lines, title=f"{result.entity_id} by {result.run}"
    )
