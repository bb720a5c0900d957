"""Words of several lengths are read as if each text were alone, with and without a tree."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from graphsocial.errors import DataError, InputError
from graphsocial.graph.features import Feature
from graphsocial.nn.words import WordEncoder

LENGTHS = [4, 1, 0, 6, 2]


def words(*, trees: bool = False) -> Feature:
    torch.manual_seed(0)
    offsets = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0).tolist()])
    vectors = torch.randn(int(offsets[-1]), 9)
    if trees:
        for start, length in zip(offsets.tolist(), LENGTHS, strict=False):
            vectors[start : start + length, 0] = (
                torch.arange(length).clamp_max(length - 1).div(2, rounding_mode="floor")
            )
            vectors[start : start + length, 1:4] = 0
    return Feature("segment.text", vectors, torch.tensor([0, 3, -1, 4]), offsets)


@pytest.mark.parametrize("settings", [{}, {"recurrent": False}, {"trees": True}, {"window": 1}])
def test_each_text_is_read_as_if_alone(settings):
    torch.manual_seed(0)
    feature, encoder = words(trees=settings.get("trees", False)), WordEncoder(9, 6, **settings)
    together = encoder(feature)
    assert together.shape == (5, 6) and not together[2].any()
    for place in (0, 1, 3, 4):
        alone = replace(feature, index=torch.tensor([place])).take(torch.tensor([0]))
        torch.testing.assert_close(encoder(alone)[0], together[place])
    changed = feature.vectors.clone()
    changed[-1, 5:] += 1  # the last word of the last text
    other = encoder(replace(feature, vectors=changed))
    assert torch.equal(other[:4], together[:4]) and not torch.equal(other[4], together[4])


def test_the_tree_matters():
    feature, encoder = words(trees=True), WordEncoder(9, 6, trees=True)
    vectors = feature.vectors.clone()
    vectors[3, 0] = 0  # another head for the fourth word of the first text
    one, two = encoder(feature), encoder(replace(feature, vectors=vectors))
    assert not torch.allclose(one[0], two[0]) and torch.equal(one[1:], two[1:])


def test_sequences_of_some_rows():
    feature = words()
    taken = feature.take(torch.tensor([3, 1, 2, 1]))
    assert taken.index.tolist() == [1, 0, -1, 0] and taken.offsets.tolist() == [0, 6, 8]
    padded, mask = taken.padded(torch.tensor([1, 0]))
    assert padded.shape == (2, 6, 9) and mask.sum(1).tolist() == [2, 6]
    assert torch.equal(padded[0, :2], feature.vectors[-2:]) and not padded[0, 2:].any()
    with pytest.raises(DataError, match="one vector per row"):
        replace(feature, offsets=None).padded(torch.tensor([0]))


def test_wrong_inputs_and_settings_are_errors():
    with pytest.raises(InputError, match="7 cannot be shared by two directions"):
        WordEncoder(9, 7)
    with pytest.raises(InputError, match="have no vectors"):
        WordEncoder(4, 6, trees=True)
    with pytest.raises(InputError, match=r"'segment\.text' has one vector per row"):
        WordEncoder(9, 6)(replace(words(), offsets=None))
