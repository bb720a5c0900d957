"""Base classes of models: a dataclass of settings that builds a `torch.nn.Module` over a social graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from graphsocial.errors import InputError, TrainingError
from graphsocial.graph import Canonical, SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.nn.named import free_name
from graphsocial.plugins import authored, resolve
from graphsocial.types import Target


@dataclass(frozen=True)
class ForwardTrace:
    """Intermediate values of a network's forward pass over B examples; None or empty where the network has none.

    Attributes:
        before: (B, D) the inputs of each example: the input vectors of its endpoints, concatenated.
        after: (B, H) the representation of each example that the heads or classifiers read.
        gates: name → (B,) weight of each part (endpoint, modality, branch) in the prediction.
        edges: one mapping per layer, edge type → (E,) or (E, K heads) attention weights of the layer's edges.
        sequence: (B, S) local node numbers of the sequence that each example is in, itself included; -1 is padding.
        sequence_attention: name → (B, S) attention weights from the example to the nodes of `sequence`.
    """

    before: Tensor | None = None
    after: Tensor | None = None
    gates: Mapping[str, Tensor] = field(default_factory=dict)
    edges: tuple[Mapping[Canonical, Tensor], ...] = ()
    sequence: Tensor | None = None
    sequence_attention: Mapping[str, Tensor] = field(default_factory=dict)


class Network(nn.Module):
    """A module that predicts the targets of a batch's examples. A module without parameters is not trained.

    Attributes:
        transductive: it has parameters for single nodes, such as a user's embedding, so nodes that were not in training
            have none.
    """

    transductive: bool = False

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """Predict the batch's B examples; `check_outputs` checks what is returned.

        Returns:
            For each of `graph.targets`, by name: (B, K) logits of its K classes, or (B,) numbers, standardised as the
            target's objective does (`nn.losses.Objective`).
        """
        raise TrainingError(f"{type(self).__name__} has no forward(graph, batch); define one.")

    def together(self, graph: SocialGraph) -> Tensor | None:
        """(P,) int64 group of each example, where a group's examples must be in one batch, such as a dialogue's turns.

        None, the default, where batches may be cut anywhere.
        """
        return None

    def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
        """Run the forward pass and return its intermediate values, for explanations; an empty trace by default."""
        return ForwardTrace()

    def penalty(self) -> Tensor:
        """A scalar that is added to the mean loss of each batch, such as a Gaussian prior's; 0 by default."""
        return torch.zeros(())


class Model:
    """Base class of models: frozen dataclasses whose fields are their settings, in `models/<name>.py` or any file.

    A subclass overrides what differs from the defaults below: `layers` and `modalities` as a field, property or class
    attribute, the others as class attributes.

    Attributes:
        reads: which encoded columns (text, images, sound, video) it uses: those of `nodes`, of `edges`, or both; () for
            none.
        sequences: it accepts sequences of vectors (tokens, frames) for the columns of the node type it predicts, where
            by default an encoder has to give one vector per row.
        tunes: it holds the last layers of an encoder of these columns and trains them (`nn.tuned`).
        averages: node type → node type: by default the nodes of the second get the mean of their neighbors' vectors of
            the first as a feature, beside the messages; a column's `to=` in `--features` wins.
        training: defaults for settings of the training that suit it better than the general ones, such as
            `{"epochs": 20}`.
    """

    reads: ClassVar[tuple[str, ...]] = ("nodes", "edges")
    sequences: ClassVar[bool] = False
    tunes: ClassVar[bool] = False
    averages: ClassVar[Mapping[str, str]] = {}
    training: ClassVar[Mapping[str, Any]] = {}

    @property
    def layers(self) -> int:
        """Number of message-passing layers; 0, the default, for a model that uses no edges."""
        return 0

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities (`types.modality`) to use of the node type that is predicted; (), the default, for all."""
        return ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: what it will run on: sizes, feature widths, targets and classes.
            train: (n,) int64 positions of the training examples; statistics may come from these alone.
            seed: for random choices other than the initial weights, which follow torch's global seed.
        """
        raise TrainingError(f"{type(self).__name__} has no build(graph, train, *, seed); define one.")


def model_class(name: str) -> type[Model]:
    """The model of a registered name, or of a file such as `./my_model.py`; see `plugins.resolve`.

    Raises:
        InputError: the class does not derive from `Model`, or annotates a class attribute, which makes it a setting.
    """
    cls = resolve("model", name)
    if not issubclass(cls, Model):
        raise InputError(
            f"{cls.__name__} in '{name}' is no model; write `class {cls.__name__}(Model)`, with Model from "
            "graphsocial.extending."
        )
    for entry in fields(cls):  # type: ignore[arg-type]  # `resolve` gives dataclasses alone
        if entry.name in ("reads", "training"):
            raise InputError(
                f"{cls.__name__} annotates '{entry.name}', which makes a setting of it; write `{entry.name} = …` "
                "without a type."
            )
    return cls


def build_network(model: Model, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
    """The untrained network of a model, checked.

    Args:
        model: configured.
        graph: what the network will run on.
        train: (n,) int64 positions of the training examples.
        seed: for random choices other than the initial weights.

    Raises:
        InputError: the code of a model from a file or plugin failed, or it returned no `Network`.
    """
    with authored(type(model), "build()"):
        network: object = model.build(graph, train, seed=seed)
    if not isinstance(network, Network):
        raise InputError(
            f"{type(model).__name__}.build() returned {_described(network)}; it must return a Network, from "
            "graphsocial.extending."
        )
    _check_state(network)
    return network


def _check_state(network: Network) -> None:
    """The weights and buffers have shapes, and are all that a checkpoint has to hold."""
    name = type(network).__name__
    for key, value in network.state_dict().items():
        if isinstance(value, nn.UninitializedParameter | nn.UninitializedBuffer):
            raise InputError(f"{name} has '{key}' without a shape, as lazy modules do; give its size in build().")
        if not isinstance(value, Tensor):
            raise InputError(f"{name} has {_described(value)} as the state '{key}'; keep tensors alone in the state.")


def check_model(model: Model) -> None:
    """Check what a model declares.

    Raises:
        InputError: `layers`, `reads` or `training` is not as `Model` documents.
    """
    who, layers, reads = type(model).__name__, model.layers, model.reads
    if not isinstance(layers, int) or isinstance(layers, bool) or layers < 0:
        raise InputError(f"{who}.layers is {layers!r}; it is the number of message-passing layers, 0 or more.")
    if not isinstance(reads, tuple) or not set(reads) <= {"nodes", "edges"}:
        raise InputError(f"{who}.reads is {reads!r}; write a tuple of 'nodes' and 'edges', or () for none.")
    if not isinstance(model.training, Mapping):
        raise InputError(f"{who}.training is {model.training!r}; write a mapping of settings of the training.")


def penalty_of(network: Network) -> Tensor:
    """A network's penalty, checked.

    Raises:
        TrainingError: it is no scalar tensor.
        InputError: the code of a network from a file or plugin failed.
    """
    with authored(type(network), "penalty()"):
        penalty: object = network.penalty()
    if not isinstance(penalty, Tensor) or penalty.ndim or not penalty.is_floating_point():
        raise TrainingError(f"{type(network).__name__}.penalty() returned {_described(penalty)}; it returns a scalar.")
    return penalty


def groups_of(network: Network, graph: SocialGraph) -> Tensor | None:
    """The groups of examples that a network keeps together, checked; None where batches may be cut anywhere.

    Raises:
        TrainingError: they are not (P,) int64.
        InputError: the code of a network from a file or plugin failed.
    """
    with authored(type(network), "together()"):
        groups: object = network.together(graph)
    if groups is None:
        return None
    if not isinstance(groups, Tensor) or groups.dtype != torch.int64 or groups.shape != (graph.num_examples,):
        raise TrainingError(
            f"{type(network).__name__}.together() returned {_described(groups)}; it returns None or a tensor of shape "
            f"({graph.num_examples},) and type int64."
        )
    return groups


def predict_batch(network: Network, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
    """Run a network on a batch and check what it returns.

    Args:
        network: whose `forward` runs.
        graph: the graph with the targets.
        batch: the batch with its B examples.

    Raises:
        TrainingError: the outputs are not those that `Network.forward` documents.
        InputError: the code of a network from a file or plugin failed.
    """
    with authored(type(network), "forward()"):
        outputs = network(batch.as_of(graph), batch)
    return check_outputs(network, outputs, graph, batch)


def check_outputs(network: Network, outputs: object, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
    """Check the outputs of a network for a batch against `Network.forward`, and return them as a dict.

    Only shapes and types are checked, so no GPU operation has to finish first.

    Args:
        network: named in the errors.
        outputs: what `network(graph, batch)` returned.
        graph: the graph with the targets.
        batch: the batch with its B examples.

    Raises:
        TrainingError: not a dict, a target that is missing or unknown, or a tensor of another shape or type.
    """
    name, rows = type(network).__name__, len(batch.examples)
    if not isinstance(outputs, Mapping):
        raise TrainingError(f"{name} returned {_described(outputs)}; it must return a dict of target name → tensor.")
    targets = {target.name: target for target in graph.targets}
    listed = ", ".join(targets)
    for missing in targets.keys() - outputs.keys():
        raise TrainingError(f"{name} returned nothing for the target '{missing}'; the targets are: {listed}.")
    for unknown in outputs.keys() - targets.keys():
        raise TrainingError(f"{name} returned the unknown target {unknown!r}; the targets are: {listed}.")
    for key, target in targets.items():
        output = outputs[key]
        shape = (rows, len(target.classes)) if target.classes else (rows,)
        if not isinstance(output, Tensor) or output.shape != shape or not output.is_floating_point():
            meaning = "(examples, classes) logits" if target.classes else "(examples,) numbers"
            raise TrainingError(
                f"{name} returned {_described(output)} for the target '{key}'; it must be a floating-point tensor of "
                f"shape {shape}: {meaning}."
            )
        if output.layout != torch.strided:
            raise TrainingError(f"{name} returned a sparse tensor for the target '{key}'; call to_dense() on it.")
    return dict(outputs)


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and type {str(value.dtype).removeprefix('torch.')}"
    return f"a value of type {type(value).__name__}"


def of_ends(inputs: Mapping[str, Tensor], graph: SocialGraph, batch: Batch) -> Tensor:
    """(B, …) the input vectors of each example's endpoints, concatenated.

    Args:
        inputs: node type → (N, H), of the nodes in `batch.rows`, or of all nodes where that is None.
        graph: the graph with the examples.
        batch: the batch with its B examples.
    """
    parts = []
    for name, end in zip(graph.end_types, graph.ends, strict=True):
        nodes = end[batch.examples]
        if batch.rows is not None:  # the inputs of some nodes only
            order = torch.argsort(batch.rows[name].nodes)
            nodes = order[torch.searchsorted(batch.rows[name].nodes[order], nodes)]
        parts.append(inputs[name][nodes])
    return torch.cat(parts, dim=1)


def head_name(target: Target) -> str:
    """The key of a target's head in a `torch.nn.ModuleDict`, which takes no names of its attributes, such as `type`.

    >>> head_name(Target("mood")), head_name(Target("type"))
    ('mood', 'type_')
    """
    return free_name(target.name)


def class_target(graph: SocialGraph, what: str) -> Target:
    """The target of a model that predicts a class for each edge, and perhaps numbers beside it.

    Raises:
        InputError: the task is about nodes, has several targets with classes, or has only numbers.
    """
    others = [target.kind for target in graph.targets[1:]]
    if isinstance(graph.entity, str) or graph.target.kind != "multiclass" or "multiclass" in others:
        raise InputError(f"'{what}' is for edges with one class each; it does not fit this task.")
    return graph.target


def only_target(graph: SocialGraph, what: str) -> Target:
    """The target of a model that predicts a class for each edge and nothing else.

    Raises:
        InputError: the task is about nodes, has several targets, or predicts a number.
    """
    if isinstance(graph.entity, str) or len(graph.targets) > 1 or graph.target.kind != "multiclass":
        raise InputError(f"'{what}' is for edges with one class each; it does not fit this task.")
    return graph.target
