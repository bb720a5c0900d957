"""Regions of images by a detector of random weights; where torchvision's operators cannot load, with others' instead.

Not tested here: torchvision's own compiled operators, and trained weights, which no package ships.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contract import DETECTOR as MODEL
from contract import broken_image, tiny_detector
from contract import images as pictures

from graphsocial._compat.torchvision import ensure_torchvision, operators_load
from graphsocial.errors import FeatureError, InputError, MissingFileError, UnknownNameError
from graphsocial.featurizers.base import Requires
from graphsocial.featurizers.regions import Regions


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tiny_detector(tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return pictures(tmp_path_factory.mktemp("images"))[:2]


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torchvision's operators, or where its extension does not load, `nms` in Python; it has a roi_align in Python.

    That one would be compiled, which takes a minute and a C++ compiler, so it is taken as it is written.
    """
    ensure_torchvision()
    import torch
    from torchvision import extension
    from torchvision.ops import boxes as ops

    def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
        order = scores.argsort(descending=True, stable=True).tolist()
        overlaps = ops.box_iou(boxes, boxes)
        kept: list[int] = []
        for place in order:
            if not kept or overlaps[place, kept].max() <= iou_threshold:
                kept.append(place)
        return torch.tensor(kept, dtype=torch.long)

    if not extension._has_ops():
        align = sys.modules["torchvision.ops.roi_align"]
        monkeypatch.setattr(align, "_roi_align", inspect.unwrap(align._roi_align))
        monkeypatch.setattr(ops, "nms", nms)
        monkeypatch.setattr(Regions, "requires", Requires())
    yield


@pytest.mark.usefixtures("operators")
class TestDetector:
    def test_the_best_boxes_have_vectors(self, weights: Path, images: list[Path]) -> None:
        some, more = (Regions(MODEL, str(weights), most=most).encode(images) for most in (3, 6))
        assert some.sequences.lengths.tolist() == [3] * 2 and some.vectors.dtype == np.float32
        assert some.vectors.shape == (6, 1024) and len(np.unique(some.vectors, axis=0)) > 3
        starts = more.sequences.offsets[:-1]
        firsts = np.concatenate([more.vectors[start : start + 3] for start in starts])
        assert np.abs(firsts - some.vectors).max() < 1e-5

    def test_the_boxes_are_the_detector_s_own(self, weights: Path, images: list[Path]) -> None:
        """As many as torchvision's whole forward pass finds, and each vector classified as it says."""
        import torch
        from safetensors.torch import load_file
        from torchvision.models import get_model

        network = get_model(MODEL, weights=None, weights_backbone=None, num_classes=4).eval()
        network.load_state_dict(load_file(weights / "detector.safetensors"))
        network.roi_heads.detections_per_img = 5
        from graphsocial.featurizers._images import read_images
        from graphsocial.featurizers.regions import _prepare

        (image,) = read_images(images[:1], _prepare)
        outputs = []
        network.roi_heads.box_head.register_forward_hook(lambda layer, inputs, out: outputs.append(out))
        with torch.inference_mode():
            (answer,) = network([image])
            inside, _ = network.transform([image])
            maps = network.backbone(inside.tensors)
            scale = torch.tensor(inside.image_sizes[0]) / torch.tensor(image.shape[1:])
            boxes = answer["boxes"] * torch.stack([scale[1], scale[0], scale[1], scale[0]])
            network.roi_heads.box_head(network.roi_heads.box_roi_pool(maps, [boxes], inside.image_sizes))
        expected = outputs[-1].numpy()
        encoded = Regions(MODEL, str(weights), most=5).encode(images[:1])
        assert encoded.vectors.shape == expected.shape and len(expected) == len(answer["boxes"]) > 0
        assert np.abs(encoded.vectors - expected).max() < 1e-3

    @pytest.mark.slow
    def test_an_image_does_not_see_its_neighbours(self, weights: Path, images: list[Path]) -> None:
        regions = Regions(MODEL, str(weights), most=4)
        together = regions.encode(images)
        alone = np.concatenate([regions.encode([image]).vectors for image in images])
        assert (together.vectors == alone).all()

    def test_no_box_is_no_error_and_a_broken_image_is_rejected(
        self, weights: Path, images: list[Path], tmp_path: Path
    ) -> None:
        encoded = Regions(MODEL, str(weights), least_score=0.9999999).encode([images[0], broken_image(tmp_path)])
        assert encoded.sequences.lengths.tolist() == [0, 0] and list(encoded.rejects) == [1]
        assert "not an image" in encoded.rejects[1]

    def test_weights_that_do_not_fit(self, weights: Path, images: list[Path]) -> None:
        with pytest.raises(FeatureError, match="do not fit 'fasterrcnn_resnet50_fpn'"):
            Regions(weights=str(weights)).encode(images)


def test_missing_operators_are_an_error(weights: Path, images: list[Path]) -> None:
    ensure_torchvision()
    from torchvision.extension import _has_ops

    assert operators_load() == _has_ops() == (Regions.requires.missing() == ())
    if _has_ops():
        pytest.skip("torchvision's operators can be loaded here")
    with pytest.raises(FeatureError, match=r"needs torchvision's compiled operators \(nms, roi_align\).*get-started"):
        Regions(MODEL, str(weights)).encode(images)


def test_nothing_gives_no_rows(weights: Path) -> None:
    assert Regions(MODEL, str(weights)).encode([]).vectors.shape == (0, 1024)


def test_weights_are_found_by_file_by_folder_and_by_content(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    file = weights / "detector.safetensors"
    keys = {Regions(MODEL, str(path)).fingerprint() for path in (weights, file)}
    assert len(keys) == 1
    assert keys.isdisjoint(
        {Regions(MODEL, str(file), most=3).fingerprint(), Regions(MODEL, str(file), least_score=0.3).fingerprint()}
    )
    with pytest.raises(FeatureError, match=r"are not on this machine\. Download them with --set weights=DEFAULT"):
        Regions().fingerprint()
    with pytest.raises(FeatureError, match="holds 0 files of weights"):
        Regions(weights=str(tmp_path)).fingerprint()
    with pytest.raises(MissingFileError, match="no file or folder"):
        Regions(weights=str(tmp_path / "none.pth")).fingerprint()


def test_settings_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="No detector is called 'resnet50'"):
        Regions("resnet50")
    for wrong in ({"most": 0}, {"least_score": 1.0}, {"least_score": float("nan")}, {"batch_size": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Regions(**wrong)
