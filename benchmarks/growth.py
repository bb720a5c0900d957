"""The cost of a full-graph step by graph size: an eighth to four times IESN, all sizes interleaved.

    python benchmarks/growth.py [--largest 4]

The step is that of `full_graph_step.py`. A linear cost takes the same time per edge at all sizes.
"""

from __future__ import annotations

import argparse

from _harness import interleave, keep
from full_graph_step import build

FACTORS = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4)


def measure(largest: float) -> None:
    """Time the steps of all sizes up to `largest`."""
    calls, total = {}, {}
    for factor in (f for f in FACTORS if f <= largest):
        sides, step_of, graph = build(["graphsocial"], factor=factor)
        calls[f"{factor:g}"], total[f"{factor:g}"] = step_of(sides["graphsocial"]), graph.total
    timings = interleave(calls)
    wall = {name: 1e9 * timing.minimum / total[name] for name, timing in timings.items()}
    cpu = {name: 1e9 * timing.cpu / total[name] for name, timing in timings.items()}
    keep(
        "growth",
        {
            "edges": total,
            "seconds": timings,
            "nanoseconds_per_edge": wall,
            "relative_to_iesn": {name: value / wall["1"] for name, value in wall.items()},
            "cpu_nanoseconds_per_edge": cpu,
            "cpu_relative_to_iesn": {name: value / cpu["1"] for name, value in cpu.items()},
            "within_a_quarter": all(abs(value / wall["1"] - 1) <= 0.25 for value in wall.values()),
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=float, default=4)
    measure(parser.parse_args().largest)
