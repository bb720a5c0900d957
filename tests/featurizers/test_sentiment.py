"""Sentiment says of known texts what people say of them, and of a language it does not read nothing."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from graphsocial.errors import InputError, MissingFileError

pytest.importorskip("vaderSentiment", reason="needs the extra 'sentiment'")
pytest.importorskip("snownlp", reason="needs the extra 'sentiment'")
from graphsocial.featurizers.sentiment import COLUMNS, Sentiment


def score(text: str, norms: str = "") -> dict[str, float]:
    return dict(zip(COLUMNS, Sentiment(norms).encode([text]).vectors[0].tolist(), strict=True))


@pytest.fixture
def norms(tmp_path: Path) -> str:
    path = tmp_path / "norms.csv"
    path.write_text("word,valence,arousal,dominance\nLove,8,5,6\nwar,2,7,3\n喜欢,7,5,5\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "low", "high", "grades"),
    [
        ("I love this, it is wonderful!", 0.6, 1, {5}),
        ("I don't like it.", -0.6, -0.1, {2}),
        ("This is horrible and I hate it!!!", -1, -0.6, {1}),
        ("The train leaves at nine.", -0.1, 0.1, {3}),
        ("我非常喜欢这部电影", 0.6, 1, {5}),
        ("这部电影太糟糕了，浪费时间", -1, -0.2, {1, 2}),
        ("😍", 0.2, 1, {4, 5}),
        (":)", 0.2, 1, {4, 5}),
        ("", 0, 0, {3}),
        ("12:30 ...", 0, 0, {3}),
    ],
)
def test_polarity_and_grade(text: str, low: float, high: float, grades: set[int]) -> None:
    scores = score(text)
    assert low <= scores["polarity"] <= high and scores["grade"] in grades


@pytest.mark.parametrize(
    "text", ["Я люблю тебя", "この映画は大好きです", "사랑해요", "très sympathique, señor", "שלום"]
)
def test_a_language_that_is_not_read_is_counted_and_neutral(text: str) -> None:
    scores = score(text)
    assert scores["other"] > 0.3 and scores["chinese"] == 0 and scores["grade"] == 3 and scores["polarity"] == 0


def test_two_languages_in_one_text_are_both_heard() -> None:
    scores = score("这部电影太糟糕了 but I love you")
    assert scores["english"] > 0.2 and scores["chinese"] > 0.2 and scores["other"] == 0
    assert scores["english"] + scores["chinese"] == pytest.approx(1)
    alone, other = score("I love you")["polarity"], score("这部电影太糟糕了")["polarity"]
    assert other < scores["polarity"] < alone
    assert 0 < score("love война и мир")["polarity"] < score("love")["polarity"] / 2  # a quarter of the words


def test_long_texts_stay_in_range_and_take_a_moment() -> None:
    begin = time.perf_counter()
    for text in ("I love this. " * 5000, "这部电影太糟糕了" * 2000, "bad " * 20_000, "😍" * 5000):
        scores = score(text)
        assert -1 <= scores["polarity"] <= 1 and 1 <= scores["grade"] <= 5
    assert score("I love this. " * 500)["polarity"] == pytest.approx(score("I love this.")["polarity"], abs=1e-6)
    assert time.perf_counter() - begin < 60


def test_norms_are_averaged_over_the_words_they_rate(norms: str) -> None:
    scores = score("Love, not WAR", norms)
    assert [scores[name] for name in ("valence", "arousal", "dominance")] == pytest.approx([0, 0.25, -0.125])
    assert scores["rated"] == pytest.approx(2 / 3)
    assert score("我喜欢", norms)["valence"] == pytest.approx(0.5)
    unrated = score("nothing of that", norms)
    assert unrated["valence"] == unrated["arousal"] == unrated["rated"] == 0
    assert score("Love")["rated"] == 0


def test_emotion_keywords() -> None:
    scores = score("angry and scared")
    assert scores["anger"] == scores["fear"] == pytest.approx(1 / 3) and scores["awe"] == 0


def test_norms_count_by_what_they_say(norms: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes(Path(norms).read_bytes())
    first = Sentiment(norms).fingerprint()
    assert Sentiment(str(copy)).fingerprint() == first != Sentiment().fingerprint()
    copy.write_text("word,valence,arousal,dominance\nlove,2,5,6\n")
    assert Sentiment(str(copy)).fingerprint() != first
    assert score("love", str(copy))["valence"] == -0.75


def test_bad_norms_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no\.csv"):
        score("x", str(tmp_path / "no.csv"))
    path = tmp_path / "norms.csv"
    path.write_text("word,valence\nlove,8\n")
    with pytest.raises(InputError, match="needs word, valence, arousal, dominance"):
        score("x", str(path))
    for bad in ("love,8,5,10", "love,8,,5", "love,8,5,nan", "love,8"):
        path.write_text(f"word,valence,arousal,dominance\n{bad}\n")
        with pytest.raises(InputError, match=r"line 2: .* not numbers from 1 to 9"):
            score("x", str(path))


def test_the_norms_of_warriner(shared_data: Path) -> None:
    path = str(shared_data / "warriner" / "Ratings_Warriner_et_al.csv")
    glad, sad = (score(text, path) for text in ("happy sunshine", "murder and grief"))
    assert glad["valence"] > 0.5 > -0.5 > sad["valence"] and glad["rated"] == 1 and sad["rated"] == pytest.approx(2 / 3)
    assert np.abs([glad["arousal"], sad["dominance"]]).max() <= 1
