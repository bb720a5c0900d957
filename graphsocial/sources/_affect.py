"""Derives a viewer's emotion, sentiment, valence, arousal and dominance from the words of the comment.

As IESN did it (Zhao et al., 2016; the rule was checked on the printed examples): only *emotion keywords* count, not
every word. "exciting drama" has the norms of *exciting*; "frightened … scared" the mean of the two.

    words      = the distinct lower-case words of the comment that are keywords
    emotions   = the categories of the words; several where they differ; ['unknown'] where there are no words
    V, A, D    = mean over the words of their norms, 1 to 9; null where no word has norms
    sentiment  = negative if V < 5, neutral if V = 5, positive if V > 5

The keywords are our own list (`schemas/datasets/emotion_keywords.json`), the norms are a file of the user's: Warriner,
Kuperman and Brysbaert, "Norms of valence, arousal, and dominance for 13,915 English lemmas", 2013.

Negation is not handled: "not happy" counts as *happy*. Neither are irony, emoticons and other languages than English.
A view whose comment has no text has no labels.
"""

from __future__ import annotations

import json
from pathlib import Path

from graphsocial.errors import InputError, MissingFileError
from graphsocial.schemas import text
from graphsocial.sources.base import RawColumn, RawTable
from graphsocial.store.sql import literal

NORMS = {"valence": "V.Mean.Sum", "arousal": "A.Mean.Sum", "dominance": "D.Mean.Sum"}
MIDDLE = 5  # of the scale from 1 to 9


def keywords() -> dict[str, str]:
    """Word → Mikels' category."""
    categories: dict[str, list[str]] = json.loads(text("datasets", "emotion_keywords.json"))["categories"]
    return {word: category for category, words in categories.items() for word in words}


def norms_table(path: Path | None) -> RawTable:
    """The norms as a raw table `norms(word, valence, arousal, dominance)`.

    Raises:
        InputError: no file was named.
        MissingFileError: there is no such file.
    """
    published = "Ratings_Warriner_et_al.csv, from https://github.com/JULIELab/XANEW"
    if path is None:
        raise InputError(f"labels=comments needs norms=FILE, the word norms of Warriner et al. ({published}).")
    if not path.is_file():
        raise MissingFileError(f"There is no norms file '{path}'; it is called {published}.")
    numbers = (RawColumn(name, "number", header, required=True, minimum=1, maximum=9) for name, header in NORMS.items())
    return RawTable("norms", (path.resolve(),), (RawColumn("word", header="Word", required=True), *numbers))


def comment_affect() -> str:
    """SQL over `comments(comment_id, text)` and `norms`: one row of derived labels per comment."""
    pairs = ", ".join(f"({literal(word)}, {literal(category)})" for word, category in keywords().items())
    return f"""
        with
        words as (
            select distinct comment_id, unnest(regexp_extract_all(lower(text), '[a-z]+')) as word
            from comments
        ),
        affect as (
            select
                comment_id,
                list(distinct category order by category) as emotions,
                avg(valence) as valence,
                avg(arousal) as arousal,
                avg(dominance) as dominance
            from words
            join (values {pairs}) as keywords(word, category) using (word)
            left join (select lower(word) as word, valence, arousal, dominance from norms) using (word)
            group by comment_id
        )
        select
            comment_id,
            coalesce(emotions, ['unknown']) as emotions,
            case
                when valence < {MIDDLE} then 'negative'
                when valence > {MIDDLE} then 'positive'
                when valence = {MIDDLE} then 'neutral'
            end as sentiment,
            valence,
            arousal,
            dominance
        from comments
        left join affect using (comment_id)
    """
