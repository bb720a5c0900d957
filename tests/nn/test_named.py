"""Names of the data that torch's dictionaries do not take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import graphsocial as gs
from graphsocial.nn.named import NamedModules, NamedParameters
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType


@pytest.mark.parametrize("name", ["items", "keys", "type", "train", "user", "get", "copy"])
def test_any_name_can_be_a_key(name: str) -> None:
    modules = NamedModules({name: nn.Linear(2, 2)})
    parameters = NamedParameters({name: nn.Parameter(torch.ones(2))})
    assert name in modules and name in parameters and "other" not in modules and "other" not in parameters
    assert isinstance(modules[name], nn.Linear) and parameters[name].sum() == 2
    again = NamedModules({name: nn.Linear(2, 2)})
    again.load_state_dict(modules.state_dict())
    assert torch.equal(again[name].weight, modules[name].weight)  # type: ignore[arg-type]  # a Linear


@pytest.mark.parametrize("model", ["label_sage", "features_only", "neighbor_vote"])
def test_types_may_be_called_like_methods(tmp_path: Path, model: str) -> None:
    random = np.random.default_rng(0)
    node = NodeType("items", (Column("type", "category"), Column("values", "number")))
    edge = EdgeType("items", "update", "items")
    ids = [f"n{number}" for number in range(120)]
    with gs.open(tmp_path / "s.duckdb") as store:
        store.declare(GraphSchema((node,), (edge,)))
        frame = {"id": ids, "type": random.choice(["x", "y"], 120), "values": random.normal(size=120)}
        store.write(node, pl.DataFrame(frame), dataset="d")
        ends = {"src": random.choice(ids, 300), "dst": random.choice(ids, 300)}
        store.write(edge, pl.DataFrame(ends), dataset="d")
        run = gs.train(store, "node", model=model, epochs=1, settings={"target": "items.type"})
        assert run.status == "done" and gs.predict(store, run) > 0
