"""Image-Emotion-Social-Net: who saw which image and felt what, with contacts, groups and comments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from graphsocial.sources._iesn_layout import plan_iesn
from graphsocial.sources.base import Plan


@dataclass(frozen=True)
class Iesn:
    """Reads a folder in the layout of `schemas/datasets/iesn.schema.json`: one file per table.

    Zhao et al., "Predicting Personalized Emotion Perceptions of Social Images", ACM Multimedia 2016. The dataset's
    authors hand it out by e-mail in files of their own, which no public document describes: this layout is ours, and
    `map` brings other file and column names to it. It has not been tested on the original files.

    Node types `user`, `image`, `group`; edges `user connects user`, `user joins group`, `user posts image` and
    `user views image`, which carries the labels. Only views have a time (`labelled_at`): users, images, contacts and
    memberships are timeless, `joined_at` and `uploaded_at` are plain columns. A view without `labelled_at` is left out
    wherever a moment (`as_of`) is given.

    Attributes:
        labels: `given` takes emotions, sentiment, valence, arousal and dominance from the label table; `comments`
            derives all five from the words of the comment instead (see `graphsocial.sources._affect`).
        norms: for `labels=comments`, the CSV file of word norms by Warriner et al. (2013).
        map: a YAML file; per table `file` (name or pattern), `columns` (ours: theirs), `encoding`, `delimiter`.
    """

    labels: Literal["given", "comments"] = "given"
    norms: Path | None = None
    map: Path | None = None

    def plan(self, path: Path, *, dataset: str | None = None) -> Plan:
        """The tables among the files under `path`, and the rows that they become; reads no rows."""
        return plan_iesn(path, dataset=dataset, labels=self.labels, norms=self.norms, map=self.map)
