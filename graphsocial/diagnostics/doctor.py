"""Checks that graphsocial and its dependencies work on this machine; each one runs a small real workload."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

PACKAGES = (
    "graphsocial",
    "torch",
    "torchvision",
    "dgl",
    "duckdb",
    "polars",
    "pyarrow",
    "numpy",
    "scikit-learn",
    "transformers",
    "sentence-transformers",
)


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: name of the check.
        ok: whether it passed.
        detail: result in words, or the error.
        seconds: wall time in seconds.
    """

    name: str
    ok: bool
    detail: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON can hold."""
        return asdict(self)


def examine() -> Iterator[Check]:
    """Run all checks; a failed check does not stop the others."""
    for name, check in CHECKS.items():
        start = perf_counter()
        ok, detail = _attempt(check)
        yield Check(name, ok, detail, round(perf_counter() - start, 3))


def _attempt(check: Callable[[], str]) -> tuple[bool, str]:
    """Whether a check passes, with its result or the error."""
    try:
        return True, check()
    except Exception as error:  # a broken package may raise any exception
        return False, f"{type(error).__name__}: {error}"


def versions() -> str:
    """The versions of Python and of the packages that results depend on."""
    packages = [f"{package} {version(package)}" for package in PACKAGES]
    return ", ".join([f"Python {platform.python_version()} ({platform.system()} {platform.machine()})", *packages])


def store() -> str:
    """Create, write, close and read a store."""
    from graphsocial.store import open
    from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

    user, knows = NodeType("user", (Column("age", "number"),)), EdgeType("user", "knows", "user")
    with TemporaryDirectory(prefix="graphsocial-") as folder:
        path = Path(folder) / "doctor.duckdb"
        with open(path) as store:
            store.declare(GraphSchema((user,), (knows,)))
            store.write(user, "select 'u' || range as id, range as age from range(3)", dataset="doctor")
            store.write(knows, "select 'u0' as src, 'u1' as dst", dataset="doctor")
        with open(path, read_only=True) as store:
            users, edges = store.read(user).fetchall(), store.read(knows).fetchall()
    _expect([len(users), len(edges)], [3, 1])
    return "wrote and read 3 nodes and 1 edge"


def dgl() -> str:
    """Import DGL with the installed torch, and build a heterograph."""
    os.environ.setdefault("DGLBACKEND", "pytorch")  # otherwise DGL writes a configuration file into the home folder
    import torch

    graph = _graph().heterograph
    _expect(graph.num_edges("views"), 4)
    size = f"{graph.num_nodes()} nodes and {graph.num_edges()} edges"
    return f"a heterograph of {size}, {torch.get_num_threads()} threads"


def torchvision() -> str:
    """Import torchvision with the installed torch, and resize an image."""
    from graphsocial._compat.torchvision import ensure_torchvision

    ensure_torchvision()
    import torch
    from torchvision.transforms.functional import resize

    _expect(tuple(resize(torch.zeros(3, 8, 8), [4, 4]).shape), (3, 4, 4))
    return "resized an image"


def attention() -> str:
    """One layer of graph attention, forward and backward."""
    import torch

    from graphsocial.graph.adjacency import Relation
    from graphsocial.nn.graph_attention import GraphAttention

    views = ("user", "views", "image")
    layer = GraphAttention(("user", "image"), (views,), 4, 4)
    relation = Relation.from_edges(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]), 3, 2)
    out = layer({"user": torch.ones(3, 4), "image": torch.ones(2, 4)}, {views: relation})
    out["image"].square().sum().backward()
    gradients = [parameter.grad for parameter in layer.parameters() if parameter.grad is not None]
    _expect(bool(gradients) and all(bool(torch.isfinite(gradient).all()) for gradient in gradients), True)
    return f"forward and backward through {len(gradients)} parameters"


def sampler() -> str:
    """One mini-batch with sampled neighbors, which must exclude the edges of its seed examples."""
    import torch

    from graphsocial.graph.loaders import FullGraphLoader, NeighborLoader
    from graphsocial.graph.visibility import Visibility

    graph = _graph()
    whole = FullGraphLoader(graph, torch.zeros(4, dtype=torch.int64), Visibility(), depth=1)
    batch = next(iter(NeighborLoader(whole, (2,)).batches(torch.tensor([0, 1]), 2)))
    examples = [graph.edges[edge_type].example[ids] for edge_type, ids in (batch.layers[0].edge_ids or {}).items()]
    _expect(any(bool((pairs < 2).any()) for pairs in examples), False)
    return f"{len(batch.examples)} pairs, {sum(map(len, examples))} sampled edges"


def checkpoint() -> str:
    """Write and read a safetensors file."""
    import torch

    from graphsocial.training.checkpoints import read_tensors, write_tensors

    with TemporaryDirectory(prefix="graphsocial-") as folder:
        path = Path(folder) / "checkpoint.safetensors"
        write_tensors(path, {"x": torch.arange(4.0)}, {"key": "value"})
        tensors, metadata = read_tensors(path)
        _expect((tensors["x"].tolist(), metadata), ([0.0, 1.0, 2.0, 3.0], {"key": "value"}))
    return "wrote and read 4 numbers"


def text_weights() -> str:
    """Find and verify the weights of the default text encoder."""
    from graphsocial.featurizers.sentence import Sentence

    encoder = Sentence()
    return f"{encoder.model}, {encoder.dimension} dimensions, fingerprint {encoder.fingerprint()[:8]}"


def image_weights() -> str:
    """Find and verify the weights of the default image encoder."""
    from graphsocial.featurizers.vision import Vision

    encoder = Vision()
    return f"{encoder.model}, {encoder.dimension} dimensions, fingerprint {encoder.fingerprint()[:8]}"


CHECKS: dict[str, Callable[[], str]] = {
    "versions": versions,
    "DuckDB store": store,
    "DGL": dgl,
    "torchvision": torchvision,
    "graph attention": attention,
    "sampled batch": sampler,
    "safetensors": checkpoint,
    "text encoder": text_weights,
    "image encoder": image_weights,
}


def _expect(actual: object, expected: object) -> None:
    if actual != expected:
        raise ValueError(f"got {actual}, not {expected}")


def _graph() -> Any:
    """A graph of two users who each viewed two images, with reverse edges; four labelled pairs."""
    import numpy as np
    import torch

    from graphsocial.graph import Edges, SocialGraph
    from graphsocial.types import Target

    src, dst, pair = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]), torch.arange(4)
    views, back = ("user", "views", "image"), ("image", "rev_views", "user")
    return SocialGraph(
        ids={name: np.asarray(["0", "1"], dtype=object) for name in ("user", "image")},
        edges={views: Edges(src, dst, pair), back: Edges(dst, src, pair, reverse_of=views)},
        entity=views,
        ends=(src, dst),
        targets=(Target("emotion", "multiclass", ("awe", "fear")),),
        target_labels={"emotion": torch.tensor([0, 1, 1, 0])},
        example_time=None,
        label_time=None,
        node_features={},
        edge_features={},
        plain={},
        tabular={},
    )
