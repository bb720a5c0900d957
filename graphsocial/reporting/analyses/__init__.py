"""Sections about the stored analyses of a dataset, and a section with the commands of further ones."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from graphsocial.reporting.analyses import emotion, network, popularity, robustness
from graphsocial.reporting.analyses.base import StoredAnalysis, stored_analyses
from graphsocial.reporting.page import Prose, Section, Table
from graphsocial.reporting.subject import is_sequence
from graphsocial.runs import Run
from graphsocial.store import GraphStore

SECTIONS: dict[str, Callable[[StoredAnalysis], list[Section]]] = {
    "network": network.sections,
    "popularity": popularity.sections,
    "emotion": emotion.sections,
    "robustness": robustness.sections,
}
MAX_ROWS = 50  # shown of each table of an analysis without a section of its own


def sections(store: GraphStore, dataset: str, run: Run | None = None) -> list[Section]:
    """The stored analyses of a dataset as sections.

    The last section lists the commands of analyses that the dataset allows and that are not in the store.

    Args:
        store: the store of the analyses.
        dataset: name of the dataset.
        run: leave out results about the predictions of other runs; none by default.
    """
    analyses = stored_analyses(store, dataset)
    if run is not None:
        analyses = [part for analysis in analyses if (part := _of_run(analysis, run.id)) is not None]
    known = [analysis for name in SECTIONS for analysis in analyses if analysis.name == name]
    others = [analysis for analysis in analyses if analysis.name not in SECTIONS]
    result = [section for analysis in known for section in SECTIONS[analysis.name](analysis)]
    result += [section for analysis in others for section in _tables(analysis)]
    done = {analysis.name for analysis in analyses}
    if run is not None and store.first("select 1 from explanations where run_id = ? limit 1", [run.id]):
        done.add("explain")
    lines = [line for name, line in _commands(store, dataset, run) if name not in done]
    if lines:
        intro = "Commands whose results are written to the store, and shown in the next report."
        result.append(Section("Further analyses", intro, [Prose("Commands", lines, bullets=True)]))
    return result


def _of_run(analysis: StoredAnalysis, run_id: str) -> StoredAnalysis | None:
    """The analysis without results about other runs; None where nothing is left."""
    if analysis.key.get("run_id", run_id) != run_id:
        return None
    source = analysis.key.get("source", "labels")
    if not (source.startswith("labels") or source.startswith(f"{run_id} ")):
        return None
    return network.of_run(analysis, run_id) if analysis.name == "network" else analysis


def _tables(analysis: StoredAnalysis) -> list[Section]:
    """The section of an analysis that has none of its own: its tables."""
    key = ", ".join(f"{name} {value}" for name, value in analysis.key.items())
    tables = [
        Table(
            f"{analysis.name}_{name}",
            frame.columns,
            frame.head(MAX_ROWS).rows(),
            f"The first {MAX_ROWS} of {frame.height:,} rows." if frame.height > MAX_ROWS else "",
        )
        for name, frame in analysis.frames.items()
    ]
    title = f"{analysis.name.replace('_', ' ').capitalize()}{f': {key}' if key else ''}"
    return [Section(title, "", [*tables, *analysis.remarks])]


def _commands(store: GraphStore, dataset: str, run: Run | None) -> list[tuple[str, str]]:
    """Name of each analysis that the dataset has the data for, with its command and a description."""
    dataset_option = ["--dataset", dataset] if len(store.datasets()) > 1 else []
    schema = store.schema
    same_type = [edge for edge in schema.edges if edge.src == edge.dst and len(store.span(edge, dataset))]
    networks = [edge for edge in same_type if not is_sequence(store, edge, dataset)]
    node_columns = [
        {column.name: column for column in node.columns} for node in schema.nodes if len(store.span(node, dataset))
    ]
    commands: list[tuple[str, Sequence[str], str]] = []
    if networks:
        edges = ["--edges", str(networks[0])] if len(same_type) > 1 else []
        commands.append(("network", edges, "degrees, centralities, communities and assortativity"))
    if any("shares" in columns and columns["shares"].kind == "integer" for columns in node_columns):
        commands.append(
            ("popularity", [], "distribution of shares, emotions, correlations, and the regression of EIJL")
        )
    if any({"dialogue", "turn", "emotion"} <= columns.keys() for columns in node_columns):
        description = "emotions over time by dialogue and speaker, transitions, likeness along replies"
        commands.append(("emotion", [], description))
    has_vectors = any(column.kind == "vector" for columns in node_columns for column in columns.values())
    if run is not None and (
        has_vectors or store.first("select 1 from runs where run_id = ? and feature_sets <> '{}'", [run.id])
    ):
        commands.append(("robustness", ["--run", run.id], "scores with missing modalities"))
    lines = [
        (name, f"{shlex.join(['graphsocial', 'analyze', name, *options, *dataset_option])} – {description}.")
        for name, options, description in commands
    ]
    if run is not None:
        explain = ["graphsocial", "explain", run.id, "--limit", "200"]
        lines.append(("explain", f"{shlex.join(explain)} – effect of each input on the predictions."))
    return lines
