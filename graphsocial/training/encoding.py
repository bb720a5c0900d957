"""The feature columns that a run reads, each with its encoder, and their encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.features import DEFAULT_ENCODERS, FeatureRef, FeatureReport, encoder_for, featurize
from graphsocial.features.vectors import WHOLE_ROW, of_rows
from graphsocial.featurizers._tabular import KINDS
from graphsocial.featurizers.base import Featurizer, FineTunable, FittedFeaturizer
from graphsocial.specs import Spec
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.training.config import RunConfig
from graphsocial.types import Column, EdgeType, NodeType, Progress, modality


@dataclass(frozen=True)
class Columns:
    """The columns that a model may read for a run's examples, by name (`type.column`).

    Attributes:
        encodable: name → type and column of those that an encoder turns into vectors: texts, images, sounds, videos.
        plain: name → kind of those that need no encoder: vectors, numbers, categories, times.
    """

    encodable: Mapping[str, tuple[NodeType | EdgeType, Column]]
    plain: Mapping[str, str]

    @classmethod
    def of(cls, store: GraphStore, config: RunConfig, entity: NodeType | EdgeType) -> Columns:
        """The columns of the entity and of the endpoints of the run's edge types.

        Args:
            store: the store with the data.
            config: the run's configuration.
            entity: the node or edge type of the examples.
        """
        schema = store.schema
        edges = [schema.edge(name) for name in config.edge_types] or list(schema.edges)
        endpoints = {end for edge in edges if len(store.span(edge, config.dataset)) for end in (edge.src, edge.dst)}
        nodes = [node for node in schema.nodes if node.name in endpoints or node == entity]
        types: list[NodeType | EdgeType] = [*nodes, *([entity] if isinstance(entity, EdgeType) else [])]
        encodable = {f"{t}.{c.name}": (t, c) for t in types for c in t.columns if c.kind in DEFAULT_ENCODERS}
        plain: dict[str, str] = {f"{t}.{c.name}": c.kind for t in types for c in t.columns if c.kind == "vector"}
        tabular = {f"{t}.{c.name}": c.kind for t in nodes for c in t.columns if c.kind in KINDS and c.role == "feature"}
        return cls(encodable, plain | tabular)

    def check(self, features: Mapping[str, str | None], node_types: set[str]) -> None:
        """Check that `features` names existing columns or node types, with an encoder for those that take one.

        Raises:
            InputError: a name does not exist, or must not or must have an encoder.
        """
        for name, spec in features.items():
            if name not in {*self.encodable, *self.plain, *node_types}:
                known = ", ".join(sorted({*self.encodable, *self.plain}))
                raise InputError(
                    f"There is no column to use or leave out, and no node type, '{name}'; columns: {known}."
                )
            if name in node_types and spec is None:
                raise InputError(f"'{name}' is a node type; leave out single columns, such as '{name}.COLUMN'.")
            if name in self.plain and spec is not None:
                raise InputError(
                    f"'{name}' is a {self.plain[name]}; it takes no encoder, but none, which leaves it out."
                )


def encode(
    store: GraphStore, config: RunConfig, entity: NodeType | EdgeType, progress: Progress | None = None
) -> tuple[FeatureRef, ...]:
    """The features that the model reads; contents that are not encoded yet are encoded.

    Args:
        store: the store, open for writing unless everything is encoded already.
        config: the run's configuration.
        entity: the node or edge type of the examples.
        progress: called while contents are encoded.
    """
    reports: list[FeatureReport] = []
    for name, encoder in columns_for(store, config, entity):
        reports += featurize(store, name, encoder, dataset=config.dataset, progress=progress)
    return (*(report.use for report in reports), *rows_for(store, config, entity))


def rows_for(store: GraphStore, config: RunConfig, entity: NodeType | EdgeType) -> list[FeatureRef]:
    """The stored vectors of whole rows, which the configuration's `features` names by node type.

    Args:
        store: the store with the vectors.
        config: the run's configuration.
        entity: the node or edge type of the examples.

    Raises:
        InputError: whole rows of the predicted type were encoded together with the column that is predicted.
    """
    node_types = _node_types(store)
    predicted = sorted(
        column.name
        for column in entity.columns
        if f"{entity}.{column.name}" in config.task.hidden_columns(entity) and column.role == "feature"
    )
    if predicted and config.features.get(str(entity)):
        raise InputError(
            f"The vectors '{config.features[str(entity)]}' of whole rows of '{entity}' may hold '{predicted[0]}', "
            "which is predicted. Declare it as `role: label` in the mapping, ingest and encode again, or leave the "
            "vectors out."
        )
    return [
        of_rows(store, store.schema.node(name), config.dataset, str(encoder))
        for name, spec in config.features.items()
        if name in node_types and spec
        for encoder in Spec.parse_all(spec)
    ]


def columns_for(store: GraphStore, config: RunConfig, entity: NodeType | EdgeType) -> list[tuple[str, Featurizer]]:
    """Each encodable column that the model reads and that is not empty, with its encoder.

    Args:
        store: the store with the data.
        config: the run's configuration.
        entity: the node or edge type of the examples.

    Raises:
        InputError: `features` names no existing column, or an encoder whose vectors the model cannot read.
        UnknownNameError: the dataset has no column of a modality that the model is set to read.
    """
    columns = Columns.of(store, config, entity)
    columns.check(config.features, _node_types(store))
    left_out = unread_columns(store, config, entity) | config.task.hidden_columns(entity)
    pairs: list[tuple[str, Featurizer]] = []
    for name, (entry, column) in columns.encodable.items():
        read = ("nodes" if isinstance(entry, NodeType) else "edges") in config.model.reads and name not in left_out
        if read and _used(config, name, column) and _filled(store, config.dataset, entry, column.name):
            spec = config.features.get(name) or DEFAULT_ENCODERS[column.kind]
            of_entity = name.startswith(f"{entity}.")
            pairs += [(name, _encoder(config, name, column, part, of_entity)) for part in Spec.parse_all(spec)]
    return pairs


def unread_columns(store: GraphStore, config: RunConfig, entity: NodeType | EdgeType) -> set[str]:
    """The columns of the entity whose modality the model is not set to read; none for edges.

    Args:
        store: the store with the data.
        config: the run's configuration.
        entity: the node or edge type of the examples.

    Raises:
        UnknownNameError: the dataset has no column of a modality that the model is set to read.
    """
    wanted = config.model.modalities
    if not wanted or isinstance(entity, EdgeType):
        return set()
    names = [column.name for column in entity.columns if column.kind in (*DEFAULT_ENCODERS, "vector")]
    known = {modality(name) for name in names if _filled(store, config.dataset, entity, name)}
    for name in wanted:
        if name not in known and not (name == WHOLE_ROW and entity.name in config.features):
            raise UnknownNameError.of("modality", name, known)
    return {f"{entity}.{name}" for name in names if modality(name) not in wanted}


def _used(config: RunConfig, name: str, column: Column) -> bool:
    """Whether the configuration uses a column: as set in `features`, else if its role is `feature`."""
    return config.features[name] is not None if name in config.features else column.role == "feature"


def _encoder(config: RunConfig, name: str, column: Column, spec: Spec, of_entity: bool) -> Featurizer:
    """The encoder of a spec, if the model reads its vectors."""
    encoder = encoder_for(str(spec), column.kind)
    reason = _unreadable(config, encoder, of_entity=of_entity)
    if isinstance(encoder, FittedFeaturizer) or reason:
        raise InputError(
            f"{type(encoder).__name__} {reason}; '{config.model_name}' takes one vector for each row "
            f"of '{name}'. Choose another encoder or other settings of it."
        )
    return encoder


def _unreadable(config: RunConfig, encoder: Featurizer | FittedFeaturizer, *, of_entity: bool) -> str:
    """The reason why the model cannot read an encoder's vectors, empty if it can.

    Sequences and tuned layers are read from columns of the entity only.
    """
    if isinstance(encoder, FittedFeaturizer):
        return "learns from a split first"
    if isinstance(encoder, FineTunable) and encoder.tune:
        return "" if of_entity and config.model.tunes else "leaves layers to be trained"
    return "gives sequences" if encoder.sequences and not (of_entity and config.model.sequences) else ""


def _node_types(store: GraphStore) -> set[str]:
    return {node.name for node in store.schema.nodes}


def _filled(store: GraphStore, dataset: str, entry: NodeType | EdgeType, column: str) -> bool:
    span = store.span(entry, dataset)
    row = store.first(
        f"select 1 from {quote(entry.table)} where idx >= ? and idx < ? and {quote(column)} is not null limit 1",
        [span.first, span.last],
    )
    return row is not None
