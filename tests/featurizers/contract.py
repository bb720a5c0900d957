"""What the contract test needs to know of each featurizer: a new one joins by an entry in `CASES`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from graphsocial.featurizers.base import Encoded, Featurizer, Learner
from graphsocial.plugins import resolve


@dataclass(frozen=True)
class Case:
    """One featurizer, small enough for a test.

    Attributes:
        items: writes files into a folder if need be, and gives at least four good items of different content.
        make: builds the featurizer, given its class and a folder that tiny weights can be written to.
        corrupt: writes a file that must be rejected; None where nothing can be wrong with an item.
        reason: what the rejection says, in part.
        tolerance: how far an item's numbers may be from those it gets in another batch.
    """

    items: Callable[[Path], list[Any]]
    make: Callable[[type[Any], Path], Featurizer | Learner] = lambda cls, folder: cls()
    corrupt: Callable[[Path], Path] | None = None
    reason: str = ""
    tolerance: float = 1e-5


def texts(folder: Path) -> list[Any]:
    """Short, long, not English, not quite Unicode."""
    return ["What a lovely sunset!", "我非常喜欢这部电影 🎉", "a � or two", "long " * 60, "no."]


def images(folder: Path) -> list[Any]:
    """Readable images of different content, size and mode."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    made = {
        "plain.png": picture,
        "photo.jpg": picture.resize((130, 100)),
        "grey.png": picture.convert("L"),
        "palette.gif": picture.convert("P"),
        "line.png": picture.resize((2000, 1)),
    }
    for name, image in made.items():
        image.save(folder / name)
    return [folder / name for name in made]


def broken_image(folder: Path) -> Path:
    """The beginning of a PNG."""
    path = folder / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return path


def rows(folder: Path) -> list[Any]:
    """Rows of a table; the last one knows little."""
    noon = datetime(2016, 5, 20, 12, tzinfo=timezone.utc)
    return [
        {"age": 20.0, "likes": 3, "city": "Oslo", "member": True, "joined": noon},
        {"age": 31.5, "likes": 0, "city": "Lima", "member": False, "joined": noon.replace(hour=23)},
        {"age": 44.0, "likes": 900, "city": "Oslo", "member": True, "joined": noon.replace(month=12)},
        {"age": None, "likes": None, "city": None, "member": None, "joined": None},
    ]


CASES: dict[str, Case] = {
    "hash_text": Case(texts),
    "metadata": Case(rows),
    "sentence": Case(texts),
    "sentence, tokens": Case(texts, lambda cls, folder: cls(pooling="tokens")),
    "vision": Case(images, corrupt=broken_image, reason="not an image", tolerance=1e-4),
    "vision, map": Case(
        images, lambda cls, folder: cls(output="map"), corrupt=broken_image, reason="not an image", tolerance=1e-4
    ),
}
"""By the registered name; what stands after a comma tells further cases of one featurizer apart."""


def build(name: str, folder: Path) -> tuple[Featurizer | Learner, list[Any]]:
    """The featurizer of a case, not yet fitted if it learns, and its items."""
    case = CASES[name]
    cls = resolve("featurizer", name.partition(",")[0])
    return case.make(cls, folder), case.items(folder)


def ready(featurizer: Featurizer | Learner, items: list[Any]) -> Featurizer:
    """What encodes: the featurizer itself, or what it becomes by learning from all items but the last one."""
    return featurizer.fitted(featurizer.fit(items[:-1])) if isinstance(featurizer, Learner) else featurizer


def save(encoded: Encoded, fingerprint: str, path: Path) -> None:
    """For another process to compare with."""
    np.savez(path, values=encoded.vectors, offsets=encoded.sequences.offsets, fingerprint=fingerprint)


if __name__ == "__main__":  # python contract.py FOLDER NAME…: encode in a process of its own
    home = Path(sys.argv[1])
    for name in sys.argv[2:]:
        folder = home / name
        folder.mkdir()
        featurizer, items = build(name, folder)
        save(ready(featurizer, items).encode(items), featurizer.fingerprint(), home / f"{name}.npz")
