"""Encoding of texts in their context: `language-model` against transformers with one forward pass per text.

    python benchmarks/language_model.py

Dialogues of random words; the vector of a turn is the mean of its tokens' hidden states given all turns before it. Ours
passes each dialogue through the causal model once. The peer passes each turn with its context through transformers'
model of the same weights and layers, in batches of 16 of similar length. Both give the same vectors.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from _harness import against, interleave, keep
from numpy.typing import NDArray

from graphsocial.featurizers._hub import stamp
from graphsocial.featurizers.language_model import LanguageModel, _folder, _load

DIALOGUES, TURNS, WORDS, AT_ONCE = 12, 10, 10, 16
VOCABULARY = ["what", "no", "yes", "we", "you", "they", "went", "home", "late", "today", "happy", "sad", "good", "bad"]


def items() -> list[list[str]]:
    """Each turn of each dialogue with the turns before it."""
    random = np.random.default_rng(0)
    talks = [[" ".join(random.choice(VOCABULARY, WORDS)) for _ in range(TURNS)] for _ in range(DIALOGUES)]
    return [talk[: n + 1] for talk in talks for n in range(TURNS)]


def one_by_one(reader: Any, texts: list[list[str]]) -> NDArray[np.float32]:
    """The peer: one forward pass per turn with its context."""
    lines = [[reader.tokens(line, 256) for line in text] for text in texts]
    order = sorted(range(len(texts)), key=lambda n: sum(map(len, lines[n])))
    vectors = np.zeros((len(texts), reader.model.config.hidden_size), np.float32)
    for start in range(0, len(order), AT_ONCE):
        some = order[start : start + AT_ONCE]
        for n, states in zip(some, reader.states([reader.fit(lines[n]) for n in some]), strict=True):
            vectors[n] = states[-len(lines[n][-1]) :].mean(0).numpy()
    return vectors


def compare(rounds: int) -> None:
    """Time both sides, and check that their vectors are equal."""
    encoder, texts = LanguageModel(), items()
    folder = _folder(encoder.model)
    reader = _load(folder, stamp(folder), encoder.layer, encoder.device)
    ours, theirs = encoder.encode(texts).vectors, one_by_one(reader, texts)
    if np.abs(ours - theirs).max() > 1e-3 * np.abs(theirs).max():
        raise SystemExit("The vectors differ.")
    seconds = interleave(
        {"graphsocial": lambda: encoder.encode(texts), "transformers": lambda: one_by_one(reader, texts)}, rounds=rounds
    )
    keep(
        "language_model",
        {
            "seconds": seconds,
            "ratio": against(seconds["graphsocial"], seconds["transformers"]),
            "row": {
                "what": f"read {len(texts)} turns of {DIALOGUES} dialogues, Gemma 3 270M",
                "peer": "transformers, each turn with its context",
                "ours": "graphsocial",
                "theirs": "transformers",
                "least": 1,
            },
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    compare(parser.parse_args().rounds)
