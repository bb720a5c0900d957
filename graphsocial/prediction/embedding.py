"""What a trained network makes of each node, as vectors in the store: a run as an encoder."""

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


def run_named(store: GraphStore, what: str, encoder: str | None) -> Run | None:
    """The run that `MODEL:RUN` names as the encoder of the rows of `what`; None where it names a featurizer.

    Raises:
        InputError: the run is of another model, or asks about something else.
    """
    spec = Spec(encoder or "")
    model, name = spec.name.replace("-", "_"), spec.argument
    if not name or model in names("featurizer") or model not in names("model"):
        return None
    run = runs.load(store, name)
    asked = store.first("select entity from splits where split_id = ?", [run.split_id])
    if run.model != model or asked != (what,):
        about = asked[0] if asked else "nothing that is known"
        raise InputError(f"'{run.id}' is a run of {run.model} about {about}, not one of {model} about '{what}'.")
    return run


@torch.no_grad()
def embed(store: GraphStore, run: Run | str, *, progress: Progress | None = None) -> FeatureReport:
    """Write the vectors that a run's heads read of the nodes that its task asks about, in one transaction.

    They become a feature set of the node type's rows, keyed by the run's weights and by the data, so that the same call
    again writes nothing. Vectors of nodes that the run was trained on know their labels: another model may use them
    on the same split only.

    Args:
        run: a run, its id, the start of it, or `latest`.

    Raises:
        InputError: the run asks about edges, or its network has no such vectors.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    restored = rebuild(store, run, progress=progress)
    graph, entry = restored.data.graph, restored.data.entity
    network = restored.network.eval()
    wrong = InputError(f"'{run.model}' makes no vector of each node; take a run of a model of nodes, such as tmsam.")
    if not isinstance(entry, NodeType):
        raise wrong
    loader, examples = make_loader(restored.config, restored.data).exact, torch.arange(graph.num_examples)
    found = torch.zeros(0)
    for batch in loader.batches(examples, AT_ONCE, together=network.together(graph)):
        after = network.trace(graph, batch).after
        if after is None:
            raise wrong
        found = found if len(found) else after.new_zeros(len(examples), after.shape[1])
        found[batch.examples] = after
    (checkpoint,) = store.first("select checkpoint_hash from runs where run_id = ?", [run.id]) or (None,)
    key = blake2b(json.dumps([run.id, checkpoint, restored.data.data_hash]).encode(), digest_size=16).hexdigest()
    use = FeatureRef(entry, WHOLE_ROW, key, found.shape[1])
    name = f"{run.model}:{run.id}"
    known = store.first("select count(*) from feature_rows where set_id = ?", [key])
    if known and known[0]:
        return FeatureReport(use, name, int(known[0]), 0, int(known[0]), 0, 0)
    contents = [blake2b(f"{key} {one}".encode(), digest_size=16).hexdigest() for one in graph.example_ids()[0]]
    with store.transaction():
        vectors.make_table(store, use)
        store.connection.execute(
            "insert into feature_sets (set_id, encoder, settings, dimension, sequences, split_id) "
            "values (?, ?, ?, ?, false, ?) on conflict do nothing",
            [key, name, json.dumps({"run": run.id}), use.dimension, run.split_id],
        )
        vectors.write(store, use, contents, Encoded(np.ascontiguousarray(found.numpy())))
        store.connection.execute(
            f"insert into feature_rows select ?, ?, ?, ?, idx, content from {quote(entry.table)} "
            "join (select unnest(?::varchar[]) as id, unnest(?::varchar[]) as content) using (id) "
            "where dataset = ? order by idx",
            [key, run.dataset, entry.table, WHOLE_ROW, graph.example_ids()[0].tolist(), contents, run.dataset],
        ).fetchall()
    return FeatureReport(use, name, len(contents), len(contents), 0, 0, 0)
