"""The layers that models share; importing them loads torch."""

from torch import nn

from graphsocial.nn.graph_attention import GraphAttention
from graphsocial.nn.neighbor_conv import GraphConv, SageConv

LAYERS: dict[str, type[nn.Module]] = {"gat": GraphAttention, "sage": SageConv, "graphconv": GraphConv}
