"""p values of several tests together."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for their number (Holm 1979), which keeps the chance of any false rejection; None stays.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    known = sorted((p, position) for position, p in enumerate(p_values) if p is not None)
    adjusted, largest = list(p_values), 0.0
    for rank, (p, position) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        adjusted[position] = largest
    return adjusted
