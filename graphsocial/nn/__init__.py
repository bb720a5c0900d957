"""The layers that models share; importing them loads torch."""

from torch import nn

from graphsocial.nn.aggregation import GraphConv, SageConv
from graphsocial.nn.graph_attention import GraphAttention

LAYERS: dict[str, type[nn.Module]] = {"gat": GraphAttention, "sage": SageConv, "graphconv": GraphConv}
