"""The segments of dialogues as padded sequences, modality by modality, with what is missing of each."""

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
    """C dialogues side by side, of at most T segments.

    Attributes:
        inputs: modality → (C, T, D) its vectors, as they are; zeros where one is missing.
        words: modality → its sequences, such as a text's words: those of each feature that there are, and (C, T) which
            of them each segment has, -1 where it has none.
        known: (C, T, D) what is known of the segments beside: numbers, categories, what neighbours lend them.
        present: modality → (C, T) bool, where it is there.
        mask: (C, T) bool, the segments of each dialogue.
        nodes: (C, T) their numbers; 0 beyond the end of each.
        rows: (B,) where the batch's examples stand in the flattened (C * T).
    """

    inputs: Mapping[str, Tensor]
    words: Mapping[str, list[tuple[Feature, Tensor]]]
    known: Tensor
    present: Mapping[str, Tensor]
    mask: Tensor
    nodes: Tensor
    rows: Tensor

    def pick(self, x: Tensor) -> Tensor:
        """The batch's examples of (C, T, H): (B, H)."""
        return x.flatten(0, 1).index_select(0, self.rows)


class Dialogues:
    """How to read dialogues out of a graph: its modalities, and what comes after what.

    A modality is what the segments' feature columns begin with: `text` and `text_vector` are both of `text`. Its input
    is their vectors, one beside the other, and their sequences of vectors.

    Args:
        graph: its entity is the segments.
        order: the relation between segments that says which one comes next.
        modalities: which of them; all that the segments have by default.

    Raises:
        InputError: the task does not ask about nodes.
        DataError: there is no such relation, or no modality at all.
        UnknownNameError: there is no modality of that name.
    """

    def __init__(self, graph: SocialGraph, order: str, modalities: tuple[str, ...] = ()) -> None:
        if not isinstance(graph.entity, str):
            raise InputError("This model reads nodes in their order, so it takes a task about nodes.")
        self.entity = graph.entity
        self.kind = (graph.entity, order, graph.entity)
        self._found: tuple[Edges, Chains] | None = None
        if self.kind not in graph.edges:
            there = ", ".join(" ".join(kind) for kind in graph.edges if kind[0] == kind[2] == graph.entity) or "none"
            raise DataError(f"There are no '{' '.join(self.kind)}' edges to say what comes next; there: {there}.")
        found = self._modalities(graph)
        for name in modalities:
            if name not in found:
                raise UnknownNameError.of("modality", name, found)
        if not found:
            raise DataError(f"'{graph.entity}' has no text, sound or pictures, and no vectors that came along.")
        self.names = modalities or tuple(found)
        self.features = {
            name: [feature.vectors.shape[1] for feature in found[name] if feature.offsets is None]
            for name in self.names
        }
        self.words = {
            name: [(feature.vectors.shape[1], feature.tuned) for feature in found[name] if feature.offsets is not None]
            for name in self.names
        }
        self.known = sum(feature.vectors.shape[1] for feature in self._lent(graph))
        self.known += graph.tables[self.entity].shape[1] if self.entity in graph.tables else 0

    def of(self, graph: SocialGraph) -> Tensor:
        """(P,) the dialogue of each example."""
        return self.chains(graph).chain[graph.ends[0]]

    def read(self, graph: SocialGraph, examples: Tensor) -> Sequences:
        """The dialogues that these examples (B,) are in, whole."""
        chains = self.chains(graph)
        node = graph.ends[0][examples]
        asked, row = torch.unique(chains.chain[node], return_inverse=True)
        nodes, mask = chains.table(asked)
        nothing = torch.zeros(*nodes.shape, 0)
        beside = [_rows(feature, nodes) for feature in self._lent(graph)]
        if self.entity in graph.tables:
            beside.append(graph.tables[self.entity][nodes])
        inputs, words, present = {}, {}, {}
        modalities = self._modalities(graph)
        for name in self.names:
            parts = modalities[name]
            plain = [feature for feature in parts if feature.offsets is None]
            inputs[name] = torch.cat([nothing, *(_rows(feature, nodes) for feature in plain)], dim=2)
            words[name] = [_sequences(feature, nodes, mask) for feature in parts if feature.offsets is not None]
            there = [feature.present[nodes] for feature in plain] + [index >= 0 for _, index in words[name]]
            present[name] = mask & torch.stack(there).any(0)
        known = torch.cat([nothing, *beside], dim=2)
        return Sequences(inputs, words, known, present, mask, nodes, row * mask.shape[1] + chains.position[node])

    def chains(self, graph: SocialGraph) -> Chains:
        """The dialogues of all segments; found once for a graph's edges."""
        edges = graph.edges[self.kind]
        if self._found is None or self._found[0] is not edges:
            count = graph.num_nodes[self.entity]
            self._found = edges, Chains.of(edges.src, edges.dst, count, what=" ".join(self.kind))
        return self._found[1]

    def _modalities(self, graph: SocialGraph) -> dict[str, list[Feature]]:
        found: dict[str, list[Feature]] = {}
        for feature in graph.node_features.get(self.entity, ()):
            owner, _, column = feature.name.partition(".")
            if owner == self.entity:
                found.setdefault(modality(column), []).append(feature)
        return found

    def _lent(self, graph: SocialGraph) -> list[Feature]:
        return [f for f in graph.node_features.get(self.entity, ()) if not f.name.startswith(f"{self.entity}.")]


def _rows(feature: Feature, nodes: Tensor) -> Tensor:
    """(C, T, D) vectors, zeros where there is none."""
    index = feature.index[nodes]
    if not len(feature.vectors):
        return feature.vectors.new_zeros(*nodes.shape, feature.vectors.shape[1])
    return feature.vectors[index.clamp_min(0)] * (index >= 0)[:, :, None]


def _sequences(feature: Feature, nodes: Tensor, mask: Tensor) -> tuple[Feature, Tensor]:
    """The sequences that these segments have, each once, and (C, T) which; an empty one is none."""
    taken = feature.take(nodes[mask])
    assert taken.offsets is not None
    lengths = torch.cat([taken.offsets.diff(), taken.offsets.new_zeros(1)])  # the last stands for -1
    index = torch.full(mask.shape, -1)
    index[mask] = torch.where(lengths[taken.index] > 0, taken.index, -1)
    return taken, index
