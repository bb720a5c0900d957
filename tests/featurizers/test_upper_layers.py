"""The last layers of an encoder, on their own, do what the whole encoder does; and they can be trained."""

from __future__ import annotations

import contract
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from graphsocial.errors import FeatureError, InputError
from graphsocial.featurizers.base import FineTunable
from graphsocial.featurizers.sentence import Sentence

TEXTS = ["good day", "bad", "good good night day bad"]


@pytest.mark.parametrize("architecture", ["Bert", "Roberta", "DistilBert"])
@pytest.mark.parametrize("tune", [1, 2])
def test_states_and_upper_layers_make_the_encoders_vectors(tmp_path, architecture, tune):
    import torch

    folder = contract.tiny_encoder(tmp_path / "model", architecture)
    whole, tuned = Sentence(folder, normalize=False), Sentence(folder, tune=tune)
    assert tuned.sequences and tuned.dimension == 16 and isinstance(tuned, FineTunable)
    assert len({whole.fingerprint(), tuned.fingerprint(), Sentence(folder, tune=3 - tune).fingerprint()}) == 3
    states = tuned.encode(TEXTS).sequences
    upper = tuned.module().eval()
    assert len(upper.layers) == tune and upper.out_features == 16
    padded, mask = (torch.from_numpy(part) for part in states.padded())
    pooled = upper(padded, mask)
    assert np.abs(pooled.detach().numpy() - whole.encode(TEXTS).vectors).max() < 1e-5
    other = padded.masked_fill(~mask[:, :, None], 7.0)  # what stands in places that are not there counts for nothing
    assert torch.allclose(upper(other, mask), pooled, atol=1e-6)
    pooled.square().sum().backward()
    assert all(part.grad is not None for layer in upper.layers for part in layer.parameters())


def test_each_caller_trains_a_copy(tmp_path):
    import torch

    encoder = Sentence(contract.tiny_encoder(tmp_path / "model"), tune=1)
    before = encoder.encode(TEXTS).vectors
    first = encoder.module()
    with torch.no_grad():
        for part in first.parameters():
            part.zero_()
    assert any(part.any() for part in encoder.module().parameters())
    assert np.array_equal(encoder.encode(TEXTS).vectors, before)


def test_what_cannot_be_tuned_is_said(tmp_path):
    with pytest.raises(InputError, match="has 2 layers; use 1 to 2"):
        Sentence(contract.tiny_encoder(tmp_path / "bert"), tune=3).module()
    for tune in (3, 4, 99):
        with pytest.raises(InputError, match="has 2 layers; use 1 to 2"):
            Sentence(contract.tiny_encoder(tmp_path / "bert"), tune=tune).encode(TEXTS)
    relative = contract.tiny_encoder(tmp_path / "mpnet", "MPNet")  # its layers need a bias of relative positions
    weights = load_file(tmp_path / "mpnet" / "model.safetensors")
    weights["encoder.relative_attention_bias.weight"] *= 1000
    save_file(weights, tmp_path / "mpnet" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FeatureError, match="take more than states and a mask"):
        Sentence(relative, tune=1).module()
    for wrong in ({"tune": -1}, {"tune": 1, "pooling": "tokens"}):
        with pytest.raises(InputError, match="one vector of the tokens"):
            Sentence(**wrong)
