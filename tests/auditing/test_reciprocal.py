"""Edges in the opposite direction: visible by default, hidden on request, and the audit knows it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
import torch

import graphsocial as gs
from graphsocial.auditing import audit
from graphsocial.auditing.reciprocal import check_reciprocal
from graphsocial.graph.visibility import Visibility
from graphsocial.training.config import TrainOptions, design
from graphsocial.training.data import make_loader, prepare
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

TRUST = EdgeType("user", "rates", "user", (Column("trust", "number", "label"),))
SETTINGS = {"target": ["user rates user.trust"]}


@pytest.fixture
def trust(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    """Ratings that are answered in kind: A → B and B → A are equal, and random otherwise."""
    random = np.random.default_rng(1)
    pairs = np.unique(random.integers(0, 80, (700, 2)), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    both = np.concatenate([pairs, pairs[:, ::-1]])
    values = random.normal(0, 1, len(pairs))
    with gs.open(tmp_path_factory.mktemp("trust") / "trust.duckdb") as store:
        user = NodeType("user")
        store.declare(GraphSchema((user,), (TRUST,)))
        store.write(user, pl.DataFrame({"id": [f"u{n}" for n in range(80)]}), dataset="trust")
        frame = {"src": [f"u{n}" for n in both[:, 0]], "dst": [f"u{n}" for n in both[:, 1]]}
        store.write(TRUST, pl.DataFrame({**frame, "trust": np.tile(values, 2)}), dataset="trust")
        yield store


def test_hidden_reciprocal_edges_are_in_no_batch(trust: gs.GraphStore) -> None:
    for state in ("visible", "hidden"):
        config = design(trust, "edge", TrainOptions(settings={**SETTINGS, "reciprocal": state}))
        data = prepare(trust, config)
        loader, graph = make_loader(config, data), data.graph
        train = data.examples("train")
        batches = list(loader.batches(train, 200))
        opposite = graph.opposite
        assert opposite is not None
        assert torch.equal(graph.ends[0][opposite], graph.ends[1]) and torch.equal(
            graph.ends[1][opposite], graph.ends[0]
        )
        shown = sum(int(batch.view.label[opposite[batch.examples]].sum()) for batch in batches)
        assert (shown > 0) == (state == "visible")
        assert check_reciprocal(graph, batches, config.visibility).verdict == (
            "not applicable" if state == "visible" else "pass"
        )
        if state == "visible":  # the check goes by the messages: what such batches show would be a leak
            assert check_reciprocal(graph, batches, Visibility(reciprocal="hidden")).verdict == "leak"


def test_the_audit_passes_and_earlier_ids_stay(trust: gs.GraphStore) -> None:
    fast = {"epochs": 1, "width": 8, "node_width": 8, "layers": 1}
    hidden = gs.train(trust, "edge", settings={**SETTINGS, **fast, "reciprocal": "hidden"})
    shown = gs.train(trust, "edge", settings={**SETTINGS, **fast})
    assert hidden.id != shown.id
    checks = {check.name: check.verdict for check in audit(trust, hidden, quick=True).checks}
    assert checks["reciprocal edges"] == "pass" and "leak" not in checks.values() and "missing" not in checks.values()
    assert "reciprocal" not in design(trust, "edge", TrainOptions(settings=SETTINGS)).identity()["visibility"]
