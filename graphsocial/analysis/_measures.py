"""Network measures as sparse matrix products, by networkx's definitions and in seconds where networkx takes hours.

A graph is a square `scipy.sparse.csr_array` of ones: `simple` makes it directed, `undirected` symmetric; neither has
loops or parallel edges. N nodes, M ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix, triu
from scipy.sparse.csgraph import connected_components
from sknetwork.clustering import Louvain
from sknetwork.topology import get_core_decomposition

from graphsocial.analysis._shortest_paths import add_dependencies
from graphsocial.types import Progress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
WORK = 20_000_000  # multiplications in a block, which bounds the memory of a sparse product
AT_ONCE = 16  # sources of betweenness between two calls of progress


def simple(src: Ints, dst: Ints, nodes: int) -> Any:
    """The directed graph of these edges without parallel edges and loops.

    Args:
        src: (E,) row numbers of the sources.
        dst: (E,) row numbers of the destinations.
        nodes: number of nodes.
    """
    keys = np.unique((src * nodes + dst)[src != dst])
    ends = tuple(part.astype(np.int32) for part in np.divmod(keys, max(nodes, 1)))
    return csr_array((np.ones(len(keys)), ends), shape=(nodes, nodes))


def undirected(graph: Any) -> Any:
    """The same links in both directions."""
    both = (graph + graph.T).tocsr()
    both.data = np.ones_like(both.data)
    both.sort_indices()
    return both


def degrees(graph: Any) -> Ints:
    """(N,) out-degree of each node."""
    degree: Ints = np.diff(graph.indptr).astype(np.int64)
    return degree


def pagerank(graph: Any, *, damping: float = 0.85, tolerance: float = 1e-10) -> Floats:
    """(N,) the PageRank of a directed graph by power iteration as in networkx; dangling nodes link to all nodes.

    Args:
        graph: directed graph.
        damping: probability of following an edge.
        tolerance: L1 change of the ranks at which the iteration stops.
    """
    nodes = graph.shape[0]
    out = degrees(graph)
    spread = np.divide(1.0, out, out=np.zeros(nodes), where=out > 0)
    back = graph.T.tocsr()
    rank = np.full(nodes, 1 / nodes)
    for _ in range(1_000):
        before = rank
        dangling = rank[out == 0].sum()
        rank = damping * (back @ (rank * spread) + dangling / nodes) + (1 - damping) / nodes
        if np.abs(rank - before).sum() < tolerance:
            break
    normed: Floats = rank / rank.sum()
    return normed


def betweenness(graph: Any, sources: Ints, *, progress: Progress | None = None) -> Floats:
    """(N,) the share of shortest paths from `sources` to all other nodes that run through each node.

    Brandes' algorithm (2001), source by source. With all nodes as sources it is networkx's normalized betweenness of an
    undirected graph; with a random sample it is scaled up to be an estimate of that.

    Args:
        graph: undirected graph.
        sources: row numbers of the sources.
        progress: called with the number of sources done.
    """
    nodes = graph.shape[0]
    total = np.zeros(nodes)
    for start in range(0, len(sources), AT_ONCE):
        if progress:
            progress("betweenness", start, len(sources))
        add_dependencies(start, min(start + AT_ONCE, len(sources)), graph.indptr, graph.indices, sources, total)
    pairs = (nodes - 1) * (nodes - 2)
    return total * (nodes / len(sources) / pairs) if pairs > 0 and len(sources) else total


def affordable(graph: Any, work: float) -> int:
    """Number of betweenness sources that a budget allows.

    Args:
        graph: undirected graph.
        work: budget in edges and nodes visited.
    """
    return max(1, int(work / visits(graph.shape[0], graph.nnz)))


def visits(nodes: int, ones: int) -> int:
    """Edges and nodes that betweenness visits for one source: there, and back."""
    return 2 * ones + 4 * nodes


def triangles(graph: Any) -> Ints:
    """(N,) number of triangles of each node of an undirected graph.

    Each edge is directed to its endpoint of the higher degree, so that hubs have few outgoing edges: for a triangle
    u → v → w, u → w the products are Σ_v L_uv L_vw (for u and w) and Σ_u L_uv L_uw (for v), where L_uw and L_vw are 1.
    """
    nodes = graph.shape[0]
    order = np.argsort(degrees(graph), kind="stable")
    ascending = triu(graph[order][:, order], k=1, format="csr")
    ordered = np.zeros(nodes)
    for rows, product in _blocks(ascending, ascending):
        closed = product.multiply(ascending[rows]).tocsr()
        ordered[rows] += closed.sum(axis=1)
        ordered += closed.sum(axis=0)
    for rows, product in _blocks(ascending.T.tocsr(), ascending):
        ordered[rows] += product.multiply(ascending[rows]).sum(axis=1)
    counts = np.zeros(nodes, dtype=np.int64)
    counts[order] = ordered.astype(np.int64)
    return counts


def _blocks(left: Any, right: Any) -> Iterator[tuple[slice, Any]]:
    """The matrix product in blocks of rows."""
    work = np.concatenate([[0], np.cumsum(left @ degrees(right).astype(np.float64))])
    start = 0
    while start < left.shape[0]:
        end = max(start + 1, int(np.searchsorted(work, work[start] + WORK, side="right")) - 1)
        rows = slice(start, min(end, left.shape[0]))
        yield rows, left[rows] @ right
        start = rows.stop


def clustering(graph: Any, counts: Ints) -> Floats:
    """(N,) clustering coefficient: the share of each node's pairs of neighbors that are linked; 0 without a pair."""
    degree = degrees(graph)
    clustered: Floats = np.divide(2.0 * counts, degree * (degree - 1), out=np.zeros(len(degree)), where=degree > 1)
    return clustered


def transitivity(graph: Any, counts: Ints) -> float:
    """The share of all paths of two edges that are closed."""
    degree = degrees(graph)
    paths = float((degree * (degree - 1)).sum())
    return float(2 * counts.sum() / paths) if paths else 0.0


def components(graph: Any) -> Ints:
    """(N,) the connected component of each node; 0 is the largest."""
    return _by_size(connected_components(graph, directed=False)[1])


def communities(graph: Any, *, seed: int) -> Ints:
    """(N,) the community of each node by the Louvain method (Blondel et al. 2008); 0 is the largest."""
    if not graph.nnz:  # scikit-network takes no empty graph
        return np.arange(graph.shape[0], dtype=np.int64)
    return _by_size(Louvain(random_state=seed, shuffle_nodes=True).fit_predict(csr_matrix(graph)))


def modularity(graph: Any, groups: Ints) -> float:
    """Newman's modularity of a partition: the share of links inside groups less its expectation by degrees."""
    if not graph.nnz:
        return 0.0
    degree = degrees(graph)
    rows = np.repeat(np.arange(graph.shape[0]), degree)
    inside = float((groups[rows] == groups[graph.indices]).mean())
    shares = np.bincount(groups, weights=degree) / graph.nnz
    return inside - float((shares**2).sum())


def cores(graph: Any) -> Ints:
    """(N,) the largest k for which a node is in the k-core, where every node has k neighbors."""
    if not graph.nnz:
        return np.zeros(graph.shape[0], dtype=np.int64)
    return np.asarray(get_core_decomposition(csr_matrix(graph)), dtype=np.int64)


def _by_size(groups: NDArray[np.integer[Any]]) -> Ints:
    """The same groups, numbered from the largest; equal ones by their first node."""
    _, first, inverse, counts = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -counts))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse]
