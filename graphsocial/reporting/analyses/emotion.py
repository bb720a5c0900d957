"""The section about feelings in dialogues: their course, who feels what, what follows what, contagion along replies."""

from __future__ import annotations

import polars as pl

from graphsocial.reporting import matrices
from graphsocial.reporting.analyses import charts
from graphsocial.reporting.analyses.base import Study
from graphsocial.reporting.page import Chart, Section, Table

DIALOGUES = 6  # that are drawn
SEGMENTS = (8, 40)  # fewest and most of those
SPEAKERS = 12
LIFT = (-2.0, 0.0, 2.0)  # of the colours, as powers of 2


def sections(study: Study) -> list[Section]:
    """One section for one source of emotions: labels, or a run."""
    course = study.frame("course")
    if not course.height:
        return []
    timeline = study.frame("timeline")
    felt = timeline.filter(pl.col("emotion").is_not_null())
    words = sorted(felt["emotion"].unique())
    parts = [
        _course(course),
        *_dialogues(timeline, words),
        *_speakers(study.frame("speakers")),
        *_transitions(study.frame("transitions"), words),
        *_contagion(study.frame("contagion")),
        *study.remarks,
    ]
    dialogues = timeline["dialogue"].n_unique()
    source, _, what = study.key["source"].partition(" ")
    told = f"the labels ‘{what}’" if source == "labels" else f"the {what} that {source} predicts"
    title = "Feelings in dialogues" if source == "labels" else f"Feelings in dialogues: {source}"
    return [Section(title, f"{felt.height:,} segments of {dialogues:,} dialogues, by {told}.", parts)]


def _course(course: pl.DataFrame) -> Chart:
    return Chart(
        "From the beginning of a dialogue to its end",
        charts.course(course, x="tenth of the dialogue", of="the segments"),
        "Every dialogue is cut into ten parts of equal length; in each part, the shares of all dialogues together.",
    )


def _dialogues(timeline: pl.DataFrame, words: list[str]) -> list[Chart]:
    """The dialogues with most different feelings, not too short and not too long."""
    known = timeline.filter(pl.col("speaker").is_not_null(), pl.col("emotion").is_not_null())
    sizes = known.group_by("dialogue", maintain_order=True).agg(
        pl.len().alias("segments"), pl.col("emotion").n_unique().alias("kinds"), pl.col("speaker").n_unique()
    )
    fitting = sizes.filter(pl.col("segments").is_between(*SEGMENTS), pl.col("speaker") > 1)
    fitting = fitting if fitting.height else sizes.filter(pl.col("segments") <= SEGMENTS[1])
    chosen = fitting.sort("kinds", "segments", "dialogue", descending=[True, True, False]).head(DIALOGUES)["dialogue"]
    if not chosen.len():
        return []
    shown = chosen.to_frame().join(known, on="dialogue", how="inner", maintain_order="left_right")
    return [
        Chart(
            "Dialogue by dialogue and speaker by speaker",
            charts.strips(shown, words),
            f"The {chosen.len()} dialogues of at most {SEGMENTS[1]} segments in which most different things are felt; "
            "a square is a segment. All of them are in emotion_timeline.",
        )
    ]


def _speakers(speakers: pl.DataFrame) -> list[Chart]:
    if not speakers.height:
        return []
    most = (
        speakers.group_by("speaker").agg(pl.col("segments").sum()).sort("segments", "speaker", descending=[True, False])
    )
    named = most.head(SPEAKERS).select("speaker", group=pl.col("speaker") + pl.format(" ({})", "segments"))
    shown = named.join(speakers, on="speaker", maintain_order="left_right").rename({"emotion": "part"})
    told = f"The {SPEAKERS} who say most, of {most.height:,}" if most.height > SPEAKERS else "All speakers"
    return [
        Chart(
            "Who feels what",
            charts.stacked(shown.drop("speaker"), of="the speaker's segments"),
            f"{told}, with the number of their labelled segments.",
        )
    ]


def _transitions(steps: pl.DataFrame, words: list[str]) -> list[Chart | Table]:
    if not steps.height:
        return []
    every = pl.DataFrame({"emotion_before": words}).join(pl.DataFrame({"emotion": words}), how="cross")
    panels = []
    for by in ("same speaker", "another"):
        if (part := steps.filter(by=by)).height:
            whole = every.join(part, on=["emotion_before", "emotion"], how="left", maintain_order="left")
            title = "The same speaker goes on" if by == "same speaker" else "Another speaker follows"
            panels.append(whole.with_columns(pl.lit(title).alias("panel")))
    never = pl.when(pl.col("share").is_not_null().any().over("panel", "emotion_before")).then(LIFT[0])
    shown = pl.concat(panels).select(
        "panel",
        row="emotion_before",
        column="emotion",
        share=pl.col("share").fill_null(0.0),
        lift=pl.col("lift").log(2).fill_null(never),
    )
    return [
        Chart(
            "What follows what",
            matrices.matrix(
                shown,
                x="next segment",
                y="segment before",
                value="lift",
                domain=LIFT,
                text="share",
                format=".0%",
                width=330,
                panel="panel",
            ),
            "Each row adds up to 100 %: of what comes after a segment of that emotion, how much has which. Blue: more "
            "often than if what comes next did not depend on what came before; orange: less often; at full strength "
            "four times, or a quarter.",
        )
    ]


def _contagion(found: pl.DataFrame) -> list[Chart | Table]:
    if not found.height:
        return []
    tested = found.filter(pl.col("by_chance").is_not_null())
    shown = tested.select(
        by=pl.lit("answers that share the emotion"),
        group="emotion",
        value="shared",
        middle="by_chance",
        low="by_chance",
        high="by_chance",
    )
    rows = [
        [row["emotion"], row["answered"], row["shared"], row["of_all_answers"], row["by_chance"], f"{row['p']:.3g}"]
        for row in found.to_dicts()
    ]
    return [
        Chart(
            "Is it catching?",
            charts.observed(shown, "share of the answers"),
            "Of the answers to a segment with that emotion, how many have it too; by chance: where emotions are dealt "
            "out anew within each dialogue. What is left over is likeness of neighbours: contagion, or one cause of "
            "both.",
        ),
        Table(
            "Contagion, in numbers",
            ["emotion", "answers to it", "with it too", "of all answers", "by chance", "p"],
            rows,
            "p: how often dealing out anew comes to as much.",
        ),
    ]
