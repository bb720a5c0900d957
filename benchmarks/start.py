"""Time before the first training step at IESN's size, by part, and the gain of caching the sorted relations.

    python benchmarks/start.py

`read`: read labels, split, graph and features from the store into tensors, with all contents encoded. `sort`: the
relations sorted by destination, and their transposes. `load`: read the sorted arrays from files instead, as from a
cache keyed by the data's hash; without the time to write them. `import`: a new process that imports what `train` needs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from _harness import interleave, keep
from _iesn import store

from graphsocial.graph import SocialGraph
from graphsocial.graph.adjacency import Relation
from graphsocial.graph.loaders import FullGraphLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.training.config import design
from graphsocial.training.data import prepare


def sort(graph: SocialGraph) -> list[Relation]:
    """Sort all relations and their transposes, as the first batch needs them."""
    roles = torch.zeros(graph.num_examples, dtype=torch.int64)
    relations = list(FullGraphLoader(graph, roles, Visibility(), depth=1).relations.values())
    for relation in relations:
        assert len(relation.transpose.order) == relation.num_edges
    return relations


def arrays(relations: list[Relation]) -> list[np.ndarray]:
    """The arrays that a cache would hold."""
    held = [(r.indptr, r.src, r.order, *r.transpose) for r in relations]
    return [part.numpy() for parts in held for part in parts if part is not None]


def main() -> None:
    """Time the parts, interleaved."""
    with store() as opened, tempfile.TemporaryDirectory() as folder:
        config = design(opened, "edge-emotion")
        graph = prepare(opened, config).graph
        kept = arrays(sort(graph))
        files = [Path(folder, f"{index}.npy") for index in range(len(kept))]
        for file, array in zip(files, kept, strict=True):
            np.save(file, array)
        program = "import graphsocial.training, graphsocial.models.hmg_emo, graphsocial.nn.kernels.fused"
        timings = interleave(
            {
                "import": lambda: subprocess.run([sys.executable, "-c", program], check=True),
                "read": lambda: prepare(opened, design(opened, "edge-emotion")),
                "sort": lambda: sort(graph),
                "load": lambda: [torch.from_numpy(np.load(file)) for file in files],
            }
        )
    spared = timings["sort"].median - timings["load"].median
    keep(
        "start",
        {
            "edges": sum(len(edges) for edges in graph.edges.values()),
            "megabytes": sum(array.nbytes for array in kept) / 1e6,
            "seconds": timings,
            "spared_of_start": spared / sum(timings[part].median for part in ("import", "read", "sort")),
            "spared_of_read_and_sort": spared / (timings["read"].median + timings["sort"].median),
        },
    )


if __name__ == "__main__":
    main()
