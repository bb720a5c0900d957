"""The sparse measures equal networkx's on small graphs of several shapes."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

from graphsocial.analysis import _measures as measures
from graphsocial.analysis._assortativity import Homophily, assortativity, homophily
from graphsocial.analysis._averages import NodeValues

GRAPHS = {
    "karate": nx.karate_club_graph().to_directed(),
    "random": nx.gnp_random_graph(60, 0.06, seed=1, directed=True),
    "hubs": nx.barabasi_albert_graph(200, 4, seed=2).to_directed(),
    "path": nx.path_graph(5, create_using=nx.DiGraph),
    "two": nx.disjoint_union(nx.complete_graph(4), nx.empty_graph(2)).to_directed(),
}


@pytest.fixture(params=GRAPHS)
def case(request: pytest.FixtureRequest) -> tuple[nx.DiGraph, nx.Graph, object, object]:
    """The graph, its links, and both as sparse matrices; with a loop and a parallel edge to be ignored."""
    graph = GRAPHS[request.param]
    ends = np.array([*graph.edges(), next(iter(graph.edges())), (1, 1)])
    directed = measures.simple(ends[:, 0], ends[:, 1], len(graph))
    return graph, graph.to_undirected(), directed, measures.undirected(directed)


def values(found: dict[int, float]) -> list[float]:
    return [found[node] for node in range(len(found))]


def test_measures_equal_networkx(case: tuple[nx.DiGraph, nx.Graph, object, object]) -> None:
    graph, links, directed, matrix = case
    counts = measures.triangles(matrix)
    ranks = values(nx.pagerank(graph, weight=None, tol=1e-9, max_iter=1_000))
    assert measures.pagerank(directed) == pytest.approx(ranks, abs=1e-7)
    assert measures.betweenness(matrix, np.arange(len(graph))) == pytest.approx(
        values(nx.betweenness_centrality(links)), abs=1e-12
    )
    assert counts.tolist() == values(nx.triangles(links))
    assert measures.clustering(matrix, counts) == pytest.approx(values(nx.clustering(links)))
    assert measures.transitivity(matrix, counts) == pytest.approx(nx.transitivity(links))
    assert measures.cores(matrix).tolist() == values(nx.core_number(links))
    found = measures.components(matrix)
    assert [sorted(np.flatnonzero(found == n)) for n in range(found.max() + 1)] == sorted(
        (sorted(part) for part in nx.connected_components(links)), key=lambda part: (-len(part), part)
    )


def test_triangles_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    links = nx.barabasi_albert_graph(150, 5, seed=4)
    ends = np.array(links.edges())
    matrix = measures.undirected(measures.simple(ends[:, 0], ends[:, 1], 150))
    monkeypatch.setattr(measures, "WORK", 50)
    assert measures.triangles(matrix).tolist() == values(nx.triangles(links))


def test_modularity_of_communities_matches_networkx(case: tuple[nx.DiGraph, nx.Graph, object, object]) -> None:
    _, links, _, matrix = case
    groups = measures.communities(matrix, seed=0)
    parts = [set(np.flatnonzero(groups == n)) for n in range(groups.max() + 1)]
    assert measures.modularity(matrix, groups) == pytest.approx(nx.community.modularity(links, parts, weight=None))
    theirs = nx.community.modularity(links, nx.community.louvain_communities(links, weight=None, seed=0), weight=None)
    assert measures.modularity(matrix, groups) > theirs - 0.05
    assert (np.diff([len(part) for part in parts]) <= 0).all()  # from the largest
    assert (measures.communities(matrix, seed=0) == groups).all()


def test_betweenness_of_sampled_sources_is_scaled_up() -> None:
    links = nx.barabasi_albert_graph(120, 3, seed=3)
    ends = np.array(links.edges())
    matrix = measures.undirected(measures.simple(ends[:, 0], ends[:, 1], 120))
    sources = np.arange(0, 120, 5)
    sums = nx.betweenness_centrality_subset(links, sources.tolist(), list(range(120)))  # halved: undirected
    expected = np.array(values(sums)) * 2 * (120 / len(sources)) / (119 * 118)
    assert measures.betweenness(matrix, sources) == pytest.approx(expected)


def test_affordable_sources_shrink_with_the_graph() -> None:
    small, large = (measures.undirected(measures.simple(*_ring(n), n)) for n in (50, 500))
    assert [measures.affordable(graph, 1e4) for graph in (small, large)] == [25, 2]


def _ring(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(nodes), (np.arange(nodes) + 1) % nodes


def test_assortativity_equals_networkx() -> None:
    links = nx.karate_club_graph()
    ends = np.array(links.edges())
    matrix = measures.undirected(measures.simple(ends[:, 0], ends[:, 1], len(links)))
    numbers = np.random.default_rng(0).normal(size=len(links))
    nx.set_node_attributes(links, dict(enumerate(numbers.tolist())), "number")
    assert assortativity(matrix, numbers) == pytest.approx(nx.numeric_assortativity_coefficient(links, "number"))
    assert assortativity(matrix, np.ones(len(links))) is None


def _tested(graph: Any, shares: measures.Floats, permutations: int, random: np.random.Generator) -> Homophily:
    """Homophily of one class that is a label of the nodes."""
    values = NodeValues("mood", ["sad"], shares[:, None], None, None)
    (result,) = homophily(graph, values, permutations=permutations, random=random)
    return result


def test_homophily_is_significant_only_where_planted() -> None:
    random = np.random.default_rng(0)
    links = nx.planted_partition_graph(2, 40, 0.3, 0.03, seed=0)
    ends = np.array(links.edges())
    matrix = measures.undirected(measures.simple(ends[:, 0], ends[:, 1], 80))
    sad = np.where(np.arange(80) < 40, 0.9, 0.1)
    sad[::10] = np.nan  # unknown ones are left out
    planted = _tested(matrix, sad, 199, random)
    assert planted.nodes == 72
    assert planted.assortativity is not None and planted.assortativity > 0.5
    assert planted.p == pytest.approx(1 / 200)
    assert planted.z is not None and planted.z > 5
    assert planted.beside is not None and planted.at_ends is not None
    assert planted.beside > planted.at_ends + 0.1
    ps = [_tested(matrix, random.permutation(sad), 99, random).p for _ in range(40)]
    assert 0.3 < float(np.mean([p or 0 for p in ps])) < 0.7  # uniform where nothing is planted
    nothing = _tested(matrix, np.full(80, 0.5), 99, random)
    assert (nothing.assortativity, nothing.p, nothing.permutations) == (None, None, 0)
    assert nothing.beside == pytest.approx(0.5)


def test_a_hub_s_value_is_no_homophily() -> None:
    """In a star the centre's value is at half of all endpoints, whatever the links are."""
    star = measures.undirected(measures.simple(np.zeros(9, dtype=int), np.arange(1, 10), 10))
    values = np.array([1.0] + [0.5] * 9)
    found = _tested(star, values, 19, np.random.default_rng(0))
    assert found.mean == pytest.approx(0.55)
    assert found.at_ends == pytest.approx(0.75)
    assert found.beside == pytest.approx((9 * 0.5 + 9 * 0.5) / (9 + 9 * 0.5))
    assert found.assortativity == pytest.approx(-1)
