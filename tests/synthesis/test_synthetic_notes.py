"""Synthetic notes hold what their settings plant, and nothing where nothing is planted."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.synthesis import SyntheticIesn, SyntheticNotes, settings_of, synthesize


def notes(folder: Path, **settings: float) -> pl.DataFrame:
    synthesize("notes", folder, settings=SyntheticNotes(**settings))  # type: ignore[arg-type]
    return pl.read_parquet(folder / "notes.parquet")


def test_the_same_settings_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        synthesize("notes", tmp_path / name, settings=SyntheticNotes(notes=100, seed=3))
    first, second = ((tmp_path / name / "notes.parquet").read_bytes() for name in ("first", "second"))
    assert first == second
    assert synthesize("notes", tmp_path / "first", settings=SyntheticNotes(notes=100, seed=3)) == {"notes": 100}


def test_without_effects_emotions_do_not_predict_shares(tmp_path: Path) -> None:
    none = {"text": 0.0, "image": 0.0, "likability": 0.0, "text_image": 0.0, "text_image_likability": 0.0}
    frame = notes(tmp_path / "none", notes=4000, **none)
    logs = np.log1p(frame["shares"].to_numpy())
    for column in ("text_emotion", "image_emotion", "likes"):
        assert abs(np.corrcoef(frame[column].to_numpy(), logs)[0, 1]) < 0.05
    felt = notes(tmp_path / "some", notes=4000)
    assert np.corrcoef(np.log(1 + felt["likes"].to_numpy()), np.log1p(felt["shares"].to_numpy()))[0, 1] > 0.15


def test_content_and_author_effects_are_as_large_as_their_settings(tmp_path: Path) -> None:
    frame = notes(tmp_path / "rich", notes=4000, content=1.0, author=1.0, noise=0.2)
    logs = np.log1p(frame["shares"].to_numpy())
    vectors = np.concatenate([frame[name].to_numpy() for name in ("text_vector", "cover_vector")], axis=1)
    given = np.column_stack([vectors, np.ones(len(logs))])
    fitted = given @ np.linalg.lstsq(given, logs, rcond=None)[0]
    assert np.corrcoef(fitted, logs)[0, 1] > 0.4
    means = frame.with_columns(pl.Series("log", logs)).group_by("author_id").agg(pl.col("log").mean())["log"]
    assert means.std() > 0.5


@pytest.mark.parametrize("wrong", [{"notes": 0}, {"noise": 0.0}, {"face_share": 1.0}, {"vector_size": 4}, {"seed": -1}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        SyntheticNotes(**wrong)  # type: ignore[arg-type]


def test_layouts_and_presets_are_known_by_name(tmp_path: Path) -> None:
    assert settings_of("notes").preset("eijl").notes == 7_758  # type: ignore[union-attr]
    with pytest.raises(UnknownNameError, match="eijl, small"):
        SyntheticNotes.preset("huge")
    with pytest.raises(InputError, match="takes SyntheticNotes, not SyntheticIesn"):
        synthesize("notes", tmp_path / "x", settings=SyntheticIesn())
