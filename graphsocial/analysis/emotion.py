"""Emotions in dialogues: over time, by speaker, transitions, and contagion along replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial import runs
from graphsocial.analysis.base import Findings
from graphsocial.errors import DataError, InputError
from graphsocial.store.sql import literal, quote
from graphsocial.types import Progress

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

TENTHS = 10


@dataclass(frozen=True)
class Emotion:
    """Five tables of the emotions in dialogues, from labels or from a run's predictions.

    `timeline`: each segment with its dialogue, `position`, speaker and emotion, and the emotion before it.
    `course`: the share of each emotion in each tenth of a dialogue.
    `speakers`: the frequency of each emotion by speaker.
    `transitions`: pairs of successive emotions, by the same speaker or by another: their number, the conditional
    frequency of the second (`share`), and its ratio to the frequency under independence (`lift`).
    `contagion`: for each emotion, along the edges from a reply to the segment it replies to: its share among the
    replies to segments with that emotion (`shared`), and among all replies. `by_chance` is the mean of `shared` under
    permutations of the emotions among the labelled segments of each dialogue, which keep the mood of whole dialogues;
    `p` is the p value of that permutation test. The excess is homophily: contagion, or a common cause.

    Attributes:
        node: node type of the segments.
        label: label column; with `run`, the name of the predicted target.
        run: a run's id, a prefix of it, or `latest`: its predictions are used instead of labels.
        dialogue: column of the dialogue's id.
        turn: column of the segment's order.
        speaker: column of the speaker.
        replies: relation of the edges from a reply to the segment it replies to.
        permutations: number of permutations of the contagion test.
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
        frames = {
            "course": _course(segments),
            "speakers": _speakers(segments),
            "transitions": _transitions(segments),
        }
        contagion, notes = self._contagion(store, dataset, segments, progress)
        if contagion.height:
            frames["contagion"] = contagion
        frames["timeline"] = segments.drop("idx", "size", "same_speaker")
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
                speaker = lag(speaker) over spoken as same_speaker
            from segments
            window spoken as (partition by dialogue order by position)
            order by dialogue, position
            """
        ).pl()
        return rows, source

    def _contagion(
        self, store: GraphStore, dataset: str, segments: pl.DataFrame, progress: Progress | None
    ) -> tuple[pl.DataFrame, tuple[str, ...]]:
        edge_types = [edge for edge in store.schema.edges if edge.canonical == (self.node, self.replies, self.node)]
        if not edge_types or not len(store.span(edge_types[0], dataset)):
            return pl.DataFrame(), (f"There are no '{self.node} {self.replies} {self.node}' edges: no contagion.",)
        labelled = segments.filter(pl.col("emotion").is_not_null())
        rows = pl.DataFrame({"idx": labelled["idx"], "row": np.arange(labelled.height)})
        edges = store.sql(f"select src, dst from ({store.visible(edge_types[0], dataset=dataset)}) order by idx").pl()
        both = edges.join(rows.rename({"idx": "src", "row": "reply"}), on="src").join(
            rows.rename({"idx": "dst", "row": "replied_to"}), on="dst"
        )
        if not both.height:
            return pl.DataFrame(), (f"No '{self.replies}' edge has an emotion at both endpoints: no contagion.",)
        reply, replied_to = both["reply"].to_numpy(), both["replied_to"].to_numpy()
        emotions = labelled["emotion"].unique().sort().to_list()
        codes = labelled["emotion"].replace_strict(emotions, range(len(emotions)), return_dtype=pl.Int64).to_numpy()
        dialogue = np.unique(labelled["dialogue"].to_numpy().astype(str), return_inverse=True)[1]
        random = np.random.default_rng(self.seed)
        by_dialogue = np.lexsort((np.arange(len(codes)), dialogue))
        null = np.empty((self.permutations, len(emotions)))
        for number in range(self.permutations):
            if progress and number % 50 == 0:
                progress("contagion", number, self.permutations)
            permuted = np.empty_like(codes)
            permuted[np.lexsort((random.random(len(codes)), dialogue))] = codes[by_dialogue]
            null[number] = _shared(permuted, reply, replied_to, len(emotions))
        shared = _shared(codes, reply, replied_to, len(emotions))
        frame = pl.DataFrame(
            {
                "emotion": emotions,
                "answered": np.bincount(codes[replied_to], minlength=len(emotions)),
                "shared": shared,
                "of_all_answers": np.bincount(codes[reply], minlength=len(emotions)) / len(reply),
                "by_chance": np.nanmean(null, axis=0) if len(null) else np.nan,
                "p": (1 + (np.nan_to_num(null) >= np.nan_to_num(shared)).sum(0)) / (1 + self.permutations),
            }
        ).filter(pl.col("answered") > 0)
        return frame, (f"Contagion by {both.height:,} edges with an emotion at both endpoints.",)


def _shared(
    codes: NDArray[np.int64], reply: NDArray[np.int64], replied_to: NDArray[np.int64], num_emotions: int
) -> NDArray[np.float64]:
    """(K,) for each emotion, the share of the replies to it that have it too; 0 without such replies."""
    count = np.bincount(codes[replied_to], minlength=num_emotions)
    same = np.bincount(codes[replied_to][codes[reply] == codes[replied_to]], minlength=num_emotions)
    share: NDArray[np.float64] = same / np.maximum(count, 1)
    return share


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


def _transitions(segments: pl.DataFrame) -> pl.DataFrame:
    steps = segments.filter(pl.col("emotion").is_not_null() & pl.col("emotion_before").is_not_null()).with_columns(
        by=pl.when(pl.col("same_speaker")).then(pl.lit("same speaker")).otherwise(pl.lit("another"))
    )
    counts = steps.group_by("by", "emotion_before", "emotion").agg(pl.len().cast(pl.Int64).alias("segments"))
    n = pl.col("segments")
    of_first, of_second = n.sum().over("by", "emotion_before"), n.sum().over("by", "emotion")
    return counts.with_columns(share=n / of_first, lift=n * n.sum().over("by") / (of_first * of_second)).sort(
        "by", "emotion_before", "emotion"
    )
