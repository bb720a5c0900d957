"""A graph-centric social analytics engine: `import graphsocial as gs`."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphsocial.analysis import analyze
    from graphsocial.auditing import audit
    from graphsocial.comparison import Comparison, compare
    from graphsocial.diagnostics.benchmarking import benchmark
    from graphsocial.errors import GraphSocialError
    from graphsocial.evaluation.splits import SplitPolicy
    from graphsocial.explanation import explain
    from graphsocial.features import featurize
    from graphsocial.graph.linking import link
    from graphsocial.graph.visibility import Visibility
    from graphsocial.ingestion import ingest
    from graphsocial.prediction import evaluate, predict
    from graphsocial.prediction.what_if import what_if
    from graphsocial.reporting.writing import report
    from graphsocial.reproduction import reproduce
    from graphsocial.runs import Run, leaderboard
    from graphsocial.store import GraphStore, open
    from graphsocial.synthesis import synthesize
    from graphsocial.training import train
    from graphsocial.tuning import tune
    from graphsocial.types import Column, EdgeType, GraphSchema, NodeType, Target

# Read when torch is loaded. Threads that wait for work look for it for some microseconds and then sleep: asleep at once
# they wake too late for the many small steps of a network, and awake for longer they keep cores from our own kernels'.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

# In the order in which data flows. Each is imported when it is first used, so that torch and dgl load only then.
_HOME = {
    "synthesize": "synthesis",
    "open": "store",
    "GraphStore": "store",
    "GraphSchema": "types",
    "NodeType": "types",
    "EdgeType": "types",
    "Column": "types",
    "Target": "types",
    "ingest": "ingestion",
    "featurize": "features",
    "link": "graph.linking",
    "SplitPolicy": "evaluation.splits",
    "Visibility": "graph.visibility",
    "train": "training",
    "Run": "runs",
    "leaderboard": "runs",
    "predict": "prediction",
    "evaluate": "prediction",
    "what_if": "prediction.what_if",
    "compare": "comparison",
    "Comparison": "comparison",
    "audit": "auditing",
    "tune": "tuning",
    "reproduce": "reproduction",
    "analyze": "analysis",
    "explain": "explanation",
    "report": "reporting.writing",
    "benchmark": "diagnostics.benchmarking",
    "GraphSocialError": "errors",
}
__all__ = [  # noqa: RUF022 - the order is the order of data
    "synthesize",
    "open",
    "GraphStore",
    "GraphSchema",
    "NodeType",
    "EdgeType",
    "Column",
    "Target",
    "ingest",
    "featurize",
    "link",
    "SplitPolicy",
    "Visibility",
    "train",
    "Run",
    "leaderboard",
    "predict",
    "evaluate",
    "what_if",
    "compare",
    "Comparison",
    "audit",
    "tune",
    "reproduce",
    "analyze",
    "explain",
    "report",
    "benchmark",
    "GraphSocialError",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"graphsocial.{_HOME[name]}"), name)
    raise AttributeError(f"graphsocial has no '{name}'; it has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return sorted(__all__)
