"""Emotions in dialogues: over time, by speaker, transitions, and likeness along replies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial import runs
from graphsocial.analysis._pairs import SpokenSegments
from graphsocial.analysis.base import Findings
from graphsocial.errors import DataError, InputError
from graphsocial.evaluation.multiple_tests import holm
from graphsocial.store.sql import literal, quote
from graphsocial.types import Progress

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

TENTHS = 10
SAME, OTHER, UNKNOWN = "same speaker", "another speaker", "unknown speaker"
TRANSITIONS = {
    "by": pl.String,
    "emotion_before": pl.String,
    "emotion": pl.String,
    "segments": pl.Int64,
    "share": pl.Float64,
    "expected": pl.Float64,
    "lift": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


@dataclass(frozen=True)
class Emotion:
    """Five tables of the emotions in dialogues, from labels or from a run's predictions.

    `timeline`: each segment with its dialogue, `position`, speaker and emotion, and the emotion before it.
    `course`: the share of each emotion in each tenth of a dialogue.
    `speakers`: the frequency of each emotion by speaker.
    `transitions`: pairs of successive emotions, by the same speaker, by another, or unknown: their number, the
    conditional frequency of the second (`share`), and its ratio to the frequency that the second segment's speaker has
    in that dialogue anyhow (`lift`), with a 95 % interval clustered by dialogue; without a known speaker no lift.
    `likeness`: for each emotion, along the edges from a reply to the segment that it replies to, those to another
    speaker and those to oneself apart: the share of the replies to segments with that emotion that have it too
    (`shared`), the share that the same speakers have in the same dialogue anyhow (`by_chance`), the `excess` with a
    95 % interval clustered by dialogue, and the p value of a permutation test within dialogue and speaker; `p_holm` is
    adjusted for the number of rows (Holm 1979). The mood of a dialogue or of a speaker in it makes no excess; a mood
    that changes within the dialogue does, so an excess is no evidence of influence. That takes a model of the speaker's
    own and the partner's earlier emotions (actor–partner interdependence).

    Attributes:
        node: node type of the segments.
        label: label column; with `run`, the name of the predicted target.
        run: a run's id, a prefix of it, or `latest`: its predictions are used instead of labels.
        dialogue: column of the dialogue's id.
        turn: column of the segment's order.
        speaker: column of the speaker.
        replies: relation of the edges from a reply to the segment it replies to.
        permutations: number of permutations of the likeness test.
        seed: random seed of the permutations.
    """

    node: str = "segment"
    label: str = "emotion"
    run: str | None = None
    dialogue: str = "dialogue"
    turn: str = "turn"
    speaker: str = "speaker"
    replies: str = "replies"
    permutations: int = 999
    seed: int = 0

    def __post_init__(self) -> None:
        if self.permutations < 19:
            raise InputError("permutations is at least 19, which can find p = 0.05.")

    def analyze(self, store: GraphStore, dataset: str, *, progress: Progress | None = None) -> Findings:
        """Analyze the emotions of a dataset's dialogues; the tables are described above.

        Args:
            store: the store to read.
            dataset: name of the dataset.
            progress: called with the name of the step, steps done and steps in all.

        Raises:
            DataError: no segment has an emotion.
            UnknownNameError: there is no such node type or column.
        """
        segments, source = self._segments(store, dataset)
        if not segments["emotion"].drop_nulls().len():
            raise DataError(f"No '{self.node}' of '{dataset}' has a value of '{self.label}'.")
        emotions = segments["emotion"].drop_nulls().unique().sort().to_list()
        frames = {
            "course": _course(segments),
            "speakers": _speakers(segments),
            "transitions": _transitions(segments, emotions),
        }
        likeness, notes = self._likeness(store, dataset, segments, emotions, progress)
        if likeness.height:
            frames["likeness"] = likeness
        frames["timeline"] = segments.drop("idx", "size", "idx_before")
        return Findings(frames, {"source": source}, notes)

    def _segments(self, store: GraphStore, dataset: str) -> tuple[pl.DataFrame, str]:
        """A row for each segment, ordered by dialogue and position; and the source of the emotions."""
        node = store.schema.node(self.node)
        column_names = {column.name for column in node.columns}
        for name in (self.dialogue, self.turn, *(() if self.run else (self.label,))):
            if name not in column_names:
                raise InputError(f"'{node}' has no column '{name}'; it has {', '.join(sorted(column_names))}.")
        speaker = quote(self.speaker) if self.speaker in column_names else "null"
        emotion, source, joins = f"n.{quote(self.label)}", f"labels {self.label}", ""
        if self.run is not None:
            run = runs.load(store, self.run)
            emotion, source = "p.label", f"{run.id} {self.label}"
            joins = (
                f"left join predictions as p on p.run_id = {literal(run.id)} and p.target = {literal(self.label)} "
                "and p.entity_id = n.id"
            )
        rows = store.sql(
            f"""
            with segments as (
                select
                    n.idx,
                    n.id as segment_id,
                    {quote(self.dialogue)}::varchar as dialogue,
                    row_number() over (
                        partition by {quote(self.dialogue)} order by {quote(self.turn)}, n.idx
                    ) as position,
                    {speaker}::varchar as speaker,
                    {emotion}::varchar as emotion
                from ({store.visible(node, dataset=dataset)}) as n {joins}
                where {quote(self.dialogue)} is not null
            )
            select
                *,
                count(*) over (partition by dialogue) as size,
                lag(emotion) over spoken as emotion_before,
                lag(idx) over spoken as idx_before
            from segments
            window spoken as (partition by dialogue order by position)
            order by dialogue, position
            """
        ).pl()
        return rows, source

    def _likeness(
        self, store: GraphStore, dataset: str, segments: pl.DataFrame, emotions: list[str], progress: Progress | None
    ) -> tuple[pl.DataFrame, tuple[str, ...]]:
        """The table `likeness`, empty where no reply can be tested, and notes."""
        edge_types = [edge for edge in store.schema.edges if edge.canonical == (self.node, self.replies, self.node)]
        if not edge_types or not len(store.span(edge_types[0], dataset)):
            return pl.DataFrame(), (f"There are no '{self.node} {self.replies} {self.node}' edges: no likeness.",)
        edges = store.sql(f"select src, dst from ({store.visible(edge_types[0], dataset=dataset)}) order by idx").pl()
        pairs = _pairs(segments, edges.filter(pl.col("src") != pl.col("dst")).rename({"dst": "first", "src": "second"}))
        if not pairs.height:
            return pl.DataFrame(), (f"No '{self.replies}' edge has an emotion at both endpoints: no likeness.",)
        spoken, rows = _spoken(segments, emotions)
        known = pairs.filter(pl.col("by") != UNKNOWN)
        notes = [f"Likeness along {known.height:,} edges with an emotion and a known speaker at both endpoints."]
        if known.height < pairs.height:
            notes.append(f"Left out: {pairs.height - known.height:,} edges with an unknown speaker.")
        found = []
        for number, (by, part) in enumerate(_by_speaker(known)):
            if progress:
                progress("likeness", number, 2)
            likeness = spoken.likeness(
                rows[part["first"].to_numpy()],
                rows[part["second"].to_numpy()],
                permutations=self.permutations,
                random=np.random.default_rng([self.seed, number]),
            )
            found += [{"by": by, "emotion": emotions[code], **asdict(row)} for code, row in likeness.items()]
        for row, adjusted in zip(found, holm([row["p"] for row in found]), strict=True):
            row["p_holm"] = adjusted
        return pl.DataFrame(found, infer_schema_length=None), tuple(notes)


def _pairs(segments: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs with an emotion at both ends, and `by`: whether the second segment is by the same speaker.

    Args:
        segments: rows of `idx`, `emotion` and `speaker`.
        pairs: `first` and `second`, as `idx`.
    """
    labelled = segments.filter(pl.col("emotion").is_not_null()).select("idx", "emotion", "speaker")
    for end in ("first", "second"):
        named = labelled.rename({"idx": end, "emotion": f"emotion_{end}", "speaker": f"speaker_{end}"})
        pairs = pairs.join(named, on=end, maintain_order="left")
    same = pl.col("speaker_first") == pl.col("speaker_second")
    return pairs.with_columns(
        by=pl.when(same).then(pl.lit(SAME)).when(~same).then(pl.lit(OTHER)).otherwise(pl.lit(UNKNOWN))
    )


def _by_speaker(pairs: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The pairs of each kind of which there are some."""
    for by in (SAME, OTHER, UNKNOWN):
        if (part := pairs.filter(by=by)).height:
            yield by, part


def _spoken(segments: pl.DataFrame, emotions: list[str]) -> tuple[SpokenSegments, NDArray[np.int64]]:
    """The labelled segments of known speakers, and the row of each `idx` among them."""
    spoken = segments.filter(pl.col("emotion").is_not_null() & pl.col("speaker").is_not_null())
    codes = spoken["emotion"].replace_strict(emotions, range(len(emotions)), return_dtype=pl.Int64).to_numpy()
    dialogue = spoken["dialogue"].rank("dense").cast(pl.Int64).to_numpy() - 1
    block = spoken.select(pl.struct("dialogue", "speaker").rank("dense")).to_series().cast(pl.Int64).to_numpy() - 1
    rows = np.full(int(segments["idx"].max()) + 1, -1)  # type: ignore[arg-type]  # a number
    rows[spoken["idx"].to_numpy()] = np.arange(spoken.height)
    return SpokenSegments(codes, block, dialogue, len(emotions)), rows


def _course(segments: pl.DataFrame) -> pl.DataFrame:
    tenth = ((pl.col("position") - 1) * TENTHS // pl.col("size") + 1).alias("tenth")
    counts = segments.filter(pl.col("emotion").is_not_null()).group_by(tenth, "emotion").agg(pl.len().alias("segments"))
    return counts.with_columns(
        pl.col("segments").cast(pl.Int64), share=pl.col("segments") / pl.col("segments").sum().over("tenth")
    ).sort("tenth", "emotion")


def _speakers(segments: pl.DataFrame) -> pl.DataFrame:
    labelled = segments.filter(pl.col("emotion").is_not_null() & pl.col("speaker").is_not_null())
    counts = labelled.group_by("speaker", "emotion").agg(pl.len().cast(pl.Int64).alias("segments"))
    total = pl.col("segments").sum().over("speaker")
    return (
        counts.with_columns(share=pl.col("segments") / total, of=total)
        .sort("of", "speaker", "segments", "emotion", descending=[True, False, True, False])
        .drop("of")
    )


def _transitions(segments: pl.DataFrame, emotions: list[str]) -> pl.DataFrame:
    steps = segments.select(first="idx_before", second="idx").drop_nulls()
    found: list[dict[str, object]] = []
    spoken, rows = _spoken(segments, emotions)
    for by, part in _by_speaker(_pairs(segments, steps)):
        if by == UNKNOWN:
            counts = part.group_by(emotion_before="emotion_first", emotion="emotion_second").agg(segments=pl.len())
            shares = counts.with_columns(share=pl.col("segments") / pl.col("segments").sum().over("emotion_before"))
            found += [{"by": by, **row} for row in shares.sort("emotion_before", "emotion").to_dicts()]
            continue
        ends = (rows[part[end].to_numpy()] for end in ("first", "second"))
        for before, after, transition in spoken.transitions(*ends):
            if transition.segments:
                found.append(
                    {"by": by, "emotion_before": emotions[before], "emotion": emotions[after], **asdict(transition)}
                )
    return pl.DataFrame(found, schema=TRANSITIONS)
