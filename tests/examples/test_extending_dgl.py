"""What the page on DGL, PyG and networkx shows runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

import graphsocial as gs
from graphsocial.features import featurize
from graphsocial.graph.building import build
from graphsocial.graph.loaders import FullGraphLoader, NeighborLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.tasks.edge_emotion import EdgeEmotion

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "extending_dgl.md").read_text()


def test_the_page_runs(social: gs.GraphStore) -> None:
    task = EdgeEmotion()
    uses = [featurize(social, "user views image.comment", "hash_text", dataset="small")[0].use]
    graph = build(social, "small", task.entity(social.schema), task.labels(social, "small"), features=uses)
    graph = graph.fit_tabular(np.arange(graph.num_examples))
    loader = FullGraphLoader(graph, torch.zeros(graph.num_examples, dtype=torch.int64), Visibility(), 2)
    batches = [
        next(NeighborLoader(loader, (5, 5)).batches(torch.arange(9), 9)),
        next(loader.batches(torch.arange(9), 9)),
    ]
    model, *rest = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(rest) == 6
    for batch in batches:
        names = {"store": social, "graph": graph, "social": graph, "batch": batch}
        exec(model, names)
        network = names["TwoLayers"](graph)  # type: ignore[operator]
        assert network(graph, batch)["emotion"].shape == (9, len(graph.classes))
        exec(rest[0], names)
        assert names["out"].shape[1:] == (1, 8)  # type: ignore[attr-defined]
    for code in rest[1:]:
        exec(code, names)
    changed = names["changed"]
    assert len(changed.edges["user", "connects", "user"]) == len(graph.edges["user", "connects", "user"]) - 20  # type: ignore[attr-defined]
    assert network(changed, next(FullGraphLoader(changed, loader.roles, Visibility(), 2).batches(torch.arange(9), 9)))  # type: ignore[arg-type]
    assert social.datasets() == ["small", "embedded", "karate"]
