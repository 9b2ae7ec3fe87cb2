"""An upgrade to a version whose store has another schema, while people log in and work on desktops."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from http.client import HTTPException
from pathlib import Path

from tests.packages.booted.bare import PYTHON, bare, figure, release  # noqa: F401 - a fixture
from tests.packages.booted.newer import MADE_UP
from tests.support.processes import wait_until
from tests.support.rfb_client import RfbClient
from tests.support.systemd import Machine
from tests.support.unit_site import REMOTE, SERVICES, desktop_token, log_in

REMOTE_PORT = 6080
DESKTOPS = 5
RATE = 20.0  # logins a second, and fewer where the machine cannot answer as many, as it has other things to do
AT_ONCE = 40
AFTERWARDS = 10.0  # seconds of logins behind the upgrade
CONFIG = """\
[global]
default-auth-mech = pam
enable-portal = true
penalty-trusted-networks = 127.0.0.0/8
remote-session-config = /etc/x2go/broker/session-types.json

[broker_inifile]
enable = true
"""
TYPES = '{"Shell": {"script": "tigervnc.py", "count": 5, "options": {"command": ["xterm"], "display_base": 70}}}'
COLUMNS = """\
import sqlite3, sys
store = sqlite3.connect("/var/lib/x2gobroker/cookies/x2gobroker.sqlite")
print(*(row[1] for row in store.execute(f"PRAGMA table_info({sys.argv[1]})")))
"""
PROFILES = "[desk]\nname = Desk\nhost = ts01.example.org\nacl-users-allow = ALL\n"


class Load:
    """So many logins a second, each in a thread of its own, until it is stopped; AT_ONCE wait for answers at most."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.took: list[float] = []
        self.seconds = 0.0
        self._places = threading.Semaphore(AT_ONCE)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_args: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        threads: list[threading.Thread] = []
        began = next_at = time.monotonic()
        while not self._stop.wait(max(0.0, next_at - time.monotonic())):
            self._places.acquire()
            next_at = max(next_at, time.monotonic() - 1) + 1 / RATE
            threads.append(threading.Thread(target=self._one, args=(len(threads),)))
            threads[-1].start()
        self.seconds = time.monotonic() - began
        for thread in threads:
            thread.join()

    def _one(self, number: int) -> None:
        began = time.monotonic()
        name = number % DESKTOPS
        try:
            status, text = log_in(f"u{name}", f"Right-pw-{name}")
            well = status == 200 and "Access granted" in text
        except (OSError, HTTPException) as error:
            well, status, text = False, 0, repr(error)
        finally:
            self._places.release()
        with self._lock:
            self.took.append(time.monotonic() - began)
            if not well:
                self.wrong.append(f"after {self.took[-1]:.1f} s: {status} {text[:200]}")


def schemas(machine: Machine) -> tuple[int, int]:
    """The number of the store's schema, and of the newest one that the installed programs know."""
    said = machine.run("runuser", "-u", "x2gobroker", "--", "x2gobroker", "store", "status")
    found = re.search(r"^schema: +(\d+), .* works with (\d+)$", said, re.MULTILINE)
    assert found, said
    return int(found[1]), int(found[2])


def columns(machine: Machine, table: str) -> list[str]:
    """The columns of a table of the store; none where there is no such table."""
    return machine.run("runuser", "-u", "x2gobroker", "--", PYTHON, "-c", COLUMNS, table).split()


def _what_happened(machine: Machine) -> str:
    """What systemd and the services said, without the many lines of refused logins."""
    lines = [line for line in machine.journal().splitlines() if "auth mechanism" not in line and " login " not in line]
    folder = machine.call("ls", "-la", "/run/x2gobroker").stdout
    return folder + machine.failures() + "\n".join(lines[-120:])


def test_no_request_is_lost_and_no_desktop_ends(tmp_path: Path, release: str) -> None:  # noqa: F811
    with bare(tmp_path, release) as site:
        machine = site.machine
        site.apt("install", site.deb("x2gobroker"), "tigervnc-standalone-server", "xterm", "procps")
        newer = site.newer()
        for number in range(DESKTOPS):
            site.make_user(f"u{number}", f"Right-pw-{number}")
        machine.write("/etc/x2go/x2gobroker.conf", CONFIG)
        machine.write("/etc/x2go/broker/x2gobroker-sessionprofiles.conf", PROFILES)
        machine.write("/etc/x2go/broker/session-types.json", TYPES)
        machine.run("systemctl", "restart", *SERVICES)
        machine.run("systemctl", "enable", "--now", REMOTE)

        def desktop(number: int) -> RfbClient:
            return RfbClient(REMOTE_PORT, desktop_token(machine, f"u{number}", count=DESKTOPS))

        def servers() -> list[str]:
            return sorted(machine.call("pgrep", "-x", "Xvnc|Xtigervnc").stdout.split())

        with contextlib.ExitStack() as before:
            for number in range(DESKTOPS):
                before.enter_context(contextlib.closing(desktop(number)))
            wait_until(lambda: len(servers()) == DESKTOPS, "the desktops")
            running = servers()
            schema, known = schemas(machine)
            assert schema == known
            assert MADE_UP not in columns(machine, "authids")
            with Load() as load:
                time.sleep(3)
                took = site.apt("install", newer.deb("x2gobroker"))
                time.sleep(AFTERWARDS)
            rate = len(load.took) / load.seconds
            figure(
                f"{release}: upgraded in {took} under {rate:.1f} logins a second, {len(load.wrong)} of {len(load.took)}"
                f" wrong, the slowest took {max(load.took):.1f} s"
            )
            assert load.wrong == [], _what_happened(machine)
            assert servers() == running
        for number in range(DESKTOPS):
            with contextlib.closing(desktop(number)) as again:
                assert any(again.picture())
        assert servers() == running
        assert machine.run("x2gobroker", "--version").strip().endswith(".99")
        assert schemas(machine) == (schema + 1, schema + 1)
        assert MADE_UP in columns(machine, "authids")
        assert columns(machine, MADE_UP)
        assert site.failed_units() == set()
