"""Clips that the tests write, frame by frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contract import write_clip
from PIL import Image

from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError, InputError, UnknownNameError
from graphsocial.featurizers.base import Requires
from graphsocial.featurizers.video import Video, _sample
from graphsocial.featurizers.vision import Vision

pytestmark = pytest.mark.skipif(bool(Video.requires.missing()), reason=f"needs: {Video.requires.command}")


def greys(length: int) -> np.ndarray:
    """(length, 64, 96, 3): frame n is of the grey 2n."""
    return np.broadcast_to(2 * np.arange(length, dtype=np.uint8)[:, None, None, None], (length, 64, 96, 3)).copy()


def taken(path: Path, rate: float, most: int) -> list[int]:
    """Which frames of `greys` were taken."""
    frames = _sample(path, rate, most)
    assert isinstance(frames, list)
    return [round(float(frame.mean()) / 2) for frame in frames]


class TestSampling:
    def test_so_many_a_second(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.avi", greys(40), rate=10)
        assert taken(path, 2, 100) == [0, 5, 10, 15, 20, 25, 30, 35]
        assert taken(path, 0, 100) == taken(path, 1000, 100) == list(range(40))
        assert taken(path, 0.1, 100) == [0]

    def test_no_more_than_asked_for_and_evenly(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.avi", greys(40), rate=10)
        assert taken(path, 0, 10) == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
        assert taken(path, 0, 9) == [0, 8, 16, 24, 32]
        assert taken(path, 10, 1) == [0]

    def test_a_clip_that_breaks_off_has_a_beginning(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.avi", greys(40), rate=10)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        frames = taken(path, 0, 100)
        assert 5 < len(frames) < 40 and frames == list(range(len(frames)))


def test_each_frame_is_as_vision_sees_it(tmp_path: Path) -> None:
    """Also its colours, which opencv has the other way round."""
    orange = np.broadcast_to(np.array([250, 120, 10], np.uint8), (6, 64, 96, 3)).copy()
    orange[3:] = orange[3:, :, :, ::-1]
    clip = write_clip(tmp_path / "a.avi", orange)
    encoded = Video(output="frames", rate=0).encode([clip])
    assert encoded.vectors.shape == (6, 1280) and encoded.sequences.lengths.tolist() == [6]
    for number, frame in ((0, orange[0]), (5, orange[5])):
        Image.fromarray(frame).save(tmp_path / "frame.png")
        seen = Vision().encode([tmp_path / "frame.png"]).vectors[0]
        assert np.abs(encoded.vectors[number] - seen).max() < 1e-4
        assert np.abs(encoded.vectors[5 - number] - seen).max() > 0.1
    mean = Video(rate=0).encode([clip]).vectors
    assert mean.shape == (1, 1280) and np.abs(mean[0] - encoded.vectors.mean(axis=0)).max() < 1e-5


def test_the_encoder_of_frames_counts(tmp_path: Path) -> None:
    ensure_torchvision()
    import torch
    from torchvision.models import resnet18

    path = tmp_path / "weights.pth"
    with torch.random.fork_rng(devices=[]):
        torch.save(resnet18().state_dict(), path)
    other = Video("resnet18", str(path), "frames", rate=0)
    keys = {other.fingerprint(), Video(rate=0).fingerprint(), Video(rate=1).fingerprint(), Video(most=4).fingerprint()}
    assert len(keys) == 4
    encoded = other.encode([write_clip(tmp_path / "a.avi", greys(3))])
    assert other.dimension == 512 and encoded.vectors.shape == (3, 512)


def test_what_is_no_clip_is_rejected(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    encoded = Video(output="frames").encode([empty, tmp_path, write_clip(tmp_path / "a.avi", greys(3))])
    assert list(encoded.rejects) == [0, 1] and "not a clip" in encoded.rejects[0]
    assert encoded.sequences.lengths.tolist() == [0, 0, 1]
    assert list(Video().encode([empty]).rejects) == [0]


def test_settings_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="No output is called 'frame'"):
        Video(output="frame")  # type: ignore[arg-type]
    for wrong in ({"rate": -1}, {"rate": float("nan")}, {"most": 0}, {"batch_size": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Video(**wrong)


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Video, "requires", Requires(("no-such-opencv",), "video"))
    with pytest.raises(FeatureError, match=r"'video' needs no-such-opencv.*graphsocial\[video\]"):
        Video().encode([Path("a.avi")])
