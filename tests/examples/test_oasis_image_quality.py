"""The example on the OASIS photographs: its scores, its folds, and its table on real data."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("oasis", ROOT / "examples" / "oasis_image_quality.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_concordance_punishes_scale_and_shift(example: ModuleType) -> None:
    target = np.array([1.0, 2, 3, 4, 5])
    assert example.scores(target, target) == pytest.approx((0, 1, 1))
    error, pearson, ccc = example.scores(target / 2 + 1, target)
    assert (error, pearson) == pytest.approx((0.7, 1)) and ccc == pytest.approx(2 * 1 / (0.5 + 2 + 0.25))


def test_themes_stay_whole_and_predictions_are_out_of_fold(example: ModuleType) -> None:
    """Noise that tells the themes apart would predict its target perfectly if a theme were in two folds."""
    random = np.random.default_rng(0)
    words = [f"theme {number}" for number in range(50) for _ in range(4)]
    folds = example.folds_of(words)
    assert all(len(set(folds[start : start + 4])) == 1 for start in range(0, 200, 4))
    assert np.bincount(folds).tolist() == [40] * 5
    features = np.repeat(random.normal(size=(50, 80)), 4, axis=0) + random.normal(0, 0.01, (200, 80))
    target = np.repeat(random.normal(size=50), 4)
    preds = example.cross_predict(features, target, folds, np.array(words))
    assert abs(example.scores(preds, target)[1]) < 0.35
    told = example.cross_predict(features, 3 * features[:, 0], folds, np.array(words))
    assert example.scores(told, 3 * features[:, 0])[1] > 0.6


def test_the_folds_are_those_of_the_published_baselines(example: ModuleType, shared_data: Path) -> None:
    split = pl.read_csv(shared_data / "splits" / "oasis_theme_5fold" / "folds.csv.gz")
    assert example.folds_of(split["word"].to_list()).tolist() == split["fold"].to_list()


@pytest.mark.slow
def test_the_table_of_some_photographs(
    example: ModuleType,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "oasis"
    (folder / "images").mkdir(parents=True)
    shutil.copy(shared_data / "oasis" / "OASIS.csv", folder)
    for path in sorted((shared_data / "oasis" / "images").iterdir())[::6]:
        shutil.copy(path, folder / "images")
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(tmp_path))
    example.main()
    title, header, valence, arousal = capsys.readouterr().out.splitlines()
    assert title.startswith("136 photographs, ") and title.endswith("1280 features") and "CCC" in header
    for line, name in ((valence, "valence"), (arousal, "arousal")):
        rating, error, pearson, ccc, of_mean = line.split()
        assert rating == name and float(error) < float(of_mean) and 0 < float(ccc) < float(pearson) < 1


@pytest.mark.slow
def test_the_whole_table(
    example: ModuleType, shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """About what an independent run reached with the same network and folds: CCC 0.41 and 0.51."""
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(shared_data))
    example.main()
    title, _, valence, arousal = capsys.readouterr().out.splitlines()
    assert title == "811 photographs, 233 themes, 1280 features"
    assert float(valence.split()[1]) < 0.85 and float(valence.split()[3]) > 0.38
    assert float(arousal.split()[1]) < 0.57 and float(arousal.split()[3]) > 0.43


def test_without_the_data_it_says_so(example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="set GRAPHSOCIAL_DATA"):
        example.main()
