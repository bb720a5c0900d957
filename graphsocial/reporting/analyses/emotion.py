"""The section about emotions in dialogues: over time, by speaker, transitions, and likeness along replies."""

from __future__ import annotations

import polars as pl

from graphsocial.reporting import matrices
from graphsocial.reporting.analyses import charts, emotion_charts
from graphsocial.reporting.analyses.base import StoredAnalysis
from graphsocial.reporting.page import Chart, Section, Table

MAX_DIALOGUES = 6
SEGMENTS = (8, 40)  # minimum and maximum length of the dialogues that are drawn
MAX_SPEAKERS = 12
LOG_LIFT = (-2.0, 0.0, 2.0)  # domain of the colour scale, base 2
PANELS = {
    "same speaker": "Next segment by the same speaker",
    "another speaker": "Next segment by another speaker",
    "another": "Next segment by another or an unknown speaker",  # of analyses by an earlier version
    "unknown speaker": "Next segment, speakers unknown",
}


def sections(analysis: StoredAnalysis) -> list[Section]:
    """One section for the emotions of one source: labels, or the predictions of a run."""
    course = analysis.frame("course")
    if not course.height:
        return []
    timeline = analysis.frame("timeline")
    segments = timeline.filter(pl.col("emotion").is_not_null())
    emotions = sorted(segments["emotion"].unique())
    parts = [
        _course(course),
        *_dialogues(timeline, emotions),
        *_speakers(analysis.frame("speakers")),
        *_transitions(analysis.frame("transitions"), emotions),
        *_likeness(analysis.frame("likeness")),
        *analysis.remarks,
    ]
    dialogues = timeline["dialogue"].n_unique()
    source, _, column = analysis.key["source"].partition(" ")
    described = f"labels ‘{column}’" if source == "labels" else f"predictions of ‘{column}’ by {source}"
    title = "Emotions in dialogues" if source == "labels" else f"Emotions in dialogues: {source}"
    return [Section(title, f"{segments.height:,} segments of {dialogues:,} dialogues; {described}.", parts)]


def _course(course: pl.DataFrame) -> Chart:
    return Chart(
        "Emotions by position in the dialogue",
        emotion_charts.emotion_course(course),
        "Each dialogue is divided into ten parts of equal length; shares of the segments of all dialogues in each "
        "part.",
    )


def _dialogues(timeline: pl.DataFrame, emotions: list[str]) -> list[Chart]:
    """Timelines of the dialogues with most distinct emotions, among those of suitable length."""
    known = timeline.filter(pl.col("speaker").is_not_null(), pl.col("emotion").is_not_null())
    sizes = known.group_by("dialogue", maintain_order=True).agg(
        pl.len().alias("segments"), pl.col("emotion").n_unique().alias("kinds"), pl.col("speaker").n_unique()
    )
    suitable = sizes.filter(pl.col("segments").is_between(*SEGMENTS), pl.col("speaker") > 1)
    suitable = suitable if suitable.height else sizes.filter(pl.col("segments") <= SEGMENTS[1])
    ranked = suitable.sort("kinds", "segments", "dialogue", descending=[True, True, False])
    selected = ranked["dialogue"].head(MAX_DIALOGUES)
    if not selected.len():
        return []
    timelines = selected.to_frame().join(known, on="dialogue", how="inner", maintain_order="left_right")
    return [
        Chart(
            "Emotion timelines by dialogue and speaker",
            emotion_charts.emotion_timelines(timelines, emotions),
            f"The {selected.len()} dialogues of at most {SEGMENTS[1]} segments with most distinct emotions; each "
            "square is a segment. The table emotion_timeline has all dialogues.",
        )
    ]


def _speakers(speakers: pl.DataFrame) -> list[Chart]:
    if not speakers.height:
        return []
    counts = (
        speakers.group_by("speaker").agg(pl.col("segments").sum()).sort("segments", "speaker", descending=[True, False])
    )
    labelled = counts.head(MAX_SPEAKERS).select("speaker", group=pl.col("speaker") + pl.format(" ({})", "segments"))
    shares = labelled.join(speakers, on="speaker", maintain_order="left_right").rename({"emotion": "part"})
    described = (
        f"The {MAX_SPEAKERS} of {counts.height:,} speakers with most segments"
        if counts.height > MAX_SPEAKERS
        else "All speakers"
    )
    return [
        Chart(
            "Emotions by speaker",
            emotion_charts.stacked_shares(shares.drop("speaker"), x="share of the speaker's segments"),
            f"{described}, with their numbers of labelled segments.",
        )
    ]


def _transitions(steps: pl.DataFrame, emotions: list[str]) -> list[Chart | Table]:
    if not steps.height:
        return []
    all_pairs = pl.DataFrame({"emotion_before": emotions}).join(pl.DataFrame({"emotion": emotions}), how="cross")
    panels = []
    for by, title in PANELS.items():
        if (part := steps.filter(by=by)).height:
            complete = all_pairs.join(part, on=["emotion_before", "emotion"], how="left", maintain_order="left")
            panels.append(complete.with_columns(pl.lit(title).alias("panel")))
    if not panels:
        return []
    never = pl.col("share").is_null() & pl.col("lift").is_not_null().any().over("panel", "emotion_before")
    no_lift = pl.when(never).then(LOG_LIFT[0]).otherwise(LOG_LIFT[1])
    transitions = pl.concat(panels).select(
        "panel",
        row="emotion_before",
        column="emotion",
        share=pl.col("share").fill_null(0.0),
        lift=pl.col("lift").log(2).fill_null(no_lift),
    )
    return [
        Chart(
            "Transition probabilities",
            matrices.matrix(
                transitions,
                x="next segment",
                y="current segment",
                value="lift",
                domain=LOG_LIFT,
                text="share",
                format=".0%",
                width=330,
                panel="panel",
            ),
            "Rows add up to 100 %: the probability of the next segment's emotion given the current one. Blue: more "
            "often than the next segment's speaker has that emotion in the dialogue anyhow; orange: less often. The "
            "darkest colours are a ratio of 4 or 1/4. The table emotion_transitions has intervals of the ratios.",
        )
    ]


def _likeness(likeness: pl.DataFrame) -> list[Chart | Table]:
    if not likeness.height:
        return []
    shares = likeness.select(
        by=pl.lit("replies to ")
        + pl.when(by="same speaker").then(pl.lit("oneself")).otherwise(pl.lit("another speaker")),
        group="emotion",
        value="shared",
        mean="by_chance",
        low=pl.col("shared") - pl.coalesce("high", "excess"),
        high=pl.col("shared") - pl.coalesce("low", "excess"),
    )
    rows = [
        [
            *(row[name] for name in ("by", "emotion", "replies", "dialogues", "shared", "by_chance", "excess")),
            "" if row["low"] is None else f"{row['low']:+.3f} to {row['high']:+.3f}",
            *(f"{row[name]:.2g}" for name in ("p", "p_holm")),
        ]
        for row in likeness.to_dicts()
    ]
    return [
        Chart(
            "Likeness along replies",
            charts.observed_vs_chance(shares, "share with the same emotion"),
            "Share of the replies to a segment with that emotion that have it too; grey: the share that the same "
            "speakers have in the same dialogue anyhow, with the 95 % interval of the difference.",
        ),
        Table(
            "Likeness along replies: excess over chance",
            [
                *("reply to", "emotion", "replies", "dialogues", "same emotion", "by chance", "excess"),
                *("95 % confidence interval", "p", "p (Holm)"),
            ],
            rows,
            "p: two-sided, by permutations within dialogue and speaker; Holm: adjusted for the number of rows. Moods "
            "of dialogues and of speakers make no excess, but a mood that changes within a dialogue does: an excess is "
            "no evidence that one speaker influences another.",
        ),
    ]
