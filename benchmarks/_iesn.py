"""IESN at the size of the paper, or a multiple of it: edges for the kernels, files and a store for the data path."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

import graphsocial as gs
from graphsocial.store import GraphStore
from graphsocial.synthesis import SyntheticIesn, synthesize
from graphsocial.synthesis.world import contacts, draw_world, views

FOLDER = Path(os.environ.get("GRAPHSOCIAL_BENCH", Path(tempfile.gettempdir()) / "graphsocial-bench"))
CONNECTS, VIEWS, VIEWED = ("user", "connects", "user"), ("user", "views", "image"), ("image", "rev_views", "user")
NODE_WIDTH, EDGE_WIDTH, WIDTH, LAYERS, CLASSES = 128, 256, 64, 5, 8


@dataclass(frozen=True)
class Edges:
    """The message edges of a synthetic IESN; views run both ways.

    Attributes:
        num_nodes: node type → N.
        ends: canonical edge type → (src, dst), int64 (E,) each.
    """

    num_nodes: dict[str, int]
    ends: dict[tuple[str, str, str], tuple[Tensor, Tensor]]

    @property
    def total(self) -> int:
        """Edges of all types."""
        return sum(len(src) for src, _ in self.ends.values())


def settings(factor: float = 1.0) -> SyntheticIesn:
    """The preset `iesn`, every count times `factor`."""
    preset = SyntheticIesn.preset("iesn")
    counts = ("users", "images", "contacts", "groups", "views")
    return replace(preset, **{name: round(getattr(preset, name) * factor) for name in counts})


def edges(factor: float = 1.0) -> Edges:
    """The edges that `synthesize` writes with these settings."""
    size = settings(factor)
    world = draw_world(size)
    connects = tuple(torch.from_numpy(end) for end in contacts(world, size))
    user, image = (torch.from_numpy(end) for end in views(world, size))
    ends = {CONNECTS: connects, VIEWS: (user, image), VIEWED: (image, user)}
    return Edges({"user": size.users, "image": size.images}, ends)


def folder() -> Path:
    """The preset's CSV files, written by the first call."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    synthesize("iesn", FOLDER / "iesn", settings=settings())
    return FOLDER / "iesn"


def store() -> GraphStore:
    """A store with the preset in it, ingested by the first call."""
    opened = gs.open(FOLDER / "iesn.duckdb")
    if not opened.datasets():
        gs.ingest(opened, "iesn", folder())
    return opened
