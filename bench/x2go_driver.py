"""One client program: the same calls for X2GoSession and X2GoClient of Python X2Go, and for ours.

`x2go_driver.py ours|reference PARAMETERS`, the latter in JSON. A line `["count", {}]` on its standard input calls
`Driver.count()`; the answer has what that returned, and when it began and ended by time.monotonic(), which all
processes of a machine share. It runs without the rest of this package: the reference wants Debian's Python.
"""

from __future__ import annotations

import json
import os
import resource
import select
import sys
import time
from typing import Any

OURS = "ours"
PROFILE = "watched"
REFRESH_SECONDS = 5
WATCHING = {"auto_update_sessionregistry": True, "refresh_interval": REFRESH_SECONDS}
CACHE_OF_REFERENCE = {"use_listsessions_cache": True, "auto_update_listsessions_cache": True}
REGISTERED_SECONDS = 120.0
SETTLE_SECONDS = 6.0
# the reference registers sessions of servers only where there is a profile
PROFILE_TEXT = """\
[{profile}]
name = {profile}
host = {server}
sshport = {port}
user = {username}
command = {cmd}
rootless = true
sound = false
usekbd = false
print = false
"""


class Driver:
    """The calls. `library` has X2GoSession and X2GoClient; `given` are server, port, username, password ..."""

    def __init__(self, library: Any, is_ours: bool, given: dict[str, Any]) -> None:
        self.library = library
        self.is_ours = is_ours
        self.given = given
        self.login = {"username": given["username"], "password": given["password"]}
        names = ("client", "sessions", "ssh")
        self.folders = {f"{name}_rootdir": os.path.join(given["folder"], name) for name in names}
        self.parameters = {
            "port": given["port"],
            "known_hosts": given["known_hosts"],
            "cmd": given["cmd"],
            "session_type": "application",
            "geometry": "800x600",
            "snd_system": "none",
            "kbtype": "null/null",
            "link": "lan",
        }
        self.session: Any = None
        self.client: Any = None
        self.shown: list[str] = []

    def connect(self) -> bool:
        """A new session object, connected; both libraries list sessions and ask for features in that."""
        parameters = {**self.parameters, **self.folders, "profile_name": "bench"}
        self.session = self.library.X2GoSession(self.given["server"], **parameters)
        return bool(self.session.connect(**self.login))

    def count(self) -> int:
        """List the sessions of the server: how many there are."""
        return len(self.session.list_sessions())

    def act(self, action: str) -> bool:
        """Start, suspend, resume, terminate or disconnect the session."""
        return bool(getattr(self.session, action)())

    def name(self) -> str:
        """The name of the session."""
        return str(self.session.get_session_name())

    # ------------------------------------------------------------ many sessions

    def start_many(self, count: int) -> list[str]:
        """Start so many sessions with one client, on one connection; their names."""
        client = self._client({})
        for number in range(count):
            one = self._register(PROFILE)
            if number == 0:
                client.connect_session(one, **self.login)
            if not client.start_session(one):
                raise RuntimeError(f"session {number} does not start")
            self.shown.append(one)
        return [str(client.get_session_name(one)) for one in self.shown]

    def watch_shown(self, length: float) -> dict[str, float]:
        """Watch the sessions that this client shows; see `_watched`."""
        self.client.start_refresher(REFRESH_SECONDS)
        try:
            return self._watched(self.shown, length)
        finally:
            self.client.stop_refresher()

    def watch_one_connection(self, count: int, length: float) -> dict[str, float]:
        """Watch all sessions that the server has, on one connection; see `_watched`."""
        client = self._client({**WATCHING, "auto_register_sessions": True})
        client.connect_session(self._register(PROFILE), **self.login)
        deadline = time.monotonic() + REGISTERED_SECONDS
        while True:
            watched = self._running()
            if len(watched) >= count:
                return self._watched(watched, length)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(watched)} of {count} sessions are registered")
            time.sleep(0.5)

    def _running(self) -> list[str]:
        return [str(one.get_uuid()) for one in self.client.session_registry.running_sessions(return_objects=True)]

    def watch_connections(self, names: list[str], length: float) -> dict[str, float]:
        """Watch each of these sessions on a connection of its own; see `_watched`."""
        client = self._client(WATCHING)
        watched = [self._register(f"{PROFILE}-{number}", name) for number, name in enumerate(names)]
        for one in watched:
            client.connect_session(one, **self.login)
        return self._watched(watched, length)

    def end_many(self) -> bool:
        """End the sessions that this client shows."""
        return [bool(self.client.terminate_session(one)) for one in self.shown].count(False) == 0

    def _client(self, options: dict[str, Any]) -> Any:
        more = {} if self.is_ours else CACHE_OF_REFERENCE
        os.makedirs(self.folders["client_rootdir"], mode=0o700, exist_ok=True)
        with open(os.path.join(self.folders["client_rootdir"], "sessions"), "w") as file:
            file.write(PROFILE_TEXT.format(profile=PROFILE, **self.given))
        self.client = self.library.X2GoClient(**self.folders, **options, **more)
        return self.client

    def _register(self, profile: str, session_name: str | None = None) -> str:
        names = {"profile_id": profile, "profile_name": profile, "session_name": session_name}
        return str(self.client.register_session(self.given["server"], **names, **self.parameters))

    def _watched(self, watched: list[str], seconds: float) -> dict[str, float]:
        """Processor seconds of this process and of the server; how many sessions are known to run in the end."""
        time.sleep(min(SETTLE_SECONDS, seconds))  # getting there does not count
        begin, own, server = time.monotonic(), _processor_seconds(), server_seconds(self.given["sshd"])
        time.sleep(seconds)
        registry = self.client.session_registry
        return {
            "seconds": time.monotonic() - begin,
            "own": _processor_seconds() - own,
            "server": server_seconds(self.given["sshd"]) - server,
            "running": [bool(registry(one).running) for one in watched].count(True),
        }


def _processor_seconds() -> float:
    """Of this process, all threads, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def server_seconds(sshd: int) -> float:
    """Processor time of an sshd and what its clients ran, also of what has ended. Sessions are not below it."""
    ticks, pids = 0, [sshd]
    while pids:
        pid = pids.pop()
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                pids += [int(word) for word in file.read().split()]
        except OSError:  # it ended this moment, and its parent has its time
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def load(is_ours: bool) -> Any:
    """The library."""
    if is_ours:
        import x2gobroker.x2go

        return x2gobroker.x2go
    import x2go  # type: ignore[import-not-found,unused-ignore]

    return x2go


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the library prints is no answer
    is_ours = sys.argv[1] == OURS
    driver = Driver(load(is_ours), is_ours, json.loads(sys.argv[2]))
    # the reference has one thread for all, which must not wait in a read; its select lets the others run
    while select.select([0], [], [])[0] and (line := sys.stdin.readline()):
        name, arguments = json.loads(line)
        answer: dict[str, Any] = {"begin": time.monotonic()}
        try:
            answer["value"] = getattr(driver, name)(**arguments)
        except Exception as error:  # noqa: BLE001 - who asked raises it
            answer["error"] = f"{type(error).__name__}: {error}"
        answer["end"] = time.monotonic()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # the reference leaves threads that nothing ends


if __name__ == "__main__":
    main()
