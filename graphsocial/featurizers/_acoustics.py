"""What is measured of each frame of a sound: timbre, energy, zero crossings, brightness and pitch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
RATE = 16_000
"""Samples a second; sounds of another rate are resampled."""
FRAME = 640
"""Samples that a frame spans: 40 ms, three periods of the lowest voice."""
MFCCS = 13
DESCRIPTORS = (
    *(f"mfcc_{number}" for number in range(1, MFCCS + 1)),
    *("energy", "zero_crossings", "centroid", "pitch", "voicing"),
)
"""What the numbers of a frame are; see `describe`."""
_WINDOW = 400  # 25 ms, the middle of a frame, for all but pitch
_FFT = 512
_MELS = 40
_FLOOR = 1e-10  # -100 dB: silence has a logarithm too
_LOWEST, _HIGHEST = 75.0, 600.0  # Hz, of a voice
_DIP = 0.15  # how unlike the next period may be; YIN's threshold is 0.1 to 0.15
_AT_ONCE = 2048  # frames


def describe(signal: NDArray[np.float32], hop: int) -> NDArray[np.float32]:
    """The descriptors of each frame.

    Mel-frequency cepstral coefficients (40 bands up to 8 kHz, natural logarithm, orthonormal DCT); `energy`, the
    mean square in decibels of full scale; `zero_crossings`, the share of neighboring samples of different sign;
    `centroid`, the mean frequency in Hz weighted by power; `pitch` in Hz by YIN, 0 where the frame has none between
    75 and 600 Hz; `voicing`, 0 to 1, how alike neighboring periods are.

    Args:
        signal: (n,) samples at 16 kHz, -1..1; at least `FRAME` of them.
        hop: samples from one frame to the next.

    Returns:
        (T, 18), T being 1 + (n - 640) // hop.
    """
    frames = np.lib.stride_tricks.sliding_window_view(signal, FRAME)[::hop]  # (T, 640), a view
    parts = [_describe(frames[start : start + _AT_ONCE]) for start in range(0, len(frames), _AT_ONCE)]
    return np.concatenate(parts).astype(np.float32)


def _describe(frames: NDArray[np.float32]) -> Numbers:
    from scipy.fft import dct  # a quarter of a second, which only those who hear should wait

    margin = (FRAME - _WINDOW) // 2
    middle = frames[:, margin : margin + _WINDOW].astype(np.float64)
    power = np.abs(np.fft.rfft(middle * np.hanning(_WINDOW + 1)[:-1], _FFT)) ** 2  # (t, 257)
    mfcc = dct(np.log(power @ mel_filters() + _FLOOR), norm="ortho")[:, :MFCCS]
    energy = 10 * np.log10((middle**2).mean(1) + _FLOOR)
    crossings = (np.diff(np.signbit(middle), axis=1)).mean(1)
    centroid = power @ np.fft.rfftfreq(_FFT, 1 / RATE) / (power.sum(1) + _FLOOR)
    return np.column_stack([mfcc, energy, crossings, centroid, *_pitch(frames.astype(np.float64))])


@lru_cache(maxsize=1)
def mel_filters() -> Numbers:
    """(257, 40): triangles of height 1, evenly spaced in mel = 2595 log10(1 + f / 700), overlapping by half."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), _MELS + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(_FFT, 1 / RATE)[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    filters: Numbers = np.minimum(rising, falling).clip(0)
    return filters


def _pitch(frames: Numbers) -> tuple[Numbers, Numbers]:
    """Pitch in Hz and voicing of each frame, (t,) each, by YIN (https://doi.org/10.1121/1.1458024).

    d(τ) = Σ_j (x_j - x_{j+τ})² over a window of 25 ms; d'(τ) = d(τ) τ / Σ_{s≤τ} d(s). The pitch is that of the first
    dip of d' below a threshold, made finer by a parabola through its neighbors.
    """
    longest = int(RATE / _LOWEST) + 1
    first = int(RATE / _HIGHEST)
    frames = frames - frames.mean(1, keepdims=True)
    size = 2 * FRAME  # the circle is wide enough that nothing wraps around
    spectrum = np.fft.rfft(frames[:, :_WINDOW], size).conj() * np.fft.rfft(frames, size)
    products = np.fft.irfft(spectrum, size)[:, : longest + 1]  # Σ x_j x_{j+τ}
    sums = np.concatenate([np.zeros((len(frames), 1)), np.cumsum(frames**2, axis=1)], axis=1)
    lags = np.arange(longest + 1)
    energies = sums[:, lags + _WINDOW] - sums[:, lags]  # Σ x²_{j+τ}
    difference = (energies[:, :1] + energies - 2 * products).clip(0)
    difference[:, 0] = 0
    means = np.cumsum(difference, axis=1)[:, 1:] / lags[1:]
    silent = energies[:, 0] < _FLOOR * _WINDOW
    dips = np.ones_like(difference)
    np.divide(difference[:, 1:], means, out=dips[:, 1:], where=(means > 0) & ~silent[:, None])
    inside = dips[:, first:-1]
    lowest = (inside < _DIP) & (inside <= dips[:, first - 1 : -2]) & (inside <= dips[:, first + 1 :])
    voiced = lowest.any(1)
    lag = np.where(voiced, lowest.argmax(1), inside.argmin(1)) + first
    before, here, after = (np.take_along_axis(dips, lag[:, None] + shift, 1)[:, 0] for shift in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend > 0)
    return np.where(voiced, RATE / (lag + shift.clip(-1, 1)), 0.0), (1 - here).clip(0, 1)
