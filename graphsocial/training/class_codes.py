"""The labels of data that came after training, as codes of the classes that a run was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from graphsocial.tasks import LabelArray, Labels

log = logging.getLogger(__name__)


def with_classes(labels: Labels, classes: Mapping[str, Sequence[str]]) -> Labels:
    """The labels with a run's classes; a label of another class counts as unknown, and how many do is logged.

    Args:
        labels: the labels of the data as it is now.
        classes: target → its classes in the run, in order; empty for numbers.
    """
    targets, target_labels = [], dict[str, LabelArray](labels.target_labels)
    for target in labels.targets:
        trained = tuple(classes.get(target.name, ()))
        added = {*trained} - {*target.classes}
        if not trained or trained == target.classes or added == {*trained}:  # other labels altogether are no new class
            targets.append(target)
            continue
        code_of = {name: code for code, name in enumerate(trained)}
        codes = np.asarray([code_of.get(name, -1) for name in target.classes], dtype=np.int64)
        before = labels.target_labels[target.name].astype(np.int64)
        after = np.where(before >= 0, codes[before.clip(0)], -1)
        unknown = int(((after < 0) & (before >= 0)).sum())
        if unknown:
            names = ", ".join(f"'{name}'" for name in target.classes if name not in code_of)
            log.warning(
                "%s labels of '%s' are of classes that the run was not trained on (%s); they count as unknown.",
                f"{unknown:,}", target.name, names,
            )  # fmt: skip
        targets.append(replace(target, classes=trained))
        target_labels[target.name] = after
    return replace(labels, targets=tuple(targets), target_labels=target_labels)
