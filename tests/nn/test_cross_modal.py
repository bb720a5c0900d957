"""Attention between modalities against plain algebra and torch's own, what is missing, and what is not to be seen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphsocial.errors import InputError
from graphsocial.nn.cross_modal import CrossAttention, CrossModalFusion, Noted, drop_modalities

SIZES = {"text": 5, "audio": 3, "video": 4}


def given(batch: int = 2, places: int = 4) -> tuple[dict, dict, torch.Tensor]:
    mask = torch.arange(places) < torch.tensor([places, places - 1])[:batch, None]
    x = {name: torch.randn(batch, places, size) for name, size in SIZES.items()}
    return x, {name: mask.clone() for name in SIZES}, mask


def fusion(**settings) -> CrossModalFusion:
    torch.manual_seed(0)
    return CrossModalFusion(SIZES, width=8, heads=2, first_heads=4, second_heads=8, **settings).eval()


def test_attention_is_equations_6_and_7():
    torch.manual_seed(0)
    layer = CrossAttention(5, 3, 6, 2)
    x_q, x_k = torch.randn(1, 4, 5), torch.randn(1, 3, 3)
    visible = torch.tensor([[[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0]]], dtype=torch.bool)
    got, weights = layer(x_q, x_k, visible), layer.weights(x_q, x_k, visible)
    q, k, v = layer.query(x_q)[0], layer.key(x_k)[0], layer.value(x_k)[0]
    for t in range(3):
        seen = visible[0, t]
        heads = []
        for head in (slice(0, 3), slice(3, 6)):
            alpha = torch.softmax(k[seen][:, head] @ q[t, head] / 3**0.5, 0)
            torch.testing.assert_close(weights[0, 0 if head.start == 0 else 1, t, seen], alpha)
            heads.append(alpha @ v[seen][:, head])
        torch.testing.assert_close(got[0, t], layer.out(torch.cat(heads)))
    assert not got[0, 3].any() and not weights[0, :, 3].any()  # it sees nothing


def test_attention_is_that_of_torch():
    torch.manual_seed(0)
    ours, theirs = CrossAttention(8, 8, 8, 4), nn.MultiheadAttention(8, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in (ours.query, ours.key, ours.value)]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in (ours.query, ours.key, ours.value)]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, y = torch.randn(2, 5, 8, requires_grad=True), torch.randn(2, 3, 8)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    got = ours(x, y, mask[:, None].expand(-1, 5, -1))
    want, _ = theirs(x, y, y, key_padding_mask=~mask)
    torch.testing.assert_close(got, want)
    (back,) = torch.autograd.grad(got.square().sum(), x, retain_graph=True)
    (expected,) = torch.autograd.grad(want.square().sum(), x)
    torch.testing.assert_close(back, expected)


def test_fusion_is_table_3_and_equation_8():
    paper = CrossModalFusion(dict.fromkeys(SIZES, 400))
    assert len(paper.cross) == 6 and all((part.width, part.heads) == (200, 4) for part in paper.cross.values())
    assert {part.width for part in paper.first.values()} == {400}
    assert (paper.second.width, paper.second.heads, paper.out_features) == (1200, 8, 1200)
    layer = fusion(residual=False)
    x, present, mask = given()
    got = layer(x, present, mask)
    seen = mask[:, None].expand(-1, 4, -1)
    first = []
    for name in SIZES:
        told = [layer.cross[f"{name}-{other}"](x[name], x[other], seen) for other in SIZES if other != name]
        z = torch.cat(told, 2)
        first.append(layer.first[name](z, z, seen))
    z = torch.cat(first, 2)
    torch.testing.assert_close(got, layer.second(z, z, seen) * mask[:, :, None])


@pytest.mark.parametrize("residual", [False, True])
def test_missing_modalities_and_padding_have_no_influence(residual):
    layer = fusion(residual=residual)
    x, present, mask = given()
    present["audio"][0, 1] = False
    before = layer(x, present, mask)
    x["audio"][0, 1] = 99.0
    x["text"][1, 3] = 99.0  # beyond the end of the second sequence
    torch.testing.assert_close(layer(x, present, mask), before)
    assert not before[1, 3].any()
    present["audio"][0, 1] = True
    assert not torch.allclose(layer(x, present, mask), before)
    for there in present.values():
        there.zero_()
    assert layer(x, present, mask).isfinite().all()  # nothing at all is known


def test_causal_fusion_depends_on_the_past_only():
    layer = fusion()
    x, present, mask = given()
    before = layer(x, present, mask, causal=True)
    for part in x.values():
        part[:, 2:] += 1
    after = layer(x, present, mask, causal=True)
    assert torch.equal(before[:, :2], after[:, :2]) and not torch.equal(before[:, 2], after[:, 2])
    noted = Noted()
    assert torch.equal(layer(x, present, mask, causal=True, noted=noted), after)
    weights = noted.weights
    assert set(weights) == {
        *(f"{a} → {b}" for a in SIZES for b in SIZES if a != b),
        *(f"{name}, first level" for name in SIZES),
        "second level",
    }
    assert all(not part.triu(1).any() for part in weights.values())
    for part in weights.values():
        torch.testing.assert_close(part.sum(2)[mask], torch.ones(int(mask.sum())))


def test_norms_are_those_of_the_contributions_between_modalities():
    layer = fusion()
    x, present, mask = given()
    present["audio"][1] = False
    noted = Noted()
    layer(x, present, mask, noted=noted)
    assert set(noted.norms) == {f"{a} → {b}" for a in SIZES for b in SIZES if a != b}
    assert not noted.norms["text → audio"][1].any() and noted.norms["audio → text"][1].any()
    seen = mask[:, None].expand(-1, 4, -1)
    contribution = layer.cross["text-video"](x["text"], x["video"], seen)
    torch.testing.assert_close(noted.norms["text → video"][mask], contribution.norm(dim=2)[mask])


def test_a_single_modality_asks_itself():
    layer = CrossModalFusion({"text": 5}, width=8)
    assert layer.pairs == [("text", "text")] and layer.out_features == 8


def test_modalities_go_missing_but_never_all():
    present = {name: torch.rand(40, 25) < 0.9 for name in SIZES}
    some = torch.stack(list(present.values())).any(0)
    kept = drop_modalities(present, 0.6, torch.Generator().manual_seed(0))
    assert torch.equal(torch.stack(list(kept.values())).any(0), some)
    for name in SIZES:
        assert not (kept[name] & ~present[name]).any()
        assert 0.4 < kept[name].sum() / present[name].sum() < 0.8
    same = drop_modalities(present, 0.0)
    assert all(torch.equal(same[name], present[name]) for name in SIZES)


def test_wrong_shapes_and_settings_are_errors():
    with pytest.raises(InputError, match=r"6 heads do not divide the width 400; use one of \[1, 2, 4, 5, 8"):
        CrossModalFusion(dict.fromkeys(SIZES, 4), first_heads=6)
    with pytest.raises(InputError, match="no modality"):
        CrossModalFusion({})
    x, present, mask = given()
    del x["audio"]
    with pytest.raises(InputError, match="modality 'audio' is not given; these are: text, video"):
        fusion()(x, present, mask)
    with pytest.raises(InputError, match="share of 1"):
        drop_modalities(present, 1)
