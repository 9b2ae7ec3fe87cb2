"""What plays sound in the page, in the Node.js of Playwright: with networks and clocks as a test wants them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable

from tests.support.tones import strength
from x2gobroker.portal.static import FOLDER

PLAYER = FOLDER / "portal" / "sound-player.js"
RATE, CHUNK, BLOCK = 48000, 960, 128
# a browser's sound thread: chunks come at their times, and blocks are asked for at a rate of its own
BROWSER = """
const { events, blocks, clock, tone } = JSON.parse(require("fs").readFileSync(0, "utf8"));
let Player;
globalThis.AudioWorkletProcessor = class { port = {}; };
globalThis.registerProcessor = (_name, found) => { Player = found; };
require(process.argv[1]);
const player = new Player();
const port = {};
player.port.onmessage({ data: port });
const chunk = (number, less) => {
  const rate = less ? 24000 : 48000, frames = rate / 50, step = less ? 1 : 2;
  const made = new DataView(new ArrayBuffer(1 + 2 * step * frames));
  made.setUint8(0, less ? 1 : 0);
  for (let index = 0; index < frames; index += 1) {
    const value = Math.round(12000 * Math.sin(2 * Math.PI * tone * (number * frames + index) / rate));
    for (let channel = 0; channel < step; channel += 1) made.setInt16(1 + 2 * (index * step + channel), value, true);
  }
  return made.buffer;
};
const out = [];
let next = 0;
for (let block = 0; block < blocks; block += 1) {
  const now = block * 128 / clock;
  while (next < events.length && events[next][0] <= now) {
    const [, number, less] = events[next];
    port.onmessage({ data: number === null ? null : chunk(number, less) });
    next += 1;
  }
  const left = new Float32Array(128), right = new Float32Array(128);
  player.process([], [[left, right]]);
  for (let index = 0; index < 128; index += 1) {
    out.push(Math.round(left[index] * 32768));
    if (!(Math.abs(left[index] - right[index]) < 1e-6)) throw new Error("the channels differ");
  }
}
process.stdout.write(JSON.stringify(out));
"""

Event = tuple[float, int | None, bool]


@dataclass
class Heard:
    """What has been played."""

    samples: list[int]

    def begins(self) -> float:
        """When the first sound was heard, in seconds."""
        return next(at for at, value in enumerate(self.samples) if abs(value) > 10) / RATE

    def part(self, begin: float, seconds: float) -> list[int]:
        """The samples of some seconds."""
        return self.samples[int(begin * RATE) : int((begin + seconds) * RATE)]

    def loud(self, begin: float, seconds: float, hertz: float = 400.0) -> float:
        """How loud a tone is there."""
        return strength(self.part(begin, seconds), hertz)

    def gaps(self, begin: float, seconds: float) -> int:
        """How many stretches of silence of a millisecond and more there are."""
        found, run = 0, 0
        for value in self.part(begin, seconds):
            run = run + 1 if abs(value) < 50 else 0
            found += run == 48
        return found


def play(events: list[Event], seconds: float, clock: float = RATE, tone: float = 400.0) -> Heard:
    """Have it play; `clock`: how many samples of the other side's seconds the sound card takes."""
    told: dict[str, Any] = {"events": sorted(events, key=lambda event: event[0]), "clock": clock, "tone": tone}
    told["blocks"] = int(seconds * RATE / BLOCK)
    done = subprocess.run(
        [compute_driver_executable()[0], "-e", BROWSER, str(PLAYER)],
        input=json.dumps(told), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Heard(json.loads(done.stdout))


def chunks(seconds: float, begin: float = 0.0, late: float = 0.0, less: bool = False) -> list[Event]:
    """A tone as it comes over a network that is even."""
    return [(begin + late + number * 0.02, number, less) for number in range(int(seconds / 0.02))]


@pytest.mark.parametrize("less", [False, True])
def test_it_is_heard_soon_and_without_a_break(less: bool) -> None:
    heard = play(chunks(6, 0.5, less=less), 6)
    assert 0.5 < heard.begins() < 0.57
    assert heard.gaps(0.6, 5.3) == 0
    assert heard.loud(1, 4) == pytest.approx(12000, rel=0.02)
    jumps = max(abs(one - other) for one, other in pairwise(heard.part(0.6, 5.3)))
    assert jumps < 12000 * 2 * 3.15 * 400 / RATE * 1.1  # as steep as the tone is, and no more


def test_a_network_that_is_uneven_gets_more_in_hand() -> None:
    """Every second, it holds everything for a tenth of one."""
    events = [(max(at, int(at) + 0.1), number, less) for at, number, less in chunks(40)]
    heard = play(events, 40)
    assert heard.gaps(1, 10) <= 5
    assert heard.gaps(15, 24) == 0


@pytest.mark.parametrize("clock", [RATE * 1.0003, RATE * 0.9997])
def test_clocks_that_differ(clock: float) -> None:
    """By three times of what they do: what gathers is played, and what is missing waited for."""
    heard = play(chunks(120), 119, clock)
    assert heard.gaps(1, 117) <= 2
    assert heard.loud(100, 1) > 6000


def test_what_is_late_is_left_out() -> None:
    """Two seconds of it come at once; from then on it is in time again."""
    events = [(at if not 2 <= at < 4 else 4.0, number, less) for at, number, less in chunks(4)]
    heard = play([*events, (4.01, None, False)], 8)
    assert heard.gaps(2.3, 1.6) >= 1
    assert heard.gaps(4.5, 3) == 1, "silence, when what was in hand is played: two seconds were not"
    assert max(map(abs, heard.part(4.4, 3))) < 50


def test_the_end_is_heard_to_the_end_and_the_next_sound_soon() -> None:
    quiet = [(1.02, None, False)]
    heard = play([*chunks(1), *quiet, *chunks(1, 5), (6.02, None, False), *chunks(0.04, 7), (7.03, None, False)], 8)
    first = len([value for value in heard.part(0, 2) if abs(value) > 50]) / RATE
    assert first == pytest.approx(1, rel=0.05)
    assert max(map(abs, heard.part(1.2, 3.7))) < 50
    assert heard.loud(5.2, 0.5) == pytest.approx(12000, rel=0.05)
    short = len([value for value in heard.part(6.9, 1) if abs(value) > 500]) / RATE
    assert short > 0.03, "a sound that is shorter than what should wait"


def test_silence_costs_no_more_in_hand() -> None:
    """A sound that ends is no fault of the network."""
    many = [event for begin in range(20) for event in (*chunks(0.4, begin), (begin + 0.45, None, False))]
    heard = play([*many, *chunks(1, 25)], 26)
    after = partial(heard.part, 25.0)
    begins = next(at for at, value in enumerate(after(1.0)) if abs(value) > 10) / RATE
    assert begins < 0.07


def test_what_is_no_chunk_does_no_harm() -> None:
    odd = BROWSER.replace(
        "const out = [];",
        """const out = [];
        for (const size of [0, 1, 2, 3, 4, 5, 6, 7]) port.onmessage({ data: new ArrayBuffer(size) });
        for (let kind = 0; kind < 256; kind += 1) port.onmessage({ data: new Uint8Array([kind, 1, 2, 1, 2]).buffer });
        """,
    )
    told = json.dumps({"events": chunks(1, 1), "blocks": int(2 * RATE / BLOCK), "clock": RATE, "tone": 400})
    done = subprocess.run(
        [compute_driver_executable()[0], "-e", odd, str(PLAYER)],
        input=told, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Heard(json.loads(done.stdout)).loud(1.3, 0.5) == pytest.approx(12000, rel=0.05)
