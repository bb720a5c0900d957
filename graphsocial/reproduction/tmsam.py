"""The figures of "The Performance of a Temporal Multi-Modal Sentiment Analysis Model Based on Multitask Learning".

He and Lu. Figures 7 and 8 are bar charts over six datasets of social networks, which are not public; the text prints
their means. The paper does not say for which of its two tasks; going by its title, they are compared with our
sentiment.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphsocial.reproduction.base import Data, Paper, Row, Table

PAPER_SETTINGS = {
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
COMPARISON_SETTINGS = {"epochs": 20, "batch_size": 320, "learning_rate": 0.001, "class_weights": "none"}
NOT_IN_PAPER = "Not in the paper."
METRICS = (
    "sentiment.weighted_precision",
    "sentiment.weighted_f1",
    "emotion.weighted_precision",
    "emotion.weighted_f1",
    "emotion.macro_f1",
)


def _published(precision: float, f1: float) -> Mapping[str, float]:
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
                Row("MSA", _published(0.69, 0.70), "msa", COMPARISON_SETTINGS),
                Row("ABSA", _published(0.78, 0.74), "absa", COMPARISON_SETTINGS),
                Row("LSTM", _published(0.71, 0.78), "lstm", COMPARISON_SETTINGS),
                Row("TMSAM", _published(0.83, 0.83), "tmsam", PAPER_SETTINGS),
                Row("TMSAM, our form", {}, "tmsam", note=f"{NOT_IN_PAPER} graphsocial's default settings."),
                Row(
                    "TMSAM, emotion alone",
                    {},
                    "tmsam",
                    {**PAPER_SETTINGS, "sentiment": ""},
                    note=f"{NOT_IN_PAPER} One task.",
                ),
                Row(
                    "TMSAM, sentiment alone",
                    {},
                    "tmsam",
                    {**PAPER_SETTINGS, "emotion": ""},
                    note=f"{NOT_IN_PAPER} One task.",
                ),
                Row("majority class", {}, "majority", note=NOT_IN_PAPER),
            ),
            METRICS,
            note="F1 by emotion (Fig. 9) is what `graphsocial evaluate RUN` prints; the paper's text has no numbers "
            "for it, nor for the picture of text embeddings (Fig. 6). Fig. 10 is `graphsocial benchmark acceleration`.",
        ),
    ),
)
