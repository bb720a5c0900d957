"""Which columns of neighbors' vectors a run's nodes get the mean of: asked for, or declared by the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from graphsocial.errors import InputError
from graphsocial.features import ENCODABLE, FeatureRef
from graphsocial.specs import Spec
from graphsocial.store import GraphStore
from graphsocial.types import Column, EdgeType, NodeType

Averages = Mapping[str, tuple[str, ...]]
"""Column of vectors, such as `group.description` → the node types whose nodes get the mean of their neighbors'."""


def split_specs(features: Mapping[str, str | None]) -> tuple[dict[str, str | None], Averages]:
    """The encoders of `features`, and what their `to=` ask for: `{"group.description": "sentence,to=user"}`.

    `to=none` asks for no mean, where the model has one by default. Several types are joined by `/`.
    """
    encoders: dict[str, str | None] = {}
    averages: dict[str, tuple[str, ...]] = {}
    for name, text in features.items():
        encoders[name] = text
        if text is None:
            continue
        given = []
        for part in Spec.parse_all(f",{text}" if text.startswith("to=") else text):
            settings = dict(part.settings)
            if "to" in settings:
                to = settings.pop("to")
                averages[name] = (*averages.get(name, ()), *(() if to == "none" else to.split("/")))
            given.append(str(Spec(part.text, settings)))
        encoders[name] = "+".join(given)
        if not encoders[name]:  # `to=user` alone: the column's own vectors, or its default encoder
            del encoders[name]
    return encoders, averages


def complete(
    store: GraphStore,
    dataset: str,
    asked: Averages,
    declared: Mapping[str, str],
    features: Mapping[str, str | None],
    entity: NodeType | EdgeType,
) -> Averages:
    """What is asked for and what the model declares, checked.

    Args:
        store: the store with the data.
        dataset: the dataset's name.
        asked: what the specs ask for.
        declared: `Model.averages`.
        features: column → encoder, None for columns that are left out.
        entity: the type of the examples; means do not go over supervised edges.

    Raises:
        InputError: there is no such column of vectors, or no edge type of the data joins the two node types.
    """
    joined = {(edge.src, edge.dst) for edge in store.schema.edges if len(store.span(edge, dataset)) and edge != entity}
    joined |= {(dst, src) for src, dst in joined}
    columns = {f"{node}.{column.name}": node.name for node in store.schema.nodes for column in _of_vectors(node)}
    for name, types in asked.items():
        if name not in columns:
            raise InputError(
                f"'{name}' has no vectors to average; columns that have: {', '.join(sorted(columns)) or 'none'}."
            )
        for to in types:
            if (columns[name], to) not in joined:
                known = sorted(dst for src, dst in joined if src == columns[name])
                raise InputError(
                    f"No edges of '{dataset}', but for supervised ones, join '{columns[name]}' and '{to}', "
                    f"so the mean of '{name}' cannot go to "
                    f"it. Types that they join: {', '.join(known) or 'none'}."
                )
    by_default = {
        name: (declared[node],)
        for name, node in columns.items()
        if (node, declared.get(node)) in joined and features.get(name, "") is not None
    }
    return {name: types for name, types in {**by_default, **asked}.items() if types}


def implied(features: Sequence[FeatureRef], ends: Sequence[str], edges: Sequence[EdgeType]) -> Averages:
    """The means of runs before averages were asked for: of all encoded columns of types that are no endpoint.

    Such types passed no messages.

    Args:
        features: the feature sets of the run.
        ends: the node types of the examples' endpoints.
        edges: the run's edge types.
    """
    silent = {f.entry.name for f in features if isinstance(f.entry, NodeType)} - {*ends}
    joined = set(chain.from_iterable(((edge.src, edge.dst), (edge.dst, edge.src)) for edge in edges))
    return {
        str(feature): tuple(sorted(to for node, to in joined if node == feature.entry.name and to not in silent))
        for feature in features
        if isinstance(feature.entry, NodeType) and feature.entry.name in silent
    }


def _of_vectors(node: NodeType) -> list[Column]:
    return [column for column in node.columns if column.kind in (*ENCODABLE, "vector") and column.role == "feature"]
