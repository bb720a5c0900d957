"""The segments of dialogues as padded sequences, modality by modality, with masks of what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.features.sequences import Chains
from graphsocial.graph import Edges, Feature, SocialGraph
from graphsocial.types import modality


@dataclass(frozen=True)
class Sequences:
    """C dialogues, padded to T segments.

    Attributes:
        inputs: modality → (C, T, D) its vectors, not yet standardised; zeros where one is missing.
        words: modality → for each of its features of sequences, such as a text's words: the sequences, and the sequence
            of each segment, (C, T) int64, -1 where it has none.
        known: (C, T, D) further inputs of the segments: numbers, categories, means over neighbors.
        present: modality → (C, T) bool, whether it is present.
        mask: (C, T) bool, the segments of each dialogue; False is padding.
        nodes: (C, T) local node numbers; 0 in padding.
        rows: (B,) positions of the batch's examples in the flattened (C * T).
    """

    inputs: Mapping[str, Tensor]
    words: Mapping[str, list[tuple[Feature, Tensor]]]
    known: Tensor
    present: Mapping[str, Tensor]
    mask: Tensor
    nodes: Tensor
    rows: Tensor

    def pick(self, x: Tensor) -> Tensor:
        """The rows of the batch's examples in (C, T, H): (B, H)."""
        return x.flatten(0, 1).index_select(0, self.rows)


class Dialogues:
    """The dialogues of a graph: the modalities and the order of their segments.

    A modality is the first word of the segments' feature columns: `text` and `text_vector` are both of `text`. Its
    inputs are their vectors, concatenated, and their sequences of vectors.

    Args:
        graph: a graph whose examples are the segments.
        order: the edge type between segments that gives their order.
        modalities: the modalities to use; all that the segments have by default.

    Raises:
        InputError: the examples are not nodes.
        DataError: there is no such edge type, or no modality.
        UnknownNameError: there is no modality of that name.
    """

    def __init__(self, graph: SocialGraph, order: str, modalities: tuple[str, ...] = ()) -> None:
        if not isinstance(graph.entity, str):
            raise InputError("This model reads nodes in their order, so it needs a task about nodes.")
        self.entity = graph.entity
        self.kind = (graph.entity, order, graph.entity)
        self._chains: tuple[Edges, Chains] | None = None
        if self.kind not in graph.edges:
            known = ", ".join(" ".join(kind) for kind in graph.edges if kind[0] == kind[2] == graph.entity) or "none"
            raise DataError(
                f"There are no '{' '.join(self.kind)}' edges to give the order of '{graph.entity}' nodes, as if each "
                f"dialogue were a single one (other edges between them: {known}). Check that segments of one dialogue "
                "have one value of `dialogue`, or use a model without an order, such as --model features-only."
            )
        features = self._modalities(graph)
        for name in modalities:
            if name not in features:
                raise UnknownNameError.of("modality", name, features)
        if not features:
            raise DataError(f"'{graph.entity}' has no text, sound or pictures, and no vector columns.")
        self.names = modalities or tuple(features)
        self.features = {
            name: [feature.vectors.shape[1] for feature in features[name] if feature.offsets is None]
            for name in self.names
        }
        self.words = {
            name: [
                (feature.vectors.shape[1], feature.tuned) for feature in features[name] if feature.offsets is not None
            ]
            for name in self.names
        }
        self.known = sum(feature.vectors.shape[1] for feature in self._means(graph))
        self.known += graph.tables[self.entity].shape[1] if self.entity in graph.tables else 0

    def of(self, graph: SocialGraph) -> Tensor:
        """(P,) the dialogue of each example."""
        return self.chains(graph).chain[graph.ends[0]]

    def read(self, graph: SocialGraph, examples: Tensor) -> Sequences:
        """The whole dialogues of these examples (B,)."""
        chains = self.chains(graph)
        node = graph.ends[0][examples]
        dialogues, row = torch.unique(chains.chain[node], return_inverse=True)
        nodes, mask = chains.table(dialogues)
        nothing = torch.zeros(*nodes.shape, 0)
        beside = [_rows(feature, nodes) for feature in self._means(graph)]
        if self.entity in graph.tables:
            beside.append(graph.tables[self.entity][nodes])
        inputs, words, present = {}, {}, {}
        modalities = self._modalities(graph)
        for name in self.names:
            parts = modalities[name]
            plain = [feature for feature in parts if feature.offsets is None]
            inputs[name] = torch.cat([nothing, *(_rows(feature, nodes) for feature in plain)], dim=2)
            words[name] = [_sequences(feature, nodes, mask) for feature in parts if feature.offsets is not None]
            masks = [feature.present[nodes] for feature in plain] + [index >= 0 for _, index in words[name]]
            present[name] = mask & torch.stack(masks).any(0)
        known = torch.cat([nothing, *beside], dim=2)
        return Sequences(inputs, words, known, present, mask, nodes, row * mask.shape[1] + chains.position[node])

    def chains(self, graph: SocialGraph) -> Chains:
        """The dialogues of all segments; computed once for a graph's edges."""
        edges = graph.edges[self.kind]
        if self._chains is None or self._chains[0] is not edges:
            count = graph.num_nodes[self.entity]
            self._chains = edges, Chains.of(edges.src, edges.dst, count, what=" ".join(self.kind))
        return self._chains[1]

    def _modalities(self, graph: SocialGraph) -> dict[str, list[Feature]]:
        features: dict[str, list[Feature]] = {}
        for feature in graph.node_features.get(self.entity, ()):
            owner, _, column = feature.name.partition(".")
            if owner == self.entity:
                features.setdefault(modality(column), []).append(feature)
        return features

    def _means(self, graph: SocialGraph) -> list[Feature]:
        return [f for f in graph.node_features.get(self.entity, ()) if not f.name.startswith(f"{self.entity}.")]


def _rows(feature: Feature, nodes: Tensor) -> Tensor:
    """(C, T, D) vectors, zeros where there is none."""
    index = feature.index[nodes]
    if not len(feature.vectors):
        return feature.vectors.new_zeros(*nodes.shape, feature.vectors.shape[1])
    return feature.vectors[index.clamp_min(0)] * (index >= 0)[:, :, None]


def _sequences(feature: Feature, nodes: Tensor, mask: Tensor) -> tuple[Feature, Tensor]:
    """The distinct sequences of these segments, and (C, T) the index of each segment's; -1 where empty or missing."""
    taken = feature.take(nodes[mask])
    assert taken.offsets is not None
    lengths = torch.cat([taken.offsets.diff(), taken.offsets.new_zeros(1)])  # the last entry is that of index -1
    index = torch.full(mask.shape, -1)
    index[mask] = torch.where(lengths[taken.index] > 0, taken.index, -1)
    return taken, index
