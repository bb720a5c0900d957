"""Linear probe of an image encoder for emotion: valence and arousal of the OASIS photographs by ridge regression.

    GRAPHSOCIAL_DATA=/folder/with/oasis python examples/oasis_image_quality.py [ENCODER]

OASIS (https://doi.org/10.3758/s13428-016-0715-3) has mean ratings of photographs, 1 to 7. Photographs of one theme
(`Acorns 1`, `Acorns 2`) are alike, so five folds keep themes whole; the penalty is chosen by folds of themes within the
training part. The table holds out-of-fold predictions of all photographs that have a file.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import graphsocial as gs
from graphsocial.features.vectors import read_sequences

PHOTO = gs.NodeType("photo", (gs.Column("picture", "image"),))
RATINGS = {"valence": "Valence_mean", "arousal": "Arousal_mean"}
FOLDS = 5


def main(encoder: str | None = None) -> None:
    """Encode the photographs and print the cross-validated errors and correlations of each rating."""
    folder = Path(os.environ.get("GRAPHSOCIAL_DATA", "data")) / "oasis"
    if not (folder / "OASIS.csv").is_file():
        sys.exit(f"There is no '{folder / 'OASIS.csv'}': set GRAPHSOCIAL_DATA to the folder that holds oasis/.")
    files = pl.col("Theme").map_elements(lambda theme: str(folder / "images" / f"{theme.strip()}.jpg"), pl.String)
    photos = (
        pl.read_csv(folder / "OASIS.csv")
        .with_columns(files.alias("picture"), word=pl.col("Theme").str.strip_chars().str.replace(r"\s*\d+$", ""))
        .with_columns(pl.col("word").str.to_lowercase())
        .filter(pl.col("picture").map_elements(os.path.isfile, pl.Boolean))
    )
    features = encode(photos, encoder)
    folds = folds_of(photos["word"].to_list())
    print(f"{len(photos)} photographs, {photos['word'].n_unique()} themes, {features.shape[1]} features")
    print(f"{'rating':8}  {'MAE':>6} {'Pearson':>8} {'CCC':>6}   {'MAE of the mean':>15}")
    for name, column in RATINGS.items():
        target = photos[column].to_numpy()
        preds = cross_predict(features, target, folds, photos["word"].to_numpy())
        mean = np.array([target[folds != fold].mean() for fold in folds])
        error, pearson, ccc = scores(preds, target)
        print(f"{name:8}  {error:6.3f} {pearson:8.3f} {ccc:6.3f}   {np.abs(mean - target).mean():15.3f}")


def encode(photos: pl.DataFrame, encoder: str | None) -> np.ndarray:
    """(N, D) float32 features, encoded through a store as the command line does."""
    with tempfile.TemporaryDirectory() as folder, gs.open(Path(folder) / "oasis.duckdb") as store:
        store.declare(gs.GraphSchema((PHOTO,), ()))
        store.write(PHOTO, photos.select(id="Theme", picture="picture"), dataset="oasis")
        (report,) = gs.featurize(store, "photo.picture", encoder)
        order = store.sql("select id, idx from node_photo").pl()
        idx = photos.select(id="Theme").join(order, on="id", how="left", maintain_order="left")["idx"].to_numpy()
        sequences, index = read_sequences(store, report.use, "oasis", idx)
        return np.array(sequences.values[index])


def folds_of(words: list[str]) -> np.ndarray:
    """(N,) the fold of each photograph: themes in alphabetical order, shuffled with seed 0, assigned round-robin."""
    themes = sorted(set(words))
    fold = {
        themes[theme]: position % FOLDS
        for position, theme in enumerate(np.random.default_rng(0).permutation(len(themes)))
    }
    return np.array([fold[word] for word in words])


def cross_predict(features: np.ndarray, target: np.ndarray, folds: np.ndarray, themes: np.ndarray) -> np.ndarray:
    """(N,) out-of-fold predictions of a ridge regression.

    Args:
        features: (N, D).
        target: (N,) ratings.
        folds: (N,) the fold of each photograph.
        themes: (N,) the theme of each photograph; the penalty is chosen by folds that keep themes whole.
    """
    preds = np.zeros(len(target))
    for fold in range(FOLDS):
        train = folds != fold
        model = GridSearchCV(
            make_pipeline(StandardScaler(), Ridge()),
            {"ridge__alpha": np.logspace(2, 5, 7)},
            scoring="neg_mean_squared_error",
            cv=GroupKFold(FOLDS - 1),
        )
        model.fit(features[train], target[train], groups=themes[train])
        preds[~train] = model.predict(features[~train])
    return preds


def scores(preds: np.ndarray, target: np.ndarray) -> tuple[float, float, float]:
    """Mean absolute error, Pearson's correlation, and Lin's concordance, 2 s_xy / (s_x² + s_y² + (x̄ - ȳ)²)."""
    covariance = np.cov(preds, target, bias=True)
    ccc = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (preds.mean() - target.mean()) ** 2)
    return float(np.abs(preds - target).mean()), float(np.corrcoef(preds, target)[0, 1]), float(ccc)


if __name__ == "__main__":
    main(*sys.argv[1:2])
