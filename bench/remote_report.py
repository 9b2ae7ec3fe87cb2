"""The figures of desktops in the browser as markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from bench.load import percentile
from bench.remote import IDLE_PICTURE, OURS, SIZE, TCP, Idle, RemoteFigures
from bench.remote_browser import CONNECTED, PAGE, PICTURE, WINDOW, Pictures
from bench.report import MISSING, number, table

WANTED_MS = 500
WANTED_SHARE = 70
WANTED_ADDED_MS = 2
WANTED_MB = 150
STEPS = {
    PAGE: "the desktop's page is there",
    CONNECTED: "noVNC is connected",
    PICTURE: "first picture",
    WINDOW: "the xterm's window",
}


def report(result: RemoteFigures) -> str:
    """Relays, idle connections, and the browser."""
    width, height = IDLE_PICTURE
    text = [
        "### The websocket service beside a direct connection",
        f"One Xvnc, {SIZE[0]} × {SIZE[1]}, raw pixels; the service and its peer reach it by its Unix socket. "
        "Throughput: the whole screen is asked for again and again; MB of pixels a second, all ways in turns of a "
        "quarter of a second, medians, and the share of what a direct TCP connection in the same round has (first and "
        "third quartile). Processor: ms of the program for one MB. Round trip: from asking for one pixel until it is "
        "there, ms.",
        table(
            ("", "MB/s", "% of direct TCP", "wanted", "processor", "round trip, p50 / p95", "added, p50", "wanted"),
            _relays(result),
        ),
        "### Idle connections",
        f"Connections that have had a picture of {width} × {height} each and now only answer pings. "
        "Memory: proportional share of all processes of the program, in MB. Processor: % of one core. "
        "Connecting: until the first pixel, one after another, ms; ours with the making of the token, which is the "
        "portal's work.",
        table(
            ("", "connections", "MB without", "MB with", "wanted", "MB for each", "processor", "connecting, p50 / p95"),
            map(_idle, result.idle),
        ),
        f"A further desktop has a process for its script: {number(result.desktop)} MB.",
    ]
    if result.pictures is not None:
        text += _pictures(result.pictures)
    return "\n\n".join(text)


def _relays(result: RemoteFigures) -> Iterator[tuple[str, ...]]:
    direct = statistics.median(result.trips[TCP])
    for name, rates in result.rates.items():
        shares = [100 * rate / other for rate, other in zip(rates, result.rates[TCP], strict=True)]
        low, middle, high = statistics.quantiles(shares, n=4)
        cost = result.costs.get(name)
        trips = result.trips[name]
        yield (
            name,
            number(statistics.median(rates)),
            f"{middle:.0f} ({low:.0f}–{high:.0f})",
            f"≥ {WANTED_SHARE}" if name == OURS else "",
            number(statistics.mean(cost)) if cost else MISSING,
            _two(trips),
            number(1000 * (statistics.median(trips) - direct)) if cost else MISSING,
            f"< {WANTED_ADDED_MS}" if name == OURS else "",
        )


def _two(seconds: Sequence[float]) -> str:
    times = sorted(1000 * each for each in seconds)
    return f"{number(percentile(times, 0.5))} / {number(percentile(times, 0.95))}"


def _idle(one: Idle) -> tuple[str, ...]:
    wanted = f"< {WANTED_MB}" if one.name == OURS else ""
    each = (one.after - one.before) / one.count
    figures = (number(one.before), number(one.after), wanted, number(each), number(one.processor))
    return (one.name, str(one.count), *figures, _two(one.connecting))


def _pictures(pictures: Pictures) -> list[str]:
    """Rows by what can be seen."""

    def row(mark: str, words: str) -> tuple[str, ...]:
        times = [marks[mark] for marks in pictures.others]
        wanted = f"< {WANTED_MS}" if mark == PICTURE else ""
        again = [marks[mark] for marks in pictures.reloads]
        ours = (number(statistics.median(times)), number(max(times)), wanted)
        return (words, *ours, number(pictures.first[mark]), number(statistics.median(again)))

    return [
        "### From the click to the first picture",
        f"Chromium, x2gobroker-daemon and x2gobroker-remote; TigerVNC with an xterm, started for each of "
        f"{len(pictures.others)} clicks on Start; ms since the click, by what can be seen on noVNC's canvas. "
        "First visit: with an empty cache. Reload: the page of a desktop that runs, loaded anew.",
        table(
            ("", "median", "slowest", "wanted", "first visit", "reload, median"),
            (row(mark, words) for mark, words in STEPS.items()),
        ),
    ]
