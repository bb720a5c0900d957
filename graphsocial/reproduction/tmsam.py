"""The figures of "The Performance of a Temporal Multi-Modal Sentiment Analysis Model Based on Multitask Learning".

He and Lu. Figures 7 and 8 are bar charts over six datasets of social networks, which are not public; the text prints
their means. The paper does not say of which of the two tasks: they are compared with our sentiment, as in its title.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphsocial.reproduction.base import Data, Paper, Row, Table

FORM = {
    "hidden": 200,
    "width": 200,
    "heads": 4,
    "first_heads": 8,
    "second_heads": 8,
    "residual": False,
    "modality_dropout": 0.0,
    "dropout": 0.3,
    "l2": 1e-5,
    "epochs": 20,
    "batch_size": 320,
    "learning_rate": 0.001,
    "class_weights": "none",
}
"""Table III, except for 8 heads of the first level: 6 do not divide 400. Its batches of 32 are taken as dialogues."""
RIVAL = {"epochs": 20, "batch_size": 320, "learning_rate": 0.001, "class_weights": "none"}
BASELINE = "Not in the paper."
METRICS = (
    "sentiment.weighted_precision",
    "sentiment.weighted_f1",
    "emotion.weighted_precision",
    "emotion.weighted_f1",
    "emotion.macro_f1",
)


def _printed(precision: float, f1: float) -> Mapping[str, float]:
    return {"sentiment.weighted_precision": precision, "sentiment.weighted_f1": f1}


PAPER = Paper(
    title="He & Lu: TMSAM",
    task="dialogue-emotion",
    data=Data("six datasets (Table I)", {"segment": 10_145 + 14_879 + 21_532 + 12_367 + 9_856 + 14_623}),
    split="column:split",
    seeds=5,
    tables=(
        Table(
            "fig7-8",
            "Comparison of precision and F1 of four models, means over six datasets",
            (
                Row("MSA", _printed(0.69, 0.70), "msa", RIVAL),
                Row("ABSA", _printed(0.78, 0.74), "absa", RIVAL),
                Row("LSTM", _printed(0.71, 0.78), "lstm", RIVAL),
                Row("TMSAM", _printed(0.83, 0.83), "tmsam", FORM),
                Row("TMSAM, our form", {}, "tmsam", note=f"{BASELINE} graphsocial's default settings."),
                Row("TMSAM, emotion alone", {}, "tmsam", {**FORM, "sentiment": ""}, note=f"{BASELINE} One task."),
                Row("TMSAM, sentiment alone", {}, "tmsam", {**FORM, "emotion": ""}, note=f"{BASELINE} One task."),
                Row("majority class", {}, "majority", note=BASELINE),
            ),
            METRICS,
            note="F1 by emotion (Fig. 9) is what `graphsocial evaluate RUN` prints; the paper's text has no numbers "
            "for it, nor for the picture of text embeddings (Fig. 6). Fig. 10 is `graphsocial benchmark acceleration`.",
        ),
    ),
)
