"""The representations of a trained network, stored as a feature set: a run as an encoder of nodes."""

from __future__ import annotations

import json
from hashlib import blake2b

import numpy as np
import torch

from graphsocial import runs
from graphsocial.errors import InputError
from graphsocial.features import FeatureReport, vectors
from graphsocial.features.vectors import WHOLE_ROW, FeatureRef
from graphsocial.featurizers.base import Encoded
from graphsocial.plugins import names
from graphsocial.prediction import rebuild
from graphsocial.runs import Run
from graphsocial.specs import Spec
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.training.data import make_loader
from graphsocial.training.loop import AT_ONCE
from graphsocial.types import NodeType, Progress


def encoder_run(store: GraphStore, node_type: str, encoder: str | None) -> Run | None:
    """The run that `MODEL:RUN` names as the encoder of a node type; None for the name of a featurizer.

    Args:
        store: the store of the run.
        node_type: name of the node type to encode.
        encoder: an encoder's name, such as `tmsam:RUN` or `sentence:packaged:minilm`.

    Raises:
        InputError: the run is of another model, or its task predicts something else.
    """
    spec = Spec(encoder or "")
    model, name = spec.name.replace("-", "_"), spec.argument
    if not name or model in names("featurizer") or model not in names("model"):
        return None
    run = runs.load(store, name)
    predicted = store.first("select entity from splits where split_id = ?", [run.split_id])
    if run.model != model or predicted != (node_type,):
        about = predicted[0] if predicted else "an unknown entity"
        raise InputError(f"'{run.id}' is a run of {run.model} about {about}, not one of {model} about '{node_type}'.")
    return run


@torch.no_grad()
def embed(store: GraphStore, run: Run | str, *, progress: Progress | None = None) -> FeatureReport:
    """Store the representations that a run's heads read, for all examples of its task, in one transaction.

    They become a feature set of the node type's rows, keyed by the run's weights and the data, so that a repeated call
    writes nothing. Vectors of training nodes depend on their labels: another model may use them on the same split only.

    Args:
        store: the store of the run, open for writing.
        run: a run, its id, a prefix of it, or `latest`.
        progress: called with the name of the step, steps done and steps in all.

    Raises:
        InputError: the run predicts edges, or its network has no such vectors.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    restored = rebuild(store, run, progress=progress)
    graph, entry = restored.data.graph, restored.data.entity
    network = restored.network.eval()
    unsupported = InputError(
        f"'{run.model}' makes no vector of each node; use a run of a model of nodes, such as tmsam."
    )
    if not isinstance(entry, NodeType):
        raise unsupported
    loader, examples = make_loader(restored.config, restored.data).exact, torch.arange(graph.num_examples)
    matrix = torch.zeros(0)
    for batch in loader.batches(examples, AT_ONCE, together=network.together(graph)):
        after = network.trace(batch.as_of(graph), batch).after
        if after is None:
            raise unsupported
        matrix = matrix if len(matrix) else after.new_zeros(len(examples), after.shape[1])
        matrix[batch.examples] = after
    (checkpoint,) = store.first("select checkpoint_hash from runs where run_id = ?", [run.id]) or (None,)
    key = blake2b(json.dumps([run.id, checkpoint, restored.data.data_hash]).encode(), digest_size=16).hexdigest()
    feature_set = FeatureRef(entry, WHOLE_ROW, key, matrix.shape[1])
    name = f"{run.model}:{run.id}"
    stored = store.first("select count(*) from feature_rows where set_id = ?", [key])
    if stored and stored[0]:
        return FeatureReport(feature_set, name, int(stored[0]), 0, int(stored[0]), 0, 0)
    contents = [blake2b(f"{key} {node_id}".encode(), digest_size=16).hexdigest() for node_id in graph.example_ids()[0]]
    with store.transaction():
        vectors.make_table(store, feature_set)
        store.connection.execute(
            "insert into feature_sets (set_id, encoder, settings, dimension, sequences, split_id) "
            "values (?, ?, ?, ?, false, ?) on conflict do nothing",
            [key, name, json.dumps({"run": run.id}), feature_set.dimension, run.split_id],
        )
        vectors.write(store, feature_set, contents, Encoded(np.ascontiguousarray(matrix.numpy())))
        store.connection.execute(
            f"insert into feature_rows select ?, ?, ?, ?, idx, content from {quote(entry.table)} "
            "join (select unnest(?::varchar[]) as id, unnest(?::varchar[]) as content) using (id) "
            "where dataset = ? order by idx",
            [key, run.dataset, entry.table, WHOLE_ROW, graph.example_ids()[0].tolist(), contents, run.dataset],
        ).fetchall()
    return FeatureReport(feature_set, name, len(contents), len(contents), 0, 0, 0)
