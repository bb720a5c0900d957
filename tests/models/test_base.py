"""The base class of models gives documented defaults, and what a network returns is checked against the targets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from conftest import EMOTIONS
from torch import Tensor

import graphsocial as gs
from graphsocial.errors import InputError, TrainingError
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.building import build
from graphsocial.graph.loaders import FullGraphLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.models.base import Model, Network, check_outputs, model_class
from graphsocial.plugins import names, resolve, settings
from graphsocial.tasks.edge_emotion import EdgeEmotion
from graphsocial.training.loop import fit, score
from graphsocial.training.settings import TrainingConfig


class Constant(Network):
    """Returns the same value for every batch."""

    def __init__(self, outputs: object) -> None:
        super().__init__()
        self.outputs, self.weight = outputs, torch.nn.Parameter(torch.zeros(()))

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        return self.outputs  # type: ignore[return-value]


@pytest.fixture
def graph(social: gs.GraphStore) -> SocialGraph:
    task = EdgeEmotion(classes=EMOTIONS)
    built = build(social, "small", task.entity(social.schema), task.labels(social, "small"))
    return built.fit_tabular(np.arange(built.num_examples))


@pytest.fixture
def batch(graph: SocialGraph) -> Batch:
    roles = torch.zeros(graph.num_examples, dtype=torch.int64)
    return next(FullGraphLoader(graph, roles, Visibility(), 0).batches(torch.arange(30), 30))


def test_logits_for_each_example_and_class_pass(graph: SocialGraph, batch: Batch) -> None:
    outputs = {"emotion": torch.zeros(30, 3)}
    assert check_outputs(Constant(outputs), outputs, graph, batch) == outputs


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        (torch.zeros(30, 3), r"Constant returned a tensor of shape \(30, 3\) .* dict of target name → tensor"),
        (None, "Constant returned a value of type NoneType"),
        ({}, "returned nothing for the target 'emotion'; the targets are: emotion"),
        ({"emotion": torch.zeros(30, 3), "mood": torch.zeros(30)}, "the unknown target 'mood'; .* emotion"),
        ({"emotion": torch.zeros(10, 3)}, r"shape \(10, 3\) .* 'emotion'; .* shape \(30, 3\)"),
        ({"emotion": torch.zeros(30, 2)}, r"shape \(30, 2\) .* 'emotion'; .* shape \(30, 3\): \(examples, classes\)"),
        ({"emotion": torch.zeros(30)}, r"shape \(30,\) .* shape \(30, 3\)"),
        ({"emotion": torch.zeros(30, 3, dtype=torch.int64)}, "type int64 .* floating-point"),
        ({"emotion": [[0.0] * 3] * 30}, "a value of type list for the target 'emotion'"),
    ],
    ids=["no-dict", "nothing", "no-target", "unknown", "rows", "classes", "dimensions", "integers", "list"],
)
def test_outputs_that_do_not_fit_the_targets_are_named(
    graph: SocialGraph, batch: Batch, outputs: object, sentence: str
) -> None:
    with pytest.raises(TrainingError, match=sentence):
        check_outputs(Constant(outputs), outputs, graph, batch)


def test_numbers_have_one_dimension(posts: gs.GraphStore) -> None:
    import reception

    labels = reception.Reception().labels(posts, "posts")
    graph = build(posts, "posts", reception.POST, labels)
    loader = FullGraphLoader(graph, torch.zeros(graph.num_examples, dtype=torch.int64), Visibility(), 0)
    batch = next(loader.batches(torch.arange(8), 8))
    outputs = {"mood": torch.zeros(8, 2), "shares": torch.zeros(8)}
    check_outputs(Constant(outputs), outputs, graph, batch)
    with pytest.raises(TrainingError, match=r"shape \(8, 1\) .* 'shares'; .* shape \(8,\): \(examples,\) numbers"):
        check_outputs(Constant({}), {**outputs, "shares": torch.zeros(8, 1)}, graph, batch)


def test_training_and_scoring_check_what_the_network_returns(graph: SocialGraph, tmp_path: Path) -> None:
    roles = torch.zeros(graph.num_examples, dtype=torch.int64)
    loader = FullGraphLoader(graph, roles, Visibility(), 0)
    network, examples = Constant({"emotion": torch.zeros(1, 3)}), torch.arange(20)
    with pytest.raises(TrainingError, match=r"shape \(20, 3\)"):
        score(network, loader, examples, ())
    with pytest.raises(TrainingError, match=r"shape \(20, 3\)"):
        fit(
            network,
            loader,
            examples,
            examples,
            TrainingConfig(epochs=1),
            metric="accuracy",
            seed=0,
            checkpoint=tmp_path / "checkpoint.safetensors",
        )


def test_every_registered_model_derives_from_model() -> None:
    assert [model_class(name).__name__ for name in names("model")] == [
        resolve("model", name).__name__ for name in names("model")
    ]


def test_a_class_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Mine:\n    layers = 1\n"
    )
    with pytest.raises(InputError, match=r"Mine in '.*mine.py' is no model; write `class Mine\(Model\)`"):
        model_class(str(tmp_path / "mine.py"))


def test_a_model_has_defaults_for_what_it_does_not_declare() -> None:
    @dataclass(frozen=True)
    class Plain(Model):
        width: int = 8

    @dataclass(frozen=True)
    class Deep(Model):
        layers: int = 3
        modalities: tuple[str, ...] = ("text",)

        reads: ClassVar[tuple[str, ...]] = ("edges",)

    plain, deep = Plain(), Deep(layers=2)
    assert (plain.layers, plain.modalities, plain.reads) == (0, (), ("nodes", "edges"))
    assert (plain.sequences, plain.tunes, dict(plain.training)) == (False, False, {})
    assert (deep.layers, deep.modalities, deep.reads) == (2, ("text",), ("edges",))
    assert [field.name for field in settings(Plain)] == ["width"]
    assert [field.name for field in settings(Deep)] == ["layers", "modalities"]


def test_a_model_without_build_and_a_network_without_forward_say_so(graph: SocialGraph, batch: Batch) -> None:
    with pytest.raises(TrainingError, match="Model has no build"):
        Model().build(graph, torch.arange(3), seed=0)
    with pytest.raises(TrainingError, match="Network has no forward"):
        Network()(graph, batch)
