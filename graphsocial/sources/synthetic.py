"""A synthetic IESN with known ground truth, written and read in one go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from graphsocial.sources._iesn_layout import plan_iesn
from graphsocial.sources.base import Plan
from graphsocial.synthesis import SyntheticIesn, synthesize


@dataclass(frozen=True)
class Synthetic(SyntheticIesn):
    """Writes a synthetic dataset into the folder when that is empty, then reads it as the source `iesn` does.

    The settings are those of `graphsocial.synthesis.SyntheticIesn`. A folder that holds anything else is an error.
    """

    def plan(self, path: Path, *, dataset: str | None = None) -> Plan:
        """Write the files where there are none yet; the tables among them, and the rows that they become."""
        synthesize("iesn", path, settings=self)
        return plan_iesn(path, dataset=dataset)
