"""How feelings move through dialogues: over time, from speaker to speaker, and along replies."""

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
    """Five tables of what is felt in dialogues, as labelled or as a run predicts it.

    `timeline`: each segment with its dialogue, place, speaker and emotion, and the emotion before it.
    `course`: the share of each emotion in each tenth of a dialogue.
    `speakers`: how often each speaker feels what.
    `transitions`: which emotion follows which, by the same speaker or by another: how often, the share among all that
    follow the first, and how many times as often as if what comes next did not depend on what came before (`lift`).
    `contagion`: for each emotion, along the edges from answers to what they answer: the share of answers with it among
    those to a segment with it (`shared`), and among all. `by_chance` is the first share where emotions are dealt out
    anew among the labelled segments of their own dialogue, which leaves moods of whole dialogues as they are; `p` is
    how often that comes to as much. What is left over is likeness of neighbours: contagion, or one cause of both.

    Attributes:
        node: the node type of the segments.
        label: their label column; with `run`, the target that it predicts.
        run: whose predictions to look at instead of labels; a run's id, the start of it, or `latest`.
        dialogue, turn, speaker: the columns that say so.
        replies: the relation from answer to answered.
        permutations: of the test of contagion.
        seed: of these.
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
        """See `analyze`.

        Raises:
            DataError: no segment has an emotion.
            UnknownNameError: there is no such node type or column.
        """
        told, source = self._told(store, dataset)
        if not told["emotion"].drop_nulls().len():
            raise DataError(f"No '{self.node}' of '{dataset}' has anything as '{self.label}'.")
        frames = {
            "course": _course(told),
            "speakers": _speakers(told),
            "transitions": _transitions(told),
        }
        contagion, notes = self._contagion(store, dataset, told, progress)
        if contagion.height:
            frames["contagion"] = contagion
        frames["timeline"] = told.drop("idx", "size", "same_speaker")
        return Findings(frames, {"source": source}, notes)

    def _told(self, store: GraphStore, dataset: str) -> tuple[pl.DataFrame, str]:
        """One row per segment, by dialogue and place; and where the emotions are from."""
        node = store.schema.node(self.node)
        known = {column.name for column in node.columns}
        for name in (self.dialogue, self.turn, *(() if self.run else (self.label,))):
            if name not in known:
                raise InputError(f"'{node}' has no column '{name}'; it has {', '.join(sorted(known))}.")
        speaker = quote(self.speaker) if self.speaker in known else "null"
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
            with told as (
                select
                    n.idx,
                    n.id as segment_id,
                    {quote(self.dialogue)}::varchar as dialogue,
                    row_number() over (partition by {quote(self.dialogue)} order by {quote(self.turn)}, n.idx) as place,
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
            from told
            window spoken as (partition by dialogue order by place)
            order by dialogue, place
            """
        ).pl()
        return rows, source

    def _contagion(
        self, store: GraphStore, dataset: str, told: pl.DataFrame, progress: Progress | None
    ) -> tuple[pl.DataFrame, tuple[str, ...]]:
        names = [edge for edge in store.schema.edges if edge.canonical == (self.node, self.replies, self.node)]
        if not names or not len(store.span(names[0], dataset)):
            return pl.DataFrame(), (f"There are no '{self.node} {self.replies} {self.node}' edges: no contagion.",)
        felt = told.filter(pl.col("emotion").is_not_null())
        place = pl.DataFrame({"idx": felt["idx"], "row": np.arange(felt.height)})
        edges = store.sql(f"select src, dst from ({store.visible(names[0], dataset=dataset)}) order by idx").pl()
        both = edges.join(place.rename({"idx": "src", "row": "answer"}), on="src").join(
            place.rename({"idx": "dst", "row": "answered"}), on="dst"
        )
        if not both.height:
            return pl.DataFrame(), (f"No '{self.replies}' edge has an emotion at both ends: no contagion.",)
        answer, answered = both["answer"].to_numpy(), both["answered"].to_numpy()
        words = felt["emotion"].unique().sort().to_list()
        code = felt["emotion"].replace_strict(words, range(len(words)), return_dtype=pl.Int64).to_numpy()
        dialogue = np.unique(felt["dialogue"].to_numpy().astype(str), return_inverse=True)[1]
        random = np.random.default_rng(self.seed)
        start = np.lexsort((np.arange(len(code)), dialogue))
        chance = np.empty((self.permutations, len(words)))
        for number in range(self.permutations):
            if progress and number % 50 == 0:
                progress("contagion", number, self.permutations)
            dealt = np.empty_like(code)
            dealt[np.lexsort((random.random(len(code)), dialogue))] = code[start]
            chance[number] = _shared(dealt, answer, answered, len(words))
        shared = _shared(code, answer, answered, len(words))
        frame = pl.DataFrame(
            {
                "emotion": words,
                "answered": np.bincount(code[answered], minlength=len(words)),
                "shared": shared,
                "of_all_answers": np.bincount(code[answer], minlength=len(words)) / len(answer),
                "by_chance": np.nanmean(chance, axis=0) if len(chance) else np.nan,
                "p": (1 + (np.nan_to_num(chance) >= np.nan_to_num(shared)).sum(0)) / (1 + self.permutations),
            }
        ).filter(pl.col("answered") > 0)
        return frame, (f"Contagion by {both.height:,} edges with an emotion at both ends.",)


def _shared(
    code: NDArray[np.int64], answer: NDArray[np.int64], answered: NDArray[np.int64], words: int
) -> NDArray[np.float64]:
    """For each emotion, the share of the answers to it that have it too; 0 where nothing is answered with it."""
    count = np.bincount(code[answered], minlength=words)
    same = np.bincount(code[answered][code[answer] == code[answered]], minlength=words)
    share: NDArray[np.float64] = same / np.maximum(count, 1)
    return share


def _course(told: pl.DataFrame) -> pl.DataFrame:
    tenth = ((pl.col("place") - 1) * TENTHS // pl.col("size") + 1).alias("tenth")
    counts = told.filter(pl.col("emotion").is_not_null()).group_by(tenth, "emotion").agg(pl.len().alias("segments"))
    return counts.with_columns(
        pl.col("segments").cast(pl.Int64), share=pl.col("segments") / pl.col("segments").sum().over("tenth")
    ).sort("tenth", "emotion")


def _speakers(told: pl.DataFrame) -> pl.DataFrame:
    known = told.filter(pl.col("emotion").is_not_null() & pl.col("speaker").is_not_null())
    counts = known.group_by("speaker", "emotion").agg(pl.len().cast(pl.Int64).alias("segments"))
    total = pl.col("segments").sum().over("speaker")
    return (
        counts.with_columns(share=pl.col("segments") / total, of=total)
        .sort("of", "speaker", "segments", "emotion", descending=[True, False, True, False])
        .drop("of")
    )


def _transitions(told: pl.DataFrame) -> pl.DataFrame:
    steps = told.filter(pl.col("emotion").is_not_null() & pl.col("emotion_before").is_not_null()).with_columns(
        by=pl.when(pl.col("same_speaker")).then(pl.lit("same speaker")).otherwise(pl.lit("another"))
    )
    counts = steps.group_by("by", "emotion_before", "emotion").agg(pl.len().cast(pl.Int64).alias("segments"))
    n = pl.col("segments")
    first, second = n.sum().over("by", "emotion_before"), n.sum().over("by", "emotion")
    return counts.with_columns(share=n / first, lift=n * n.sum().over("by") / (first * second)).sort(
        "by", "emotion_before", "emotion"
    )
