"""What a report says of the analyses of its dataset: sections about those in the store, a line about the others."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from graphsocial.reporting.analyses import emotion, network, popularity, robustness
from graphsocial.reporting.analyses.base import Study, studies
from graphsocial.reporting.page import Prose, Section, Table
from graphsocial.reporting.subject import is_order
from graphsocial.runs import Run
from graphsocial.store import GraphStore

SECTIONS: dict[str, Callable[[Study], list[Section]]] = {
    "network": network.sections,
    "popularity": popularity.sections,
    "emotion": emotion.sections,
    "robustness": robustness.sections,
}
SHOWN = 50  # rows of the tables of other people's analyses


def sections(store: GraphStore, dataset: str, run: Run | None = None) -> list[Section]:
    """The analyses of a dataset as sections; with a run, without what other runs said.

    What could be asked of the dataset and was not has a line in a section of its own.
    """
    found = studies(store, dataset)
    kept = found if run is None else [mine for study in found if (mine := _of(study, run.id)) is not None]
    known = [study for name in SECTIONS for study in kept if study.analysis == name]
    others = [study for study in kept if study.analysis not in SECTIONS]
    made = [section for study in known for section in SECTIONS[study.analysis](study)]
    made += [section for study in others for section in _plain(study)]
    asked = {study.analysis for study in kept}
    if run is not None and store.first("select 1 from explanations where run_id = ? limit 1", [run.id]):
        asked.add("explain")
    lines = [line for name, line in _offers(store, dataset, run) if name not in asked]
    if lines:
        intro = "These would be shown here as well; each command writes its rows to the store."
        made.append(Section("Not asked yet", intro, [Prose("Commands", lines, points=True)]))
    return made


def _of(study: Study, run_id: str) -> Study | None:
    """The study without what it says of other runs; None where nothing is left."""
    if study.key.get("run_id", run_id) != run_id:
        return None
    source = study.key.get("source", "labels")
    if not (source.startswith("labels") or source.startswith(f"{run_id} ")):
        return None
    return network.of_run(study, run_id) if study.analysis == "network" else study


def _plain(study: Study) -> list[Section]:
    """An analysis that nothing is known of here: its tables."""
    about = ", ".join(f"{name} {value}" for name, value in study.key.items())
    tables = [
        Table(
            f"{study.analysis}_{name}",
            frame.columns,
            frame.head(SHOWN).rows(),
            f"The first {SHOWN} of {frame.height:,} rows." if frame.height > SHOWN else "",
        )
        for name, frame in study.frames.items()
    ]
    title = f"{study.analysis.replace('_', ' ').capitalize()}{f': {about}' if about else ''}"
    return [Section(title, "", [*tables, *study.remarks])]


def _offers(store: GraphStore, dataset: str, run: Run | None) -> list[tuple[str, str]]:
    """The analyses that the dataset has what it needs for: name, and what to say of it."""
    several = ["--dataset", dataset] if len(store.datasets()) > 1 else []
    schema = store.schema
    same = [edge for edge in schema.edges if edge.src == edge.dst and len(store.span(edge, dataset))]
    among = [edge for edge in same if not is_order(store, edge, dataset)]
    columns = [
        {column.name: column for column in node.columns} for node in schema.nodes if len(store.span(node, dataset))
    ]
    offers: list[tuple[str, Sequence[str], str]] = []
    if among:
        edges = ["--edges", str(among[0])] if len(same) > 1 else []
        told = "degrees, centralities, communities, and whether linked nodes are alike"
        offers.append(("network", edges, told))
    if any("shares" in there and there["shares"].kind == "integer" for there in columns):
        offers.append(("popularity", [], "the distribution of shares, emotions, correlations, the regression of EIJL"))
    if any({"dialogue", "turn", "emotion"} <= there.keys() for there in columns):
        told = "emotions over time by dialogue and speaker, what follows what, contagion along replies"
        offers.append(("emotion", [], told))
    vectors = any(column.kind == "vector" for there in columns for column in there.values())
    if run is not None and (
        vectors or store.first("select 1 from runs where run_id = ? and feature_sets <> '{}'", [run.id])
    ):
        offers.append(("robustness", ["--run", run.id], "what the scores lose when a modality is missing"))
    lines = [
        (name, f"{shlex.join(['graphsocial', 'analyze', name, *words, *several])} – {told}.")
        for name, words, told in offers
    ]
    if run is not None:
        explain = ["graphsocial", "explain", run.id, "--limit", "200"]
        lines.append(("explain", f"{shlex.join(explain)} – what the answers owe to each kind of information."))
    return lines
