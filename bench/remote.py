"""Desktops in the browser: what the websocket service costs beside a direct connection, and idle connections."""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.load import WrongAnswerError
from bench.plan import Plan, progress
from bench.remote_browser import Pictures, pictures
from bench.remote_client import Plain, Viewer, by_tcp, by_unix, by_websocket
from bench.world import memory
from tests.support.processes import free_port, running, wait_until
from tests.support.remote import Remote, remote

SIZE = (1920, 1080)
ROUNDS = 24
TURNS_A_SECOND = 4  # short ones: what else the machine does then hits neighbours alike
TRIPS = 50  # in each round
IDLE = 500
IDLE_OF_PEER = 100  # each is a process there
IDLE_SECONDS = 22.0  # the service sends a ping every 20 s
IDLE_BUFFER = 1 << 16
IDLE_PICTURE = (640, 480)
DESKTOPS = 20
PEER = "websockify==0.13.0"
PEER_SECONDS = 60.0
PEER_PINGS = 20  # seconds, as ours
TCP, UNIX, OURS, WEBSOCKIFY = "direct, TCP", "direct, Unix socket", "ours", "websockify"
KIND, MANY = "Measured", "Many"
# the VNC server is there already: it is the same one for all
SCRIPT = """\
from nexus_remote_service import RemoteServiceScript


class There(RemoteServiceScript):
    def start(self, token, timestamp=0, options={}):
        self.set_unix_socket(self._common_options["socket"])
        return super().start(token, timestamp, options)

    def stop(self):
        return super().stop()

    def poll(self):
        return True


def realize_service(name="", count=1, index=0, common_options=dict()):
    return There(name, count=count, index=index, common_options=common_options)
"""
Connect = Callable[[int], Plain]  # by the size of the client's buffer


@dataclass(frozen=True)
class Idle:
    """Connections that only are there. Megabytes are proportional shares, of all processes of the program."""

    name: str
    count: int
    before: float
    after: float
    connecting: list[float]  # seconds until the first pixel
    processor: float  # percent of one core


@dataclass
class RemoteFigures:
    """Everything of this part, by what the client is connected to."""

    rates: dict[str, list[float]] = field(default_factory=dict)  # megabytes of pixels a second, by round
    costs: dict[str, list[float]] = field(default_factory=dict)  # the program's processor ms for a megabyte, by round
    trips: dict[str, list[float]] = field(default_factory=dict)  # seconds
    idle: list[Idle] = field(default_factory=list)
    desktop: float = 0.0  # megabytes of the service for a further desktop
    pictures: Pictures | None = None


def measure(plan: Plan) -> RemoteFigures:
    """The relays in turns on one Xvnc, idle connections, and then a browser."""
    result = RemoteFigures()
    with contextlib.ExitStack() as stack:
        stack.enter_context(held_back())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-remote-")))
        peer = _peer(folder) if "reference" in plan.parts else None
        port = stack.enter_context(_xvnc(folder))
        unix = folder / "vnc"
        service = stack.enter_context(_service(unix))
        slot = service.reserve(KIND)

        def ours(buffer: int) -> Plain:
            return by_websocket(service.port, service.desktops.token(slot, slot.username, "127.0.0.1", False), buffer)

        ways: dict[str, tuple[Connect, int | None]] = {
            TCP: (lambda _: by_tcp(port), None),
            UNIX: (lambda _: by_unix(unix), None),
            OURS: (ours, _pid(service)),
        }
        if peer is not None:
            peer_port, process = stack.enter_context(_websockify(peer, folder, unix))
            ways[WEBSOCKIFY] = (lambda buffer: by_websocket(peer_port, buffer=buffer), process)
        _relays(plan, ways, result)
        for name, (connect, number) in ways.items():
            if number is not None:
                progress(f"remote: idle connections, {name}")
                result.idle.append(_idle(plan, name, connect, number))
        result.desktop = _desktops(service)
    progress("remote: a browser")
    with held_back():
        result.pictures = pictures(plan)
    return result


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """What the programs say, only where something fails: stdout is for the tables."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise


@contextlib.contextmanager
def _xvnc(folder: Path) -> Iterator[int]:
    """One VNC server on a TCP port, which is given, and on the Unix socket `vnc`."""
    port, display = free_port(), 50000 + os.getpid() % 10000
    argv = ["Xvnc", f":{display}", "-geometry", f"{SIZE[0]}x{SIZE[1]}", "-depth", "24", "-SecurityTypes", "None"]
    argv += ["-rfbport", str(port), "-interface", "127.0.0.1", "-rfbunixpath", str(folder / "vnc"), "-rfbunixmode"]
    argv += ["0600", "-AlwaysShared", "-nolisten", "tcp", "-ac"]
    with running(argv, folder / "xvnc.log", port=port):
        wait_until((folder / "vnc").exists, "the socket of Xvnc")
        yield port


@contextlib.contextmanager
def _service(unix: Path) -> Iterator[Remote]:
    options = {"script": "there.py", "options": {"socket": str(unix)}}
    types = {KIND: {**options, "count": 1}, MANY: {**options, "count": DESKTOPS}}
    limits = f"remote-connections-per-user = {IDLE + 10}\nremote-connections-per-address = {IDLE + DESKTOPS + 10}"
    with remote(types, limits, start=False) as service:
        service.write_script("there.py", SCRIPT)
        service.start()
        yield service


def _pid(service: Remote) -> int:
    assert service.program is not None
    return service.program.pid


def _peer(folder: Path) -> Path | None:
    """websockify in an environment of its own; None where that cannot be had in time."""
    progress("remote: installing websockify")
    end = time.monotonic() + PEER_SECONDS
    place = folder / "websockify"
    try:
        for argv in (
            [sys.executable, "-m", "venv", str(place)],
            [str(place / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", PEER],
        ):
            subprocess.run(argv, check=True, timeout=end - time.monotonic(), capture_output=True)
    except (subprocess.SubprocessError, OSError) as error:
        progress(f"remote: left out, as it cannot be installed: {PEER}: {error}")
        return None
    return place / "bin/websockify"


@contextlib.contextmanager
def _websockify(program: Path, folder: Path, unix: Path) -> Iterator[tuple[int, int]]:
    """Its port and process ID."""
    port = free_port()
    argv = [str(program), f"--unix-target={unix}", f"--heartbeat={PEER_PINGS}", f"127.0.0.1:{port}"]
    with running(argv, folder / "websockify.log", port=port) as started:
        yield port, started.pid


def _relays(plan: Plan, ways: dict[str, tuple[Connect, int | None]], result: RemoteFigures) -> None:
    """All ways in turn: the whole screen again and again, then one pixel again and again."""
    with contextlib.ExitStack() as stack:
        viewers = {}
        for name, (connect, _) in ways.items():
            viewers[name] = Viewer(connect(1 << 20))
            stack.callback(viewers[name].close)
        if len({viewer.whole() for viewer in viewers.values()}) != 1:
            raise WrongAnswerError("not everybody sees the same picture")
        progress("remote: relays")
        for _ in range(ROUNDS // 3 if plan.quick else ROUNDS):
            for name, viewer in viewers.items():
                process = ways[name][1]
                before = _processor(process)
                begin = time.perf_counter()
                rate = viewer.frames(plan.duration / TURNS_A_SECOND)
                megabytes = rate * (time.perf_counter() - begin)
                result.rates.setdefault(name, []).append(rate)
                if process is not None:
                    result.costs.setdefault(name, []).append(1000 * (_processor(process) - before) / megabytes)
            for name, viewer in viewers.items():
                result.trips.setdefault(name, []).extend(viewer.round_trips(TRIPS))


def _idle(plan: Plan, name: str, connect: Connect, process: int) -> Idle:
    """Open connections, each of which gets a picture, and let them be."""
    count = (IDLE if name == OURS else IDLE_OF_PEER) // (5 if plan.quick else 1)
    before = _memory(process)
    viewers: list[Viewer] = []
    connecting: list[float] = []
    try:
        for _ in range(count):
            Plan.clock(lambda: viewers.append(_looking(connect)), connecting)
        for viewer in viewers:
            viewer.ask(*IDLE_PICTURE)
            viewer.take(IDLE_PICTURE[0] * IDLE_PICTURE[1])
        seconds = IDLE_SECONDS / (4 if plan.quick else 1)
        used = _processor(process)
        _let_be([viewer.stream for viewer in viewers], seconds)
        used = _processor(process) - used
        return Idle(name, count, before, _memory(process), connecting, 100 * used / seconds)
    finally:
        for viewer in viewers:
            viewer.close()


def _looking(connect: Connect) -> Viewer:
    made = Viewer(connect(IDLE_BUFFER))
    made.ask(1, 1)
    made.take(1)
    return made


def _let_be(streams: list[Plain], seconds: float) -> None:
    """Wait, and answer pings, as browsers do."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.socket, selectors.EVENT_READ, stream)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                key.data.idle()


def _desktops(service: Remote) -> float:
    """Megabytes of the service for each further desktop, which has a process for its script."""
    before = _memory(_pid(service))
    viewers = []
    try:
        for number in range(DESKTOPS):
            slot = service.reserve(MANY, f"user{number}", DESKTOPS)
            token = service.desktops.token(slot, slot.username, "127.0.0.1", False)
            viewers.append(_looking(partial(by_websocket, service.port, token)))
        return (_memory(_pid(service)) - before) / DESKTOPS
    finally:
        for viewer in viewers:
            viewer.close()


def _tree(process: int) -> list[int]:
    """A process and all below it that belong to it, not the VNC server."""
    found = [process]
    with contextlib.suppress(OSError):
        for word in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            found += _tree(int(word))
    return found


def _memory(process: int) -> float:
    return sum(memory(number)[1] for number in _tree(process))


def _processor(process: int | None) -> float:
    """Seconds that a program has used so far."""
    ticks = 0
    for number in _tree(process) if process is not None else ():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(one) for one in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")
