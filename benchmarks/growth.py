"""The cost of a full-graph step as the graph grows: an eighth to four times IESN, all sizes in turn.

    python benchmarks/growth.py [--largest 4]

The step is that of `full_graph_step.py`. A cost that is linear takes the same time per edge at all sizes.
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
    taken = interleave(calls)
    each = {name: 1e9 * timing.minimum / total[name] for name, timing in taken.items()}
    worked = {name: 1e9 * timing.cpu / total[name] for name, timing in taken.items()}
    one = each["1"]
    keep(
        "growth",
        {
            "edges": total,
            "seconds": taken,
            "nanoseconds_per_edge": each,
            "relative_to_iesn": {name: value / one for name, value in each.items()},
            "cpu_nanoseconds_per_edge": worked,
            "cpu_relative_to_iesn": {name: value / worked["1"] for name, value in worked.items()},
            "within_a_quarter": all(abs(value / one - 1) <= 0.25 for value in each.values()),
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=float, default=4)
    measure(parser.parse_args().largest)
