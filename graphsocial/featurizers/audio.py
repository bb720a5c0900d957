"""Sounds as numbers of their timbre, loudness and pitch: frame by frame, or summed up over the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from graphsocial.errors import InputError
from graphsocial.featurizers._acoustics import DESCRIPTORS, RATE, describe
from graphsocial.featurizers._settings import check_choice, check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, digest

Features = Literal["functionals", "frames", "egemaps"]
_STATISTICS = ("mean", "std", "p20", "p50", "p80")
NAMES = (*(f"{name}_{statistic}" for name in DESCRIPTORS for statistic in _STATISTICS), "voiced", "duration")
"""What the 92 numbers of `functionals` are."""
OPENSMILE = Requires(("opensmile",), "egemaps")
"""What `egemaps` needs besides; openSMILE's licence allows research and other non-commercial use only."""
_EGEMAPS = 88
_SHORTEST = 0.1  # seconds, of which a frame needs 0.04


@dataclass(frozen=True)
class Audio:
    """One vector per sound, or one per frame.

    Attributes:
        features: `functionals`: mean, standard deviation and the 20th, 50th and 80th percentile of each descriptor
            over the frames (of pitch over those that have one; all 0 if none has), the share of frames with a pitch,
            and the duration in seconds: 92-d. `frames`: the 18 descriptors of each frame as a sequence: 13 MFCC,
            energy, zero crossings, spectral centroid, pitch and voicing. `egemaps`: the 88 functionals of eGeMAPSv02
            (https://doi.org/10.1109/TAFFC.2015.2457417) by openSMILE, which comes with
            `pip install 'graphsocial[egemaps]'` and whose licence allows non-commercial use only.
        hop: seconds from one frame to the next; a frame spans 40 ms. eGeMAPS has its own.
        longest: seconds of a sound that are read; the rest is cut.
        batch_size: sounds at a time.

    Channels are averaged and resampled to 16 kHz. Read are WAV, FLAC, Ogg, MP3, AIFF and what else libsndfile reads.
    """

    features: Features = "functionals"
    hop: float = 0.01
    longest: float = 300.0
    batch_size: int = field(default=16, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("audio",)
    requires: ClassVar[Requires] = Requires(("soundfile",), "audio")

    def __post_init__(self) -> None:
        check_choice("set of features", self.features, Features)
        check_minimum(self, 1, "batch_size")
        if not 1 / RATE <= self.hop <= 60:
            raise InputError(f"hop is in seconds, from one sample (1/{RATE}) to 60, not {self.hop}.")
        if not self.longest >= _SHORTEST:
            raise InputError(f"longest is in seconds, at least {_SHORTEST}, not {self.longest}.")

    @property
    def sequences(self) -> bool:
        """Whether a sound becomes a sequence of frames."""
        return self.features == "frames"

    @property
    def dimension(self) -> int:
        """D, which follows from `features` alone."""
        return {"functionals": len(NAMES), "frames": len(DESCRIPTORS), "egemaps": _EGEMAPS}[self.features]

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`."""
        packages = ("soundfile", "scipy", *(OPENSMILE.distributions if self.features == "egemaps" else ()))
        return digest(self, weights="acoustics, 1", packages=packages)

    def encode(self, items: Sequence[Path]) -> Encoded:
        """Encode sound files; returns (N, D) or (ΣT, 18) float32 and rejects what is missing, damaged or too short.

        Raises:
            FeatureError: soundfile, or for `egemaps` opensmile, is not installed.
        """
        self.requires.check("audio")
        if self.features == "egemaps":
            OPENSMILE.check("egemaps (openSMILE, non-commercial use only)")
        parts: list[NDArray[np.float32]] = []
        rejects: dict[int, str] = {}
        for row, path in enumerate(items):
            signal = _read(path, self.longest)
            if isinstance(signal, str):
                rejects[row] = signal
            nothing = np.zeros((0 if self.sequences else 1, self.dimension), np.float32)
            parts.append(nothing if isinstance(signal, str) else self._describe(signal))
        encoded = Encoded.of_sequences(parts, self.dimension, rejects)
        return encoded if self.sequences else Encoded(encoded.vectors, encoded.rejects)

    def _describe(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """(T, D), T being 1 but for frames."""
        if self.features == "egemaps":
            return np.asarray(_smile().process_signal(signal, RATE), np.float32)
        frames = describe(signal, max(round(self.hop * RATE), 1))
        return frames if self.sequences else _functionals(frames, len(signal) / RATE)[None]


def _functionals(frames: NDArray[np.float32], duration: float) -> NDArray[np.float32]:
    """(92,), in the order of `NAMES`, from (T, 18)."""
    pitch = frames[:, DESCRIPTORS.index("pitch")]
    voiced = pitch > 0
    numbers: list[float] = []
    for name, values in zip(DESCRIPTORS, frames.T.astype(np.float64), strict=True):
        values = values[voiced] if name == "pitch" else values
        values = values if len(values) else np.zeros(1)
        numbers += [values.mean(), values.std(), *np.percentile(values, (20, 50, 80))]
    return np.array([*numbers, voiced.mean(), duration], np.float32)


def _read(path: Path, longest: float) -> NDArray[np.float32] | str:
    """(n,) samples at 16 kHz, the mean of the channels, or why there are none."""
    import soundfile
    from scipy.signal import resample_poly

    if not path.is_file():
        return "there is no such file"
    try:
        with soundfile.SoundFile(path) as file:
            rate = int(file.samplerate)
            signal = file.read(int(longest * rate), dtype="float32", always_2d=True).mean(axis=1)
    except (soundfile.SoundFileError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).replace(str(path), path.name)
        return f"the file is not a sound of a format that is read ({reason})"
    if len(signal) < _SHORTEST * rate:
        return f"the sound lasts {len(signal) / rate:.3f} s; at least {_SHORTEST} s are needed"
    if not np.isfinite(signal).all():
        return "the sound has samples that are not finite numbers"
    common = np.gcd(rate, RATE)
    resampled = signal if rate == RATE else resample_poly(signal, RATE // common, rate // common)
    return np.asarray(resampled, np.float32)


@lru_cache(maxsize=1)
def _smile() -> Any:
    import opensmile

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )
