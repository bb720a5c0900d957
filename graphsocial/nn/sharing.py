"""Names of a layer's sets of weights: one set for all node and edge types, or one for each type."""

from __future__ import annotations

from typing import Literal

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import CanonicalEtype

Share = Literal["all", "relation"]
ALL: Literal["all"] = "all"
"""The value of `share` with one set of weights for all types, and the name of that set."""


def check_share(share: str) -> None:
    """Raise `InputError` unless `share` is one of `Share`."""
    if share not in (ALL, "relation"):
        raise InputError(f"share = '{share}' is not known; use 'all' or 'relation'.")


def edge_key(etype: CanonicalEtype, share: Share) -> str:
    """The name of the weights that an edge type uses."""
    return ALL if share == ALL else "-".join(etype)


def node_key(node_type: str, share: Share) -> str:
    """The name of the weights that a node type uses."""
    return ALL if share == ALL else f"node-{node_type}"  # a bare name could be that of a module's method
