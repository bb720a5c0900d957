"""Sounds that the tests make themselves, whose pitch, loudness and timbre are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.fft import dct

from graphsocial.errors import FeatureError, InputError, UnknownNameError
from graphsocial.featurizers import audio
from graphsocial.featurizers._acoustics import DESCRIPTORS, describe, mel_filters
from graphsocial.featurizers.audio import NAMES, OPENSMILE, Audio
from graphsocial.featurizers.base import Requires

pytestmark = pytest.mark.skipif(bool(Audio.requires.missing()), reason=f"needs: {Audio.requires.command}")
RATE = 16_000


def tone(frequency: float, seconds: float = 1.0, *, rate: int = RATE, amplitude: float = 0.3) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def write(path: Path, signal: np.ndarray, rate: int = RATE) -> Path:
    import soundfile

    soundfile.write(path, signal, rate)
    return path


def named(path: Path, **settings: object) -> dict[str, float]:
    encoded = Audio(**settings).encode([path])
    assert encoded.rejects == {}
    return dict(zip(NAMES, encoded.vectors[0].tolist(), strict=True))


class TestFunctionals:
    def test_a_tone_has_its_pitch_and_its_loudness(self, tmp_path: Path) -> None:
        features = named(write(tmp_path / "a.wav", tone(220)))
        assert features["pitch_mean"] == pytest.approx(220, abs=0.5) and features["pitch_std"] < 0.5
        assert features["voiced"] == 1 and features["voicing_mean"] > 0.99 and features["duration"] == 1
        assert features["energy_mean"] == pytest.approx(10 * np.log10(0.3**2 / 2), abs=0.1)
        assert features["centroid_mean"] == pytest.approx(220, abs=2)
        assert features["zero_crossings_mean"] == pytest.approx(2 * 220 / RATE, rel=0.05)

    def test_rate_and_channels_do_not_matter(self, tmp_path: Path) -> None:
        high = tone(220, rate=44_100)
        for name, signal in (("mono.flac", high), ("stereo.wav", np.stack([high, high], 1))):
            features = named(write(tmp_path / name, signal, 44_100))
            assert features["pitch_p50"] == pytest.approx(220, abs=0.5)
            assert features["energy_p50"] == pytest.approx(10 * np.log10(0.3**2 / 2), abs=0.1)

    def test_pitch_is_taken_where_there_is_one(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).normal(0, 0.1, RATE)
        features = named(write(tmp_path / "a.wav", np.concatenate([tone(150), noise, np.zeros(RATE)])))
        assert features["voiced"] == pytest.approx(1 / 3, abs=0.03)
        assert features["pitch_p20"] == pytest.approx(150, abs=1) and features["pitch_p80"] == pytest.approx(150, abs=1)

    def test_silence_is_a_sound_too(self, tmp_path: Path) -> None:
        features = named(write(tmp_path / "a.wav", np.zeros(RATE)))
        assert (
            features["energy_mean"] == -100
            and features["pitch_mean"] == features["voiced"] == features["voicing_mean"] == 0
        )

    def test_the_rest_is_cut(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.wav", np.concatenate([tone(220), tone(440)]))
        features = named(path, longest=1.0)
        assert features["duration"] == 1 and features["pitch_p80"] == pytest.approx(220, abs=0.5)


class TestFrames:
    def test_a_glide_is_followed(self, tmp_path: Path) -> None:
        """From 100 to 400 Hz in two seconds, the phase being the integral of the frequency."""
        times = np.arange(2 * RATE) / RATE
        path = write(tmp_path / "a.wav", 0.3 * np.sin(2 * np.pi * (100 * times + 75 * times**2)))
        frames = Audio("frames").encode([path]).vectors
        assert frames.shape == (1 + (2 * RATE - 640) // 160, len(DESCRIPTORS))
        middles = (np.arange(len(frames)) * 160 + 200) / RATE  # of the 25 ms that are compared with the next period
        pitch = frames[:, DESCRIPTORS.index("pitch")]
        assert np.abs(pitch - (100 + 150 * middles)).max() < 5

    def test_hop_is_in_seconds(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.wav", tone(220))
        fine, coarse = (Audio("frames", hop).encode([path]).vectors for hop in (0.01, 0.05))
        assert (coarse == fine[::5]).all()

    @pytest.mark.parametrize("frequency", [80, 110, 220, 330, 440, 590])
    @pytest.mark.parametrize("harmonics", [1, 6])
    def test_pitch_over_the_range_of_voices(self, frequency: float, harmonics: int) -> None:
        signal = sum(tone(frequency * number) / number for number in range(1, harmonics + 1))
        pitch = describe(np.float32(signal), 160)[:, DESCRIPTORS.index("pitch")]
        assert np.abs(pitch - frequency).max() < 1

    def test_mfcc_against_dense_algebra_and_another_s_filters(self) -> None:
        audio_utils = pytest.importorskip("transformers.audio_utils")
        filters = audio_utils.mel_filter_bank(257, 40, 0, 8000, RATE, norm=None, mel_scale="htk")
        assert np.abs(mel_filters() - filters).max() < 1e-6
        signal = np.random.default_rng(0).normal(0, 0.1, 2000).astype(np.float32)
        part = signal[160 + 120 : 160 + 520] * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400))
        angles = 2 * np.pi * np.outer(np.arange(257), np.arange(400)) / 512
        power = (part @ np.cos(angles).T) ** 2 + (part @ np.sin(angles).T) ** 2
        expected = dct(np.log(power @ filters + 1e-10), norm="ortho")[:13]
        assert np.abs(describe(signal, 160)[1, :13] - expected).max() < 1e-3

    def test_long_sounds_are_described_piece_by_piece(self) -> None:
        signal = np.random.default_rng(0).normal(0, 0.1, 60 * RATE).astype(np.float32)
        whole = describe(signal, 160)
        assert np.abs(whole[2040:2060] - describe(signal[2040 * 160 :], 160)[:20]).max() < 1e-3


def test_what_cannot_be_heard_is_rejected(tmp_path: Path) -> None:
    short = write(tmp_path / "short.wav", tone(220, 0.05))
    words = tmp_path / "words.mp3"
    words.write_text("no sound at all")
    infinite = tmp_path / "infinite.wav"
    import soundfile

    soundfile.write(infinite, np.full(RATE, np.inf), RATE, subtype="FLOAT")
    encoded = Audio().encode([short, words, infinite, tmp_path, write(tmp_path / "good.wav", tone(220))])
    assert list(encoded.rejects) == [0, 1, 2, 3]
    assert encoded.rejects[0] == "the sound lasts 0.050 s; at least 0.1 s are needed"
    assert "not a sound" in encoded.rejects[1] and str(tmp_path) not in encoded.rejects[1]
    assert "not finite" in encoded.rejects[2]
    assert encoded.vectors[4].any() and not encoded.vectors[:4].any()


def test_settings_are_checked() -> None:
    with pytest.raises(UnknownNameError, match=r"No set of features is called 'frame'\. Did you mean 'frames'"):
        Audio("frame")  # type: ignore[arg-type]
    for wrong in ({"hop": 0}, {"hop": float("nan")}, {"longest": 0.01}, {"batch_size": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Audio(**wrong)


@pytest.mark.skipif(bool(OPENSMILE.missing()), reason=f"needs: {OPENSMILE.command}")
def test_egemaps(tmp_path: Path) -> None:
    low, high = (write(tmp_path / f"{pitch}.wav", tone(pitch, 2)) for pitch in (110, 220))
    encoded = Audio("egemaps").encode([low, high])
    assert encoded.vectors.shape == (2, 88) and encoded.rejects == {}
    semitones = encoded.vectors[:, 0]  # F0semitoneFrom27.5Hz_sma3nz_amean
    assert semitones == pytest.approx([24, 36], abs=0.2)


def test_egemaps_without_opensmile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(audio, "OPENSMILE", Requires(("no-such-smile",), "egemaps"))
    with pytest.raises(
        FeatureError,
        match=r"egemaps \(openSMILE, non-commercial use only\)' needs no-such-smile.*graphsocial\[egemaps\]",
    ):
        Audio("egemaps").encode([write(tmp_path / "a.wav", tone(220))])
