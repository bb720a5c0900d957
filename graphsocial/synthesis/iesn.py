"""The settings of a synthetic IESN: how many rows each table has, and how strong the planted effects are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.synthesis.content import AFFECTS, THEMES


@dataclass(frozen=True)
class SyntheticIesn:
    """The sizes and strengths of a synthetic IESN; the defaults make a small one with real JPEG files.

    Attributes:
        users, images, groups: rows of these tables.
        contacts: rows of the contact table, each one direction of one pair.
        views: rows of the label table.
        seed: same settings and seed, same bytes.
        images_as: `jpeg` writes files; `vectors` writes a column of `vector_size` numbers instead, and no files.
        format: of the tables; `vectors` puts the image table into Parquet in any case.
        communities: taste communities, 2 to 8.
        homophily: share of contacts that are drawn inside the user's own community.
        join_share: share of users who are in any group.
        loyalty: share of memberships in groups of the user's own community.
        certainty: accuracy of the Bayes-optimal prediction of an emotion.
        comment_share: share of labels whose comment text exists.
        mention_share: share of those texts that name the emotion.
        duplicate_share: share of labels that are a second label of a pair already there.
        unknown_share, multi_share: shares of labels that say `unknown`, or name two emotions.
        image_size: pixels a side of a JPEG.
        vector_size: length of an image vector.
    """

    users: int = 800
    images: int = 400
    contacts: int = 8_000
    groups: int = 40
    views: int = 24_000
    seed: int = 0
    images_as: Literal["jpeg", "vectors"] = "jpeg"
    format: Literal["csv", "parquet"] = "csv"
    communities: int = 4
    homophily: float = 0.8
    join_share: float = 0.6
    loyalty: float = 0.85
    certainty: float = 0.77
    comment_share: float = 0.34
    mention_share: float = 0.7
    duplicate_share: float = 0.01
    unknown_share: float = 0.05
    multi_share: float = 0.04
    image_size: int = 96
    vector_size: int = 64

    def __post_init__(self) -> None:
        for name, low, high in (
            ("users", 1, None),
            ("images", 1, None),
            ("groups", 0, None),
            ("views", 0, None),
            ("seed", 0, None),
            ("communities", 2, len(THEMES)),
            ("image_size", 16, 1024),
            ("vector_size", len(AFFECTS), 4096),
        ):
            self._check(name, int, low, high)
        self._check("contacts", int, 0, self.users * (self.users - 1))
        for name, share in (
            ("homophily", 1),
            ("join_share", 1),
            ("loyalty", 1),
            ("comment_share", 1),
            ("mention_share", 1),
            ("duplicate_share", 0.5),
            ("unknown_share", 1),
            ("multi_share", 1),
        ):
            self._check(name, float, 0, share)
        self._check("certainty", float, 0.4, 0.95)
        if self.pairs > self.users * self.images:
            raise InputError(
                f"{self.views:,} views need {self.pairs:,} different pairs, but {self.users:,} users and "
                f"{self.images:,} images make only {self.users * self.images:,}. Ask for fewer views."
            )
        if self.unknown_share + self.multi_share > 1:
            raise InputError(
                f"unknown_share {self.unknown_share} and multi_share {self.multi_share} are together more than 1."
            )
        for name, allowed in (("images_as", ("jpeg", "vectors")), ("format", ("csv", "parquet"))):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}.")

    def _check(self, name: str, kind: type, low: float, high: float | None) -> None:
        value = getattr(self, name)
        good = isinstance(value, (int, kind)) and not isinstance(value, bool)
        if not good or not low <= value <= (float("inf") if high is None else high):
            what = "a whole number" if kind is int else "a number"
            allowed = f"of at least {low:,}" if high is None else f"from {low:,} to {high:,}"
            raise InputError(f"{name} is {value!r}; allowed is {what} {allowed}.")

    @property
    def pairs(self) -> int:
        """Different (viewer, image) pairs among the `views` labels."""
        return self.views - round(self.views * self.duplicate_share)

    @classmethod
    def preset(cls, name: str) -> SyntheticIesn:
        """`small`: the defaults; `iesn`: the counts of the HMG-Emo paper, whose labels are all single and known."""
        presets = {
            "small": cls(),
            "iesn": cls(
                users=108_899,
                images=85_157,
                contacts=1_649_058,
                groups=1_000,
                views=197_561,
                images_as="vectors",
                duplicate_share=0.0,
                unknown_share=0.0,
                multi_share=0.0,
            ),
        }
        if name not in presets:
            raise UnknownNameError.of("preset", name, presets)
        return presets[name]
