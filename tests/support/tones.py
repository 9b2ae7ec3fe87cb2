"""Tones: to be played in desktops, and found again in what has come of them."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence
from pathlib import Path

RATE = 48000
LOUD = 12000  # of 32767


def tone_samples(frequency: float, seconds: float) -> bytes:
    """A tone, on two channels of 16 bits."""
    frames = (round(LOUD * math.sin(2 * math.pi * frequency * frame / RATE)) for frame in range(int(RATE * seconds)))
    return array.array("h", [value for frame in frames for value in (frame, frame)]).tobytes()


def write_tone(path: Path, frequency: float, seconds: float) -> list[str]:
    """Write a tone where every user can read it; the command that plays it once."""
    path.write_bytes(tone_samples(frequency, seconds))
    path.chmod(0o644)
    return ["paplay", "--raw", "--format=s16le", f"--rate={RATE}", "--channels=2", "--latency-msec=50", str(path)]


def strength(samples: Sequence[float], frequency: float, rate: int = RATE) -> float:
    """How loud a tone is in samples of one channel, as the height of its wave: Goertzel's algorithm."""
    factor = 2 * math.cos(2 * math.pi * frequency / rate)
    last = before = 0.0
    for value in samples:
        last, before = value + factor * last - before, last
    return 2 * math.sqrt(max(0.0, last * last + before * before - factor * last * before)) / max(1, len(samples))
