"""Sound of a desktop: how late it is, what it takes on the wire, and what it takes of a processor.

`python -m bench.sound` measures it, as root: from the start of a program that plays to the first of it that a page has,
by way of a PulseAudio of the desktop's, the process that records, and the service.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.support.accounts import Account, account_with_home, processes_of
from tests.support.processes import wait_until
from tests.support.remote import Remote, remote
from tests.support.tones import write_tone
from x2gobroker.remote.service import TOKEN_PREFIX
from x2gobroker.remote.sound.link import SOUND_PROTOCOL
from x2gobroker.remote.sound.messages import FULL
from x2gobroker.store import Slot

KIND = "Sound"
TIMES = 20
SECONDS = 20
TICKS = os.sysconf("SC_CLK_TCK")
WAIT_SECONDS = 30.0


class Page:
    """A page that hears a desktop. `bytes`: how many of sound have come."""

    def __init__(self, service: Remote, slot: Slot) -> None:
        words = [
            Subprotocol(SOUND_PROTOCOL),
            Subprotocol(TOKEN_PREFIX + service.desktops.token(slot, slot.username, "127.0.0.1")),
        ]
        address, origin = f"ws://127.0.0.1:{service.port}/websockify", Origin(f"http://127.0.0.1:{service.port}")
        self.websocket: ClientConnection = connect(
            address, subprotocols=words, origin=origin, compression=None, proxy=None
        )
        self.bytes = 0
        self.reduced = 0
        self._chunks = 0

    def hear(self, seconds: float) -> bool:
        """Wait so long for one more chunk; whether it has come, and not a word that it is quiet."""
        try:
            found = self.websocket.recv(timeout=seconds)
        except TimeoutError:
            return False
        if isinstance(found, str):
            return False
        self._chunks += 1
        self.bytes += len(found)
        self.reduced += found[0] != FULL
        self.websocket.send(json.dumps({"do": "taken", "chunks": self._chunks}))
        return True


def first(playing: subprocess.Popen[Any], page: Page, began: float) -> float:
    """Milliseconds until the first chunk, and wait for the end of the sound."""
    assert page.hear(WAIT_SECONDS)
    found = (time.monotonic() - began) * 1000
    while page.hear(WAIT_SECONDS):
        pass
    playing.wait()
    return found


def cost(service: Remote, account: Account, page: Page) -> str:
    """What comes in SECONDS, and what each program takes of a processor meanwhile."""
    pids = {number: name_of(number) for number in processes_of(account.name)}
    assert service.program is not None
    pids[service.program.pid] = "service"
    before, bytes_before = {pid: ticks(pid) for pid in pids}, page.bytes
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        page.hear(0.5)
    shares = {name: (ticks(pid) - before[pid]) / TICKS / SECONDS for pid, name in pids.items()}
    told = ", ".join(f"{name} {100 * share:.1f} %" for name, share in sorted(shares.items()) if share)
    return f"{(page.bytes - bytes_before) / SECONDS / 1000:.1f} kB/s; {told}"


def name_of(pid: int) -> str:
    """What a process is called here."""
    name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    return "sender" if name.startswith(("x2gobroker", "python")) else name


def ticks(pid: int) -> int:
    """The processor time that a process has had, in ticks; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def main() -> int:
    """Measure, and print it."""
    with account_with_home("Measured+1") as account:
        account.home.chmod(0o755)
        options = {"account": account.name, "command": ["sleep", "1000"], "sizes": ["1280x800"]}
        kind = {"script": "tigervnc.py", "count": 1, "pam-service": "", "sound": "out", "options": options}
        with remote({KIND: kind}) as service:
            slot = service.reserve(KIND)
            service.connect(slot).close()
            page = Page(service, slot)
            (path,) = service.scripts_state.glob("**/sound")
            environment = {"PULSE_SERVER": f"unix:{path}", "HOME": str(account.home), "PATH": "/usr/bin:/bin"}
            wait_until(lambda: "parec" in map(name_of, processes_of(account.name)), "a recorder")

            def play(words: list[str]) -> subprocess.Popen[Any]:
                return subprocess.Popen(words, env=environment, user=account.name, group=account.name)

            short, long = (write_tone(account.home / f"{seconds}.raw", 440, seconds) for seconds in (0.3, SECONDS + 10))
            times = []
            for _ in range(TIMES):
                began = time.monotonic()
                times.append(first(play(short), page, began))
            times.sort()
            print(f"first of it after, ms: p50 {statistics.median(times):.0f}, p95 {times[int(0.95 * TIMES)]:.0f}")
            print(f"in silence: {cost(service, account, page)}")
            playing = play(long)
            page.hear(WAIT_SECONDS)
            print(f"while it plays: {cost(service, account, page)}; {page.reduced} chunks reduced")
            playing.terminate()
            page.websocket.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
