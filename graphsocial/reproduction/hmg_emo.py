"""The tables of "A Heterogeneous Multimodal Graph Learning Framework for Recognizing User Emotions in Social Networks".

Bhattacharyya, Yang & Wang, 2024. The figures are those printed, in the order F1 (weighted, section IV.B), precision,
recall; how the last two are averaged is not said, and we set our weighted ones beside them.
"""

from __future__ import annotations

from graphsocial.reproduction.base import Data, Paper, Row, Score, Table

FORM = {
    "layers": 5,
    "width": 64,
    "node_width": 128,
    "edge_width": 256,
    "share": "relation",
    "mechanism": "concat",
    "history": False,
    "residual": False,
    "identity": "none",
    "epochs": 20,
    "batch_size": 512,
    "learning_rate": 0.005,
    "weight_decay": 0.0,
    "class_weights": "none",
    "visibility.asked": "full",
}
"""The network and training of sections III and IV.B, the same as in `examples/settings/hmg_emo_paper.yaml`."""
METRICS = ("weighted_f1", "weighted_precision", "weighted_recall")
OTHERS = "Another system, multi-task hypergraph learning; it is not part of graphsocial."
BASELINE = "Not in the paper."


def _printed(*figures: tuple[float, float]) -> dict[str, Score]:
    return dict(zip(METRICS, figures, strict=True))


def _row(name: str, *figures: tuple[float, float], note: str = "", **changed: object) -> Row:
    return Row(name, _printed(*figures), "hmg_emo", {**FORM, **changed}, note=note)


PAPER = Paper(
    title="Bhattacharyya, Yang & Wang 2024: HMG-Emo",
    task="edge-emotion",
    data=Data(
        "IESN (Table I)",
        {"user": 108_899, "image": 85_157, "user connects user": 1_649_058, "user views image": 197_561},
    ),
    split="random",
    seeds=3,
    tables=(
        Table(
            "2",
            "Emotion classification results",
            (
                Row("RMTHG (V)", _printed((0.44, 0.07), (0.36, 0.16), (0.68, 0.12)), note=OTHERS),
                Row("RMTHG (Fusion)", _printed((0.60, 0.1), (0.50, 0.1), (0.72, 0.1)), note=OTHERS),
                _row("HMG-Emo-{T, AC}", (0.75, 0.004), (0.92, 0.009), (0.64, 0.001), comments=False, combine="none"),
                _row("HMG-Emo-{AC}", (0.76, 0.003), (0.94, 0.005), (0.64, 0.002), comments=True, combine="none"),
                _row("HMG-Emo", (0.77, 0.003), (0.97, 0.007), (0.65, 0.001), comments=True, combine="paper"),
                Row("HMG-Emo, our form", {}, "hmg_emo", note=f"{BASELINE} graphsocial's default settings."),
                Row("majority class", {}, "majority", note=BASELINE),
                Row("stratified random", {}, "stratified", note=BASELINE),
            ),
            (*METRICS, "macro_f1"),
        ),
        Table(
            "4",
            "Ablation study for different graph backbone",
            (
                _row("GAT", (0.77, 0.002), (0.98, 0.004), (0.65, 0.0002), backbone="gat", comments=False),
                _row("GraphSAGE", (0.75, 0.004), (0.92, 0.012), (0.65, 0.001), backbone="sage", comments=False),
                _row("GraphConv", (0.76, 0.001), (0.93, 0.006), (0.66, 0.002), backbone="graphconv", comments=False),
            ),
            (*METRICS, "macro_f1"),
            note="All without comment features, with the adaptive combination (section IV.C.3).",
        ),
        Table(
            "5",
            "Ablation study for negative sampling in training and inference",
            (
                _row(
                    "W/ Negative Sampling",
                    (0.71, 0.002),
                    (0.80, 0.002),
                    (0.64, 0.002),
                    comments=False,
                    combine="none",
                    negatives=1.0,
                    note="How many negatives is not printed; one for each labelled pair here. They are a ninth class.",
                ),
                _row(
                    "W/o Negative Sampling",
                    (0.75, 0.004),
                    (0.92, 0.009),
                    (0.64, 0.001),
                    comments=False,
                    combine="none",
                ),
            ),
            (*METRICS, "macro_f1"),
            note="The simplest model, HMG-Emo-{T, AC} (section IV.C.4).",
        ),
    ),
)
