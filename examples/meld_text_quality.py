"""Linear probe of text features for emotion: logistic regression on the utterances of MELD, on its own split.

    GRAPHSOCIAL_DATA=FOLDER python examples/meld_text_quality.py [ENCODER]

FOLDER holds `meld/train_sent_emo.csv`, `dev_sent_emo.csv` and `test_sent_emo.csv` (https://github.com/declare-lab/MELD).
ENCODER is the name of any text featurizer with one vector per text; `sentence` by default. C and the class weights are
chosen by weighted F1 on dev; test is evaluated once. An utterance is encoded alone: no speaker, no dialogue.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from graphsocial.features import encoder_for

TARGETS = {"emotion": "Emotion", "sentiment": "Sentiment"}
CHOICES = [(c, power) for c in (0.003, 0.01, 0.03, 0.1) for power in (0.0, 0.5)]


def read(folder: Path, encoder: str) -> dict[str, tuple[np.ndarray, pl.DataFrame]]:
    """For each part of the split, (N, D) features and the table of labels; equal texts are encoded once."""
    tables = {part: pl.read_csv(folder / "meld" / f"{part}_sent_emo.csv") for part in ("train", "dev", "test")}
    featurizer = encoder_for(encoder, "text")
    texts = sorted({text for table in tables.values() for text in table["Utterance"]})
    vectors = featurizer.encode(texts).vectors
    rows = {text: row for row, text in enumerate(texts)}
    return {part: (vectors[[rows[text] for text in table["Utterance"]]], table) for part, table in tables.items()}


def classifier(labels: pl.Series, c: float, power: float) -> object:
    """The classifier, with class weights (1 / frequency) ** power.

    Args:
        labels: of the training part.
        c: inverse strength of the L2 penalty.
        power: 0 for equal weights, 1 for balanced ones.
    """
    weights = {label: (len(labels) / count) ** power for label, count in labels.value_counts().iter_rows()}
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, class_weight=weights, max_iter=2000))


def main() -> None:
    encoder = sys.argv[1] if len(sys.argv) > 1 else "sentence"
    if "GRAPHSOCIAL_DATA" not in os.environ:
        sys.exit("Set GRAPHSOCIAL_DATA to the folder that holds meld/.")
    parts = read(Path(os.environ["GRAPHSOCIAL_DATA"]), encoder)
    (train, train_labels), (dev, dev_labels), (test, test_labels) = parts["train"], parts["dev"], parts["test"]
    print(f"{'target':<10} {'model':<24} {'weighted F1':>11} {'macro F1':>9} {'accuracy':>9}")
    for target, column in TARGETS.items():
        labels = train_labels[column]

        def on_dev(
            choice: tuple[float, float], labels: pl.Series = labels, truth: pl.Series = dev_labels[column]
        ) -> float:
            preds = classifier(labels, *choice).fit(train, labels).predict(dev)
            return float(f1_score(truth, preds, average="weighted"))

        best = max(CHOICES, key=on_dev)
        for name, model in {
            "majority class": DummyClassifier(),
            f"{encoder} + LR": classifier(labels, *best),
        }.items():
            preds = model.fit(train, labels).predict(test)
            truth = test_labels[column]
            scores = [
                f1_score(truth, preds, average="weighted"),
                f1_score(truth, preds, average="macro"),
                accuracy_score(truth, preds),
            ]
            print(f"{target:<10} {name:<24} {scores[0]:>11.3f} {scores[1]:>9.3f} {scores[2]:>9.3f}")


if __name__ == "__main__":
    main()
