"""Synthetic notes whose shares follow known coefficients of text emotion, image emotion and likability.

The model, for each note:

    t = text emotion, grade 1 to 5      m = image emotion, 1 with a face on the cover, else 0
    l = likability, 0, 1 or 2: the third of all notes that its likes fall into
    log(1 + shares) = base + b_1 t + b_2 m + b_3 l + b_4 t m + b_5 t m l  +  a·author + c·content  +  e

with author ~ N(0, 1) per author, content ~ N(0, 1) per note and e ~ logistic(0, noise). So the least-squares regression
of log(1 + shares) on the five terms of EIJL's eq. 1 has the coefficients b; and where a = c = 0, "log shares above a
threshold" follows a logistic regression with the coefficients b / noise. The text's and the cover's vectors hold half
of `content` each, hidden in a random linear map among nuisances; they do not tell the emotions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.synthesis.content import Floats

NUISANCES = 8  # dimensions of a vector besides the content
START, SPAN = 1_704_067_200, 366 * 86_400  # 2024
PHRASES = (
    ("What a terrible, awful disappointment.", "I hate this, the worst ever."),
    ("A bit sad about the quality.", "Not so good, rather boring."),
    ("Here is what is in the box.", "Today at the counter by the station."),
    ("Nice colours and good value.", "I like how it turned out."),
    ("Absolutely wonderful, I love it!", "The best and happiest day, amazing!"),
)
README = """# Synthetic notes

Nobody in here exists. `graphsocial synthesize notes` drew them from a model, so that the ground truth is known.

{counts}

The model and its settings are documented in `graphsocial/synthesis/notes.py`. The planted coefficients are `text`,
`image`, `likability`, `text_image` and `text_image_likability` (also in `settings.json`):

```json
{settings}
```
"""


@dataclass(frozen=True)
class SyntheticNotes:
    """How many notes there are, and what their shares depend on.

    Attributes:
        notes, authors, brands: rows of each; an author writes for one brand.
        seed: same settings and seed, same bytes.
        base: log(1 + shares) of a note without any effect.
        text, image, likability, text_image, text_image_likability: the planted coefficients b_1 to b_5.
        author, content: a and c, how much the author's and the content's own appeal count.
        noise: scale of the logistic noise.
        face_share: share of covers with a face.
        vector_size: length of the text's and of the cover's vector.
    """

    notes: int = 4_000
    authors: int = 200
    brands: int = 20
    seed: int = 0
    base: float = 3.0
    text: float = 0.15
    image: float = -0.4
    likability: float = 0.6
    text_image: float = 0.4
    text_image_likability: float = -0.25
    author: float = 0.0
    content: float = 0.0
    noise: float = 0.6
    face_share: float = 0.3
    vector_size: int = 32

    def __post_init__(self) -> None:
        if min(self.notes, self.authors, self.brands) < 1 or self.seed < 0:
            raise InputError("notes, authors and brands are at least 1, the seed is 0 or more.")
        if self.noise <= 0 or not 0 < self.face_share < 1:
            raise InputError("noise is above 0, face_share between 0 and 1.")
        if self.vector_size < NUISANCES + 1:
            raise InputError(f"vector_size is at least {NUISANCES + 1}.")

    @property
    def coefficients(self) -> dict[str, float]:
        """The planted coefficients by the name of their term."""
        names = ("text", "image", "likability", "text_image", "text_image_likability")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def preset(cls, name: str) -> SyntheticNotes:
        """`small`: the defaults; `eijl`: the counts of the EIJL paper.

        Raises:
            UnknownNameError: there is no such preset.
        """
        presets = {"small": cls(), "eijl": cls(notes=7_758, authors=2_000, brands=78, author=0.5, content=0.5)}
        if name not in presets:
            raise UnknownNameError.of("preset", name, presets)
        return presets[name]


def write_notes(folder: Path, settings: SyntheticNotes) -> dict[str, int]:
    """Write the table `notes` (Parquet) in the layout of the source `xiaohongshu`; returns the rows of each table."""
    s, rng = settings, np.random.default_rng([settings.seed, 11])
    author = rng.choice(s.authors, s.notes, p=_pareto(rng, s.authors))
    brand = rng.integers(0, s.brands, s.authors)[author]
    appeal, content = rng.normal(size=s.authors), rng.normal(size=s.notes)
    text = rng.choice(np.arange(1, 6), s.notes, p=[0.06, 0.1, 0.24, 0.3, 0.3])
    image = (rng.random(s.notes) < s.face_share).astype(np.int64)
    likes = np.floor(np.exp(rng.normal(5, 1.5, s.notes))).astype(np.int64)
    liked = (likes[:, None] > np.quantile(likes, [1 / 3, 2 / 3])).sum(axis=1)
    terms = np.stack([text, image, liked, text * image, text * image * liked], axis=1)  # (N, 5)
    felt = s.base + terms @ np.array(list(s.coefficients.values())) + s.author * appeal[author] + s.content * content
    shares = np.rint(np.expm1(np.clip(felt + rng.logistic(0, s.noise, s.notes), 0, 20))).astype(np.int64)
    others = np.exp(0.5 * np.log1p(shares)[:, None] + rng.normal(1, 0.7, (s.notes, 2))).astype(np.int64)
    half = rng.normal(size=s.notes) / np.sqrt(2)
    stamps = np.datetime_as_string((START + np.sort(rng.uniform(0, SPAN, s.notes))).astype("datetime64[s]"))
    ids = [f"n{number:06d}" for number in range(1, s.notes + 1)]
    choice = rng.integers(0, 2, s.notes)
    table = pa.table(
        {
            "note_id": ids,
            "author_id": [f"a{number:05d}" for number in author.tolist()],
            "case": [f"brand {number}" for number in brand.tolist()],
            "title": [f"Note {number}" for number in range(1, s.notes + 1)],
            "text": [PHRASES[grade - 1][c] for grade, c in zip(text.tolist(), choice.tolist(), strict=True)],
            "published_at": [f"{stamp}Z" for stamp in stamps.tolist()],
            "likes": likes,
            "favourites": others[:, 0],
            "comments": others[:, 1],
            "shares": shares,
            "text_emotion": text.astype(np.float64),
            "image_emotion": image.astype(np.float64),
            "text_vector": _hidden(rng, content / 2 + half, s.vector_size),
            "cover_vector": _hidden(rng, content / 2 - half, s.vector_size),
        }
    )
    pyarrow.parquet.write_table(table, folder / "notes.parquet")
    return {"notes": s.notes}


def _pareto(rng: np.random.Generator, count: int) -> Floats:
    weights = 1 + rng.pareto(2.0, count)
    return np.asarray(weights / weights.sum())


def _hidden(rng: np.random.Generator, part: Floats, size: int) -> pa.Array:
    """One number a note among nuisances, by a random linear map; (N,) → N lists of `size` float32."""
    inside = np.column_stack([part, rng.normal(size=(len(part), NUISANCES))])
    values = (inside @ rng.normal(size=(NUISANCES + 1, size))).astype(np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), size)
