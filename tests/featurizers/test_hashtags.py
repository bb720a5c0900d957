"""Hashtags that stand together in the training rows get vectors that lie together."""

from __future__ import annotations

import json

import numpy as np
import pytest

from graphsocial.errors import InputError

pytest.importorskip("gensim", reason="needs the extra 'word-vectors'")
from graphsocial.featurizers.hashtags import Hashtags

ROWS = [f"{a} {b} {c}" for a, b, c in [("#sea", "#sun", "#sand"), ("#snow", "#ski", "#ice")] for _ in range(60)]


def test_tags_of_one_company_are_alike() -> None:
    random = np.random.default_rng(0)
    rows = [" ".join(f"#{'summer' if n % 2 else 'winter'}{tag}" for tag in random.choice(12, 4)) for n in range(400)]
    learner = Hashtags(dimension=16)
    encoder = learner.fitted(json.loads(json.dumps(learner.fit(rows))))
    vectors = encoder.encode(["#summer1", "#SUMMER2!", "#winter1", "＃winter2 and words"]).vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2] + 0.3 and unit[2] @ unit[3] > unit[1] @ unit[3] + 0.3


def test_a_text_is_the_mean_of_its_known_tags() -> None:
    learner = Hashtags(dimension=4, epochs=1)
    encoder = learner.fitted(learner.fit(ROWS))
    sea, sun, both, none, unknown, words = encoder.encode(
        ["#sea", "#sun", "#sun #sea #sea #unseen", "", "#unseen", "sea sun"]
    ).vectors
    assert np.allclose(both, (sea + sun) / 2) and sea.any() and not (none.any() or unknown.any() or words.any())


def test_columns_of_nothing_but_tags() -> None:
    learner = Hashtags(dimension=4, epochs=1, bare=True)
    vectors = learner.fitted(learner.fit(["sea, sun", "#sun sea"])).encode(["SEA", "#sea", "snow"]).vectors
    assert (vectors[0] == vectors[1]).all() and vectors[0].any() and not vectors[2].any()


def test_the_same_rows_teach_the_same_and_other_rows_other_vectors() -> None:
    learner = Hashtags(dimension=4, epochs=2)
    first = learner.fit(ROWS)
    assert learner.fit(ROWS[::-1]) == first != Hashtags(dimension=4, epochs=2, seed=1).fit(ROWS)
    fewer = learner.fit(ROWS[:60])
    assert set(fewer["tags"]) == {"sea", "sun", "sand"}  # never a tag that only other rows have
    assert learner.fitted(first).fingerprint() != learner.fitted(fewer).fingerprint()


def test_what_cannot_be_learnt_is_refused() -> None:
    for rows in ([], ["no tags", "none"], ["#one", "#two"]):
        with pytest.raises(InputError, match="No hashtag is on 2 or more"):
            Hashtags().fit(rows)
    for setting in ({"dimension": 0}, {"epochs": 0}, {"least": 0}, {"batch_size": 0}, {"seed": -1}):
        with pytest.raises(InputError, match=next(iter(setting))):
            Hashtags(**setting)  # type: ignore[arg-type]
