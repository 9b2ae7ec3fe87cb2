"""From a key to the picture of its letter: in Chromium, and for VNC clients without a browser, at the same desktop."""

from __future__ import annotations

import json
import random
import select
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import WrongAnswerError, percentile
from bench.plan import Plan, progress
from bench.remote import held_back
from bench.remote_client import Plain, Viewer, by_unix, by_websocket
from bench.remote_keys import KEYS, PAUSE_MS, USER, desktop_with_shell, press
from bench.report import number, table
from tests.support.portal_desktops import PortalDesktops

ROUNDS = 4
CHROMIUM, SERVICE, DIRECT = "Chromium, on the desktop's page", "a VNC client, by our service", "the same, directly"
LETTER, BACKSPACE = 0x78, 0xFF08  # keysyms
AREA = (400, 60)  # where Chromium's page is looked at, too
QUIET_SECONDS = 0.5
MOST_PIXELS = AREA[0] * AREA[1] // 2  # a letter is smaller


@dataclass
class KeyFigures:
    """Milliseconds from a key to its picture, by way, and of these one list for each round."""

    rounds: dict[str, list[list[float]]] = field(default_factory=dict)


def measure(plan: Plan) -> KeyFigures:
    """All ways in turns, each alone at one desktop."""
    result = KeyFigures()
    count = KEYS // (ROUNDS * 2 if plan.quick else ROUNDS)
    with held_back(), desktop_with_shell() as (site, person):
        address = person.url
        for turn in range(2 if plan.quick else ROUNDS):
            progress(f"keys: round {turn + 1}")
            person.go(address)
            person.wait_for_phase("connected")
            person.wait_for_colours(2)
            result.rounds.setdefault(CHROMIUM, []).append(press(person, count))
            person.go("about:blank")
            for name, connect in ways(site).items():
                result.rounds.setdefault(name, []).append(_type(Viewer(connect()), count))
    return result


def ways(site: PortalDesktops) -> dict[str, Callable[[], Plain]]:
    """How clients without a browser come to the only desktop of a site."""
    (slot,) = site.service.desktops.of_user(USER)
    (state,) = site.service.scripts_state.rglob("state.json")
    socket = Path(json.loads(state.read_text(encoding="utf-8"))["socket"])

    def by_service() -> Plain:
        token = site.service.desktops.token(slot, USER, "127.0.0.1", False)
        return by_websocket(site.service.port, token, origin=site.url.removesuffix("/portal/"))

    return {SERVICE: by_service, DIRECT: lambda: by_unix(socket)}


def _type(viewer: Viewer, count: int) -> list[float]:
    """Letters and Backspace in turns, as in the browser."""
    try:
        viewer.ask(*AREA, changes=True)
        _rest(viewer, QUIET_SECONDS)
        early = count // 10
        times = [_key(viewer, BACKSPACE if turn % 2 else LETTER) for turn in range(early + count)]
        return times[early:]
    finally:
        viewer.close()


def _key(viewer: Viewer, keysym: int) -> float:
    """One key: milliseconds until the change that it makes is there as a whole."""
    begin = time.perf_counter()
    viewer.press(keysym)
    pixels = viewer.update()
    spent = 1000 * (time.perf_counter() - begin)
    if not 0 < pixels < MOST_PIXELS:
        raise WrongAnswerError(f"{pixels} pixels have changed, which is no letter")
    viewer.ask(*AREA, changes=True)
    _rest(viewer, random.uniform(*PAUSE_MS) / 1000)
    return spent


def _rest(viewer: Viewer, seconds: float) -> None:
    """Take changes until there was none for so long; one is asked for afterwards as before."""
    while select.select([viewer.stream.socket], [], [], seconds)[0]:
        viewer.update()
        viewer.ask(*AREA, changes=True)


def report(result: KeyFigures) -> str:
    """One table."""
    return "\n\n".join(
        (
            "### From a key to its letter",
            f"TigerVNC, 1280 × 800, an xterm whose shell echoes; {sum(map(len, result.rounds[CHROMIUM]))} keys each "
            f"way, letters and Backspace in turns, in {len(result.rounds[CHROMIUM])} rounds. In Chromium: ms from the "
            "key's event in the page until the canvas shows another picture, which is looked at in each frame. Without "
            "a browser: until the changed pixels are there, raw. The ratio to the direct connection is that of the "
            "medians of one round: the median of the rounds (smallest–largest).",
            table(("", "p50", "p95", "p50 above direct", "times as long as direct"), map(_row(result), result.rounds)),
        )
    )


def _row(result: KeyFigures) -> Callable[[str], tuple[str, ...]]:
    direct = _medians(result.rounds[DIRECT])

    def row(name: str) -> tuple[str, ...]:
        rounds = result.rounds[name]
        times = sorted(each for one in rounds for each in one)
        figures = (number(percentile(times, 0.5)), number(percentile(times, 0.95)))
        if name == DIRECT:
            return (name, *figures, "–", "1")
        ratios = [ours / other for ours, other in zip(_medians(rounds), direct, strict=True)]
        above = percentile(times, 0.5) - statistics.median(each for one in result.rounds[DIRECT] for each in one)
        shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        return (name, *figures, number(above), shown)

    return row


def _medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(times) for times in rounds]
