"""Table 2 of "EIJL: Popularity Prediction of Social Media Advertisements Based on Multimodal Emotional Interaction and
Joint Learning".

Leng & Yan, Data Intelligence, 2025. The paper prints the mean absolute error of the number of shares on its test set.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphsocial.reproduction.base import Data, Paper, Row, Table

PAPER_SETTINGS = {
    "task.likability": True,
    "task.history": False,
    "model.graph": False,
    "model.projection": False,
    "model.context": False,
}
"""As in `examples/settings/eijl_paper.yaml`: the post's own vectors, emotions and likes only."""
METRICS = ("shares.mae", "shares.median_ae", "shares.rmse", "shares.rmsle", "shares.spearman", "popularity.accuracy")
CLIP = {"note.text": "clip", "note.cover": "clip", "note.title": None}
ROBERTA_RESNET = {
    "note.text": "sentence:hfl/chinese-roberta-wwm-ext",
    "note.cover": "vision:resnet50",
    "note.title": None,
}
PRECOMPUTED = {"note.text": None, "note.cover": None, "note.title": None}
NOT_IN_PAPER = "Not in the paper."
LAYERS = 12
"""Number of layers of each tower of CLIP ViT-B; experiment 1 trains all of them and freezes the embeddings."""
CLIP_TUNED = {
    "note.text": f"clip,tune={LAYERS},tower=text",
    "note.cover": f"clip,tune={LAYERS},tower=image",
    "note.title": None,
}
FINE_TUNED = "CLIP's layers are trained with the network, without CNNs; its embeddings are not."
SPLIT = "The paper splits notes 80:20; ours are split 80:10:10, since the epoch is selected on a validation set."


def _row(name: str, mae: float, features: Mapping[str, str | None], *, note: str = "", **parts: object) -> Row:
    settings = {**PAPER_SETTINGS, "emotion": False, "joint": False, "branches": "separate"}
    settings |= {f"model.{part}" if f"model.{part}" in PAPER_SETTINGS else part: value for part, value in parts.items()}
    return Row(name, {"shares.mae": mae}, "eijl", settings, features, note=note)


def _rows(clip: Mapping[str, str | None]) -> tuple[Row, ...]:
    """Experiments 3 to 8 and baselines, with these encoders in place of CLIP."""
    likability = {"task.likability": True}
    return (
        _row("3 (CLIPTXT + CLIPIMG)_CNN", 223, clip, branches="joint"),
        _row("4 CLIPTXT_CNN + CLIPIMG_CNN", 226, clip),
        _row("5 (CLIPTXT + CLIPIMG)_CNN_Joint", 222, clip, branches="joint", joint=True),
        _row("6 (CLIPTXT_CNN + CLIPIMG_CNN)_Joint", 219, clip, joint=True),
        _row("7 (CLIPTXT + CLIPIMG)_CNN_Joint_Emo", 199, clip, branches="joint", joint=True, emotion=True),
        _row("8 (CLIPTXT_CNN + CLIPIMG_CNN)_Joint_Emo", 187, clip, joint=True, emotion=True),
        Row(
            "EIJL, our form", {}, "eijl", likability, clip, note=f"{NOT_IN_PAPER} With graph, context and projections."
        ),
        Row("EIJL, our form without graph", {}, "eijl", {**likability, "graph": False}, clip, note=NOT_IN_PAPER),
        Row("likes only", {}, "likes_only", likability, PRECOMPUTED, note=NOT_IN_PAPER),
        Row("median", {}, "majority", likability, PRECOMPUTED, note=NOT_IN_PAPER),
    )


PAPER = Paper(
    title="Leng & Yan 2025: EIJL",
    task="popularity",
    data=Data("Notes of Xiaohongshu, 78 cases (section 5)", {"note": 7_758}),
    split="random",
    seeds=1,
    tables=(
        Table(
            "2",
            "Results of popularity prediction",
            (
                _row("1 CLIP model fine-tuning", 234, CLIP_TUNED, note=FINE_TUNED, branches="none", projection=True),
                _row("2 (RoBERTa + ResNet50)_CNN", 233, ROBERTA_RESNET, branches="joint"),
                *_rows(CLIP),
            ),
            METRICS,
            note=SPLIT,
        ),
        Table(
            "2-vectors",
            "The same with precomputed vectors of the dataset (`text_vector`, `cover_vector`) in place of CLIP's",
            _rows(PRECOMPUTED),
            METRICS,
            note=SPLIT,
        ),
    ),
)
