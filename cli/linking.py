"""The command that joins what is alike: link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import DatasetOption, JsonOption, QuietOption, Session, StoreOption, settle

if TYPE_CHECKING:
    from graphsocial.graph.linking import LinkReport


def link(
    ctx: typer.Context,
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node type whose nodes are joined, such as post.")],
    by: Annotated[
        list[str],
        typer.Option(
            metavar="COLUMN[=ENCODER]",
            help="What is compared: a column of text, images or vectors; may be given several times.",
        ),
    ],
    k: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="At most so many edges into a node.")] = 10,
    minimum: Annotated[float, typer.Option(metavar="COSINE", help="No edge where nodes are less alike.")] = 0.0,
    relation: Annotated[str, typer.Option(metavar="NAME", help="The edges are NODE NAME NODE.")] = "similar",
    exact: Annotated[
        bool | None,
        typer.Option("--exact/--lists", help="Compare all pairs, or search in lists; lists above 100,000 nodes."),
    ] = None,
    recall: Annotated[
        float, typer.Option(metavar="SHARE", help="Of the nearest nodes, how many a search in lists has to find.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the search in lists.")] = 0,
    dataset: DatasetOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Join each node to the nodes most like it, only to earlier ones where nodes have times.

    The edges lie in a table of their own, with the cosine of the vectors as
    similarity; tasks and models use them like edges that came with the data.
    """
    session = settle(ctx, store, json, quiet)
    from graphsocial.graph.linking import link as join

    from .data import encoder_name

    columns: dict[str, str | None] = {}
    for one in by:
        name, _, encoder = one.partition("=")
        columns[name.strip().removeprefix(f"{node}.")] = encoder_name(encoder.strip() or None)
    with session.write() as opened, session.out.progress() as progress:
        report = join(
            opened,
            node,
            columns,
            k=k,
            minimum=minimum,
            relation=relation,
            exact=exact,
            recall=recall,
            seed=seed,
            dataset=dataset,
            progress=progress,
        )
    if session.out.json:
        return session.out.value(report.to_dict())
    _show(session, report, node)


def _show(session: Session, report: LinkReport, node: str) -> None:
    session.out.table(
        ["edges", "rows", f"{node} linked", "compared", "of", "recall"],
        [(report.edge, report.edges, report.linked, report.nodes - report.bare, report.nodes, round(report.recall, 4))],
    )
    if not report.changed:
        session.out.say("The same edges were there already; nothing was written.")
    if report.probed is not None:
        session.out.say("Recall was measured on a sample: each node looked into {} of {} lists.".format(*report.probed))
    table = f"edge_{report.edge.replace(' ', '_')}"
    session.out.say(
        f"Look at them: {session.command('sql', f'select * from {table} order by similarity desc limit 5')}"
    )
