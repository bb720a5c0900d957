"""The command that adds similarity edges: link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import DatasetOption, Session

if TYPE_CHECKING:
    from graphsocial.graph.linking import LinkReport


def link(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Node type to link, such as post.")],
    *,
    by: Annotated[
        list[str],
        typer.Option(
            metavar="COLUMN[=ENCODER]",
            help="Column of text, images or vectors that similarity is computed from. Repeatable.",
        ),
    ],
    k: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Maximum number of edges into a node.")] = 10,
    minimum: Annotated[float, typer.Option(metavar="COSINE", help="Minimum cosine similarity of an edge.")] = 0.0,
    relation: Annotated[
        str, typer.Option(metavar="NAME", help="Relation of the edge type: NODE RELATION NODE.")
    ] = "similar",
    exact: Annotated[
        bool | None,
        typer.Option(
            "--exact/--lists",
            help="Exact search over all pairs, or approximate search in inverted lists.",
            show_default="exact up to 100,000 nodes",
        ),
    ] = None,
    recall: Annotated[
        float, typer.Option(metavar="SHARE", help="Minimum recall of the approximate search, measured on a sample.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Random seed of the approximate search.")] = 0,
    dataset: DatasetOption = None,
    session: Session,
) -> None:
    """Add edges from each node's nearest neighbors by cosine similarity, only earlier ones where nodes have times.

    The edges are a table like any other, with the column similarity;
    tasks and models use them like edges of the source data.
    """
    from graphsocial.graph.linking import link as add_edges

    from .data import encoder_name

    columns: dict[str, str | None] = {}
    for spec in by:
        name, _, encoder = spec.partition("=")
        columns[name.strip().removeprefix(f"{node}.")] = encoder_name(encoder.strip() or None)
    with session.write() as opened, session.out.progress() as progress:
        report = add_edges(
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
        session.out.say("The same edges were in the store already; nothing was written.")
    if report.probed is not None:
        probed, lists = report.probed
        session.out.say(f"Recall was measured on a sample; each node searched {probed} of {lists} lists.")
    table = f"edge_{report.edge.replace(' ', '_')}"
    session.out.say(f"Edges: {session.command('sql', f'select * from {table} order by similarity desc limit 5')}")
