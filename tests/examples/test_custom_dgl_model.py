"""The example of a model with DGL's modules trains, predicts and leaks nothing, and is what our own kernels compute."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import graphsocial as gs
from graphsocial import plugins
from graphsocial.cli.main import app
from graphsocial.graph import SocialGraph
from graphsocial.graph.adjacency import first_rows
from graphsocial.graph.batching import Batch
from graphsocial.graph.building import build
from graphsocial.graph.loaders import FullGraphLoader, NeighborLoader
from graphsocial.graph.message_flow import input_widths
from graphsocial.graph.visibility import Visibility
from graphsocial.nn.graph_attention import GraphAttention
from graphsocial.tasks.edge_emotion import EdgeEmotion

FILE = Path(__file__).resolve().parents[2] / "examples" / "custom_dgl_model.py"


@pytest.mark.parametrize("loader", ["full", "sampled"])
def test_it_trains_predicts_and_leaks_nothing(social: gs.GraphStore, loader: str) -> None:
    social.close()
    settings = ["--set", f"loader={loader}", "--set", "width=8", "--epochs", "3"]
    store = ["--store", str(social.path), "--json"]
    trained = _json([*store, "train", "edge-emotion", "--model", str(FILE), *settings])
    (run_id,) = (entry["id"] for entry in trained["runs"])
    _json([*store, "predict", run_id])
    audit = _json([*store, "audit", run_id, "--quick"])
    assert audit["leaks"] == []
    assert sum(check["verdict"] == "pass" and check["examined"] > 0 for check in audit["checks"]) > 5, audit
    with gs.open(social.path, read_only=True) as opened:
        counts = opened.sql("select count(*), avg(confidence) from predictions where run_id = ?", [run_id]).fetchall()
    assert counts[0][0] > 50 and 0.2 < counts[0][1] <= 1


def _json(command: list[str]):
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, (command, done.output, done.exception)
    return json.loads(done.stdout)


@pytest.mark.parametrize("loader", ["whole", "cut", "sampled"])
def test_it_is_what_our_kernels_compute(social: gs.GraphStore, loader: str) -> None:
    task = EdgeEmotion()
    graph = build(social, "small", task.entity(social.schema), task.labels(social, "small"))
    graph = graph.fit_tabular(np.arange(graph.num_examples))
    roles = torch.arange(graph.num_examples) % 3
    model = plugins.resolve("model", str(FILE))(width=12, heads=3)
    torch.manual_seed(0)
    network = model.build(graph, torch.nonzero(roles == 0).squeeze(1), seed=0).eval()
    whole = FullGraphLoader(graph, roles, Visibility(), model.layers)
    examples = torch.nonzero(roles == 1).squeeze(1)[:20]
    if loader == "sampled":
        (batch,) = NeighborLoader(whole, (4, 4)).batches(examples, 20, torch.Generator().manual_seed(0))
    else:
        batch = whole.batch(examples, whole.view(examples), cut=loader == "cut")
    with torch.no_grad():
        got, want = network(graph, batch)["emotion"], our_own(network, graph, batch)
    assert got.abs().max() > 0.01
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def our_own(network, graph: SocialGraph, batch: Batch) -> Tensor:
    """The same network by `graphsocial.nn`, with the example's weights."""
    x = {}
    for name in graph.num_nodes:
        rows = batch.rows[name] if batch.rows is not None else graph.rows(name, torch.arange(graph.num_nodes[name]))
        inputs = [part for f in rows.features for part in (f.standard[f.index], f.present[:, None].float())]
        inputs += [] if rows.table is None else [rows.table]
        inputs = inputs or [torch.ones(len(rows.nodes), 1)]
        assert sum(part.shape[1] for part in inputs) == input_widths(graph)[name]
        x[name] = network.inputs[f"node {name}"](torch.cat(inputs, dim=1))
    for layer, theirs in zip(batch.layers, network.layers, strict=True):
        ours = GraphAttention(tuple(graph.num_nodes), tuple(graph.edges), 12, 12, share="relation", heads=3)
        for kind in graph.edges:
            convolution = theirs.attention.mod_dict[kind]
            for weights, parameter in (
                (ours.weight, convolution.fc.weight),
                (ours.attention_self, convolution.attn_r),
                (ours.attention_neighbour, convolution.attn_l),
            ):
                weights["-".join(kind)].copy_(parameter.view_as(weights["-".join(kind)]))
        for name in graph.num_nodes:
            ours.self_weight[f"node-{name}"].copy_(theirs.own[f"node {name}"].weight)
            ours.bias[f"node-{name}"].copy_(theirs.own[f"node {name}"].bias)
        if layer.take is not None:
            x = {name: first_rows(part[layer.take[name]], len(layer.take[name])) for name, part in x.items()}
        masks = {kind: mask for kind, mask in layer.mask.items() if mask is not None}
        x = {
            name: torch.relu(part)
            for name, part in ours(x, layer.relations, edge_mask=masks, num_dst=layer.num_dst).items()
        }
    ends = [x[name][rows] for name, rows in zip(graph.end_types, batch.ends, strict=True)]
    return network.classifier(torch.cat(ends, dim=1))
