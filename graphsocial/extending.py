"""What a source, featurizer, task, model or analysis of your own is written with, each in one file of its own.

A file such as `./custom_task.py` holds a frozen dataclass that is called like it, `CustomTask`; its fields are its
settings. It is given in place of a name: `graphsocial train ./custom_task.py --set hours=24`. The pages
`docs/extending.md` and those beside it show one of each, which `examples/custom_*.py` hold.

A source names files and the rows that they become: `Source`, `Plan`, `RawTable`, `RawColumn`, `Rows`.
A featurizer turns texts, files or rows into vectors: `Featurizer`, `Encoded`, `Requires`, `digest`.
A task declares targets and the SQL of their labels: `NodeTask`, `EdgeTask`, `Target`.
A model builds a network over a graph: `Model`, `Network`, `SocialGraph`, `Batch`, and layers such as `SageConv`.
An analysis answers a question about a dataset with tables: `Analyzer`, `Findings`.

Importing this loads no torch; the names of models do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphsocial.analysis.base import Analyzer as Analyzer
    from graphsocial.analysis.base import Findings as Findings
    from graphsocial.errors import DataError as DataError
    from graphsocial.errors import FeatureError as FeatureError
    from graphsocial.errors import GraphSocialError as GraphSocialError
    from graphsocial.errors import InputError as InputError
    from graphsocial.errors import MissingFileError as MissingFileError
    from graphsocial.errors import UnknownNameError as UnknownNameError
    from graphsocial.featurizers.base import NO_EFFECT as NO_EFFECT
    from graphsocial.featurizers.base import ContextualFeaturizer as ContextualFeaturizer
    from graphsocial.featurizers.base import Encoded as Encoded
    from graphsocial.featurizers.base import Featurizer as Featurizer
    from graphsocial.featurizers.base import FittedFeaturizer as FittedFeaturizer
    from graphsocial.featurizers.base import Modality as Modality
    from graphsocial.featurizers.base import Requires as Requires
    from graphsocial.featurizers.base import Sequences as Sequences
    from graphsocial.featurizers.base import check_device as check_device
    from graphsocial.featurizers.base import digest as digest
    from graphsocial.graph import Canonical as Canonical
    from graphsocial.graph import Edges as Edges
    from graphsocial.graph import Feature as Feature
    from graphsocial.graph import SocialGraph as SocialGraph
    from graphsocial.graph import is_known as is_known
    from graphsocial.graph.adjacency import Relation as Relation
    from graphsocial.graph.batching import Batch as Batch
    from graphsocial.graph.batching import Layer as Layer
    from graphsocial.graph.labels import label_history as label_history
    from graphsocial.graph.message_flow import input_widths as input_widths
    from graphsocial.models.base import ForwardTrace as ForwardTrace
    from graphsocial.models.base import Model as Model
    from graphsocial.models.base import Network as Network
    from graphsocial.models.base import class_target as class_target
    from graphsocial.models.base import of_ends as of_ends
    from graphsocial.nn.aggregation import aggregate as aggregate
    from graphsocial.nn.fusion import Classifier as Classifier
    from graphsocial.nn.graph_attention import GraphAttention as GraphAttention
    from graphsocial.nn.inputs import NodeInputs as NodeInputs
    from graphsocial.nn.losses import class_shares as class_shares
    from graphsocial.nn.neighbor_conv import GraphConv as GraphConv
    from graphsocial.nn.neighbor_conv import SageConv as SageConv
    from graphsocial.sources.base import Plan as Plan
    from graphsocial.sources.base import RawColumn as RawColumn
    from graphsocial.sources.base import RawTable as RawTable
    from graphsocial.sources.base import Rows as Rows
    from graphsocial.sources.base import Source as Source
    from graphsocial.sources.base import find_table as find_table
    from graphsocial.sources.base import missing_table as missing_table
    from graphsocial.sources.base import require_folder as require_folder
    from graphsocial.store import GraphStore as GraphStore
    from graphsocial.store.exchange import PropertyGraph as PropertyGraph
    from graphsocial.store.sql import literal as literal
    from graphsocial.store.sql import quote as quote
    from graphsocial.tasks import Context as Context
    from graphsocial.tasks import Labels as Labels
    from graphsocial.tasks.base import EdgeTask as EdgeTask
    from graphsocial.tasks.base import NodeTask as NodeTask
    from graphsocial.tasks.base import Task as Task
    from graphsocial.types import Column as Column
    from graphsocial.types import EdgeType as EdgeType
    from graphsocial.types import GraphSchema as GraphSchema
    from graphsocial.types import NodeType as NodeType
    from graphsocial.types import Progress as Progress
    from graphsocial.types import Target as Target

# Module → the names that are taken from it, in the order in which data flows.
_NAMES = {
    "errors": "GraphSocialError InputError MissingFileError UnknownNameError DataError FeatureError",
    "types": "Column NodeType EdgeType GraphSchema Target Progress",
    "store": "GraphStore",
    "store.exchange": "PropertyGraph",
    "store.sql": "quote literal",
    "sources.base": "Source Plan RawTable RawColumn Rows find_table missing_table require_folder",
    "featurizers.base": "Featurizer FittedFeaturizer ContextualFeaturizer Encoded Sequences Requires Modality "
    "NO_EFFECT digest check_device",
    "tasks": "Labels Context",
    "tasks.base": "Task NodeTask EdgeTask",
    "graph": "SocialGraph Edges Feature Canonical is_known",
    "graph.adjacency": "Relation",
    "graph.batching": "Batch Layer",
    "graph.message_flow": "input_widths",
    "graph.labels": "label_history",
    "models.base": "Model Network ForwardTrace of_ends class_target",
    "nn.inputs": "NodeInputs",
    "nn.aggregation": "aggregate",
    "nn.neighbor_conv": "SageConv GraphConv",
    "nn.graph_attention": "GraphAttention",
    "nn.fusion": "Classifier",
    "nn.losses": "class_shares",
    "analysis.base": "Analyzer Findings",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"graphsocial.{_HOME[name]}"), name)
    raise AttributeError(f"graphsocial.extending has no '{name}'; it has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return sorted(__all__)
