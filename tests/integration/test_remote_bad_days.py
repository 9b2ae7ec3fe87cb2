"""x2gobroker-remote on bad days: VNC servers and scripts that fail, a service that is killed, a store that is full."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import account_with_home
from tests.support.processes import wait_until
from tests.support.remote import SCRIPT, Remote, remote, servers_below
from tests.support.rfb_client import RfbClient
from x2gobroker.logs import field
from x2gobroker.remote.told import NO_TYPE, NOT_STOPPED, SCRIPT_FAILED, SIGNED_OUT, TOO_SLOW
from x2gobroker.store import DesktopEnds, Slot, Why

DISPLAYS = 30000 + os.getpid() % 2000 * 10
# each wrong in its own way, by the option `how`
BAD_SCRIPT = (
    SCRIPT
    + """

class Bad(Plain):
    @property
    def how(self):
        return self._common_options["how"]

    def start(self, token, timestamp=time.time(), options={}):
        if self.how == "raises":
            raise RuntimeError("no node is free")
        if self.how == "rubbish":
            return "yes"
        if self.how == "no":
            return False
        if self.how == "nowhere":
            return True
        if self.how == "ends its process":
            os._exit(3)
        if self.how == "sleeps":
            subprocess.call(["python3", "-c", "import time; time.sleep(1000)", str(self.state_folder)])
        if self.how == "never comes up":
            self.set_unix_socket(self.state_folder / "nothing.sock")
            return True
        return super().start(token, timestamp, options)

    def poll(self):
        return "yes" if self.how == "polls rubbish" else super().poll()

    def stop(self):
        if self.how == "hangs at stop" and not (self.state_folder / "stop now").exists():
            time.sleep(1000)
        if self.how == "stops and hangs":
            super().stop()
            time.sleep(1000)
        return super().stop()


class Starts(RemoteServiceScript):
    def start(self, token, timestamp=time.time(), options={}):
        return super().start(token, timestamp, options)


def realize_service(name="", count=1, index=0, common_options=dict()):
    how = common_options["how"]
    if how == "no script":
        return "rubbish"
    if how == "no object":
        raise RuntimeError("no such node")
    if how == "no stop":
        return Starts(name, count=count, index=index, common_options=common_options)
    if how == "sleeps before":
        time.sleep(1000)
    if how == "ends its process before":
        os._exit(3)
    return Bad(name, count=count, index=index, common_options=common_options)
"""
)
# what the log says
FAILURES = {
    "raises": "RuntimeError: no node is free (line",
    "rubbish": "must return True or False, and returned a str",
    "no": "says that it could not start the session",
    "nowhere": "not said where: it must call set_host_port",
    "ends its process": "the script's process has ended",
    "sleeps": "did not start within 2 seconds",
    "never comes up": "VNC server did not come up within 2 seconds",
    "polls rubbish": "the script's poll must return True or False",
    "no script": "must return a RemoteServiceScript, and returned a str",
    "no object": "realize_service failed for index 0: RuntimeError: no such node",
    "no stop": "Starts has no method stop of its own",
    "sleeps before": "did not load within 2 seconds",
    "ends its process before": "the script's process has ended",
}
SLOW = ("sleeps", "never comes up", "sleeps before")


def kind(how: str, number: int = 0, count: int = 1) -> dict[str, Any]:
    """A session type with the script that is wrong in this way."""
    options = {"display_base": DISPLAYS + number, "how": how}
    limits = {"start-seconds": 2, "stop-seconds": 2}
    return {"script": "bad.py", "count": count, "options": options, **limits}


@contextlib.contextmanager
def bad_remote(types: dict[str, Any], more: str = "") -> Iterator[Remote]:
    """A service with the script that is wrong in many ways."""
    with remote(types, more, start=False) as made:
        made.write_script("bad.py", BAD_SCRIPT)
        made.start()
        yield made


@pytest.fixture(scope="module")
def service() -> Iterator[Remote]:
    """One service for all failures to start, and one session type that is well."""
    types = {how: kind(how) for how in FAILURES} | {"good": kind("good", 1, 2)}
    with bad_remote(types) as made:
        yield made


@pytest.mark.parametrize("how", FAILURES)
def test_a_script_that_fails_costs_its_own_slot_only(service: Remote, how: str) -> None:
    good = service.reserve("good", count=2)
    client = service.connect(good)
    slot = service.reserve(how)
    with pytest.raises(AssertionError) as told:
        service.connect(slot)
    reason = TOO_SLOW if how in SLOW else SCRIPT_FAILED
    assert str(told.value) == f"this desktop could not be started: {reason}"
    # where not even poll can be believed, nobody knows whether it runs: nobody else gets the slot
    unsure = how == "polls rubbish"
    service.wait_for_state(slot, "broken" if unsure else "failed")
    found = service.desktops.find(slot.id)
    assert found is not None
    assert found.note == (NOT_STOPPED if unsure else reason)
    mark = f"remote: {field(how)}/0 of anna ({slot.id[:8]}) could not be started"
    (line,) = [line for line in service.said().splitlines() if mark in line]
    assert FAILURES[how] in line
    wait_until(lambda: len(servers_below(service.folder)) == 1, "the end of what it has started")
    client.picture()
    client.close()
    if not unsure:
        assert service.reserve(how, "bert").number == slot.number


def test_a_session_type_that_is_taken_away_before_its_start_frees_its_place() -> None:
    types = {"good": kind("good", 34), "away": kind("good", 35)}
    with bad_remote(types) as service:
        slot = service.reserve("away")
        service.write_types({"good": types["good"]})
        with pytest.raises(AssertionError, match=NO_TYPE):
            service.connect(slot)
        service.wait_for_state(slot, "failed")
        assert service.reserve("away", "bert").number == slot.number


def test_a_script_that_no_longer_loads_keeps_a_place_only_while_something_answers_there() -> None:
    """Both run when the service ends and the script is spoilt; one of the VNC servers has ended meanwhile."""
    with bad_remote({"good": kind("good", 36, 2)}) as service:
        ended, alive = service.reserve("good", count=2), service.reserve("good", "bert", count=2)
        for slot in (ended, alive):
            service.connect(slot).close()
        service.stop(signal.SIGKILL)
        note = service.scripts_state / "plain-good-0.pid"
        os.kill(int(note.read_text(encoding="ascii")), signal.SIGKILL)
        service.write_script("bad.py", "nothing of use")
        service.start()
        service.wait_for_state(ended, "failed")
        found = service.desktops.find(ended.id)
        assert found is not None
        assert found.note == SCRIPT_FAILED
        service.wait_for_state(alive, "running")
        assert service.said().count("does not load: SyntaxError") >= 2
        assert len(servers_below(service.folder)) == 1
        service.write_script("bad.py", BAD_SCRIPT)
        service.stop(signal.SIGKILL)
        service.start()
        service.wait_for_state(alive, "running")
        stop(service, alive)


def test_a_vnc_server_that_dies_ends_its_desktop(service: Remote) -> None:
    slot = service.reserve("good", "carl", count=2)
    before = set(servers_below(service.folder))
    client = service.connect(slot)
    (server,) = set(servers_below(service.folder)) - before
    os.kill(server, signal.SIGKILL)
    assert client.wait_closed() == "this desktop was stopped: early", "it has hardly begun"
    service.wait_for_state(slot, "gone", "failed")
    end = DesktopEnds(service.store).find(slot.id)
    assert end is not None
    assert (end.why, end.never_ran) == (Why.EARLY, False)
    assert service.desktops.free("good", 2) == 1


def stop(service: Remote, slot: Slot) -> None:
    service.desktops.ask_stop(slot)
    service.wait_for_state(slot, "gone")


def test_a_script_that_hangs_at_stop() -> None:
    """One that has done its work gives its slot back; one that has not keeps it, until it can be stopped."""
    types = {"done": kind("stops and hangs", 10), "not": kind("hangs at stop", 11)}
    with bad_remote(types) as service:
        done, stuck = service.reserve("done"), service.reserve("not")
        for slot in (done, stuck):
            service.connect(slot).close()
            service.desktops.ask_stop(slot)
        service.wait_for_state(done, "gone")
        service.wait_for_state(stuck, "broken")
        assert service.desktops.reserve("not", 1, "bert", {}, "127.0.0.1") is None
        assert len(servers_below(service.folder)) == 1
        (service.scripts_state / "stop now").touch()
        service.stop(signal.SIGKILL)
        service.start()
        service.wait_for_state(stuck, "gone")
        assert not servers_below(service.folder)


def clear(service: Remote) -> None:
    """Stop all desktops of the type that is well."""
    for slot in service.desktops.everything():
        if slot.type == "good":
            stop(service, slot)


def test_all_slots_are_taken(service: Remote) -> None:
    clear(service)
    held = [service.reserve("good", user, count=2) for user in ("dora", "emil")]
    assert service.desktops.reserve("good", 2, "fred", {}, "127.0.0.1") is None
    assert service.desktops.free("good", 2) == 0
    stop(service, held[0])
    assert service.reserve("good", "fred", count=2).number == held[0].number
    clear(service)


def test_the_service_is_killed_with_ten_desktops() -> None:
    """Those that run are found again, those that have ended meanwhile are cleaned up, and nothing is forgotten."""
    with bad_remote({"good": kind("good", 20, 10)}) as service:
        slots = [service.reserve("good", f"user{number}", count=10) for number in range(10)]
        clients = [service.connect(slot) for slot in slots]
        servers = set(servers_below(service.folder))
        assert len(servers) == 10
        assert service.program is not None
        workers = set(children_below(service.program.pid)) - servers
        assert len(workers) >= 11
        service.stop(signal.SIGKILL)
        for client in clients:
            client.wait_closed()
        wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in workers), "the end of its processes")
        assert set(servers_below(service.folder)) == servers
        dead = service.desktops.find(slots[3].id)
        assert dead is not None
        note = service.scripts_state / "plain-good-3.pid"
        os.kill(int(note.read_text(encoding="ascii")), signal.SIGKILL)
        service.start()
        service.wait_for_state(slots[3], "gone")
        for slot in slots[:3] + slots[4:]:
            assert service.state(slot) == "running"
        service.connect(slots[0]).picture()
        service.connect(slots[9]).picture()
        assert len(servers_below(service.folder)) == 9
        assert service.stop() == 0
        assert not servers_below(service.folder)
        assert service.desktops.everything() == []


def children_below(pid: int) -> list[int]:
    """All descendants of a process, its children first."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text(encoding="ascii").split()):
            found += [child, *children_below(child)]
    return found


def test_the_service_ends_when_its_spawner_is_gone() -> None:
    with bad_remote({"good": kind("good", 30)}) as service:
        slot = service.reserve("good")
        service.connect(slot).close()
        assert service.program is not None
        spawner = next(child for child in children_below(service.program.pid))
        os.kill(spawner, signal.SIGKILL)
        assert service.program.process.wait(30) == 1
        service.start()
        service.connect(slot).close()
        stop(service, slot)


def test_a_locked_user_loses_the_desktop() -> None:
    with account_with_home("Some-pw-1") as made, bad_remote({"good": kind("good", 31)}) as service:
        slot = service.reserve("good", made.name)
        client = service.connect(slot)
        made.lock()
        assert client.wait_closed() == "this desktop was stopped: locked"
        service.wait_for_state(slot, "gone")


def test_a_user_who_is_signed_out_loses_the_connections_and_not_the_desktop() -> None:
    with bad_remote({"good": kind("good", 38, 2)}) as service:
        slot, other = service.reserve("good", count=2), service.reserve("good", "bert", count=2)
        clients, theirs = [service.connect(slot), service.connect(slot)], service.connect(other)
        share = service.desktops.share(slot)
        guest = RfbClient(service.port, service.desktops.token(slot, "guest", "127.0.0.1", share=share))
        unused = service.desktops.token(slot, "anna", "127.0.0.1")
        assert service.desktops.ask_cut("anna") == 1
        assert [client.wait_closed() for client in clients] == [SIGNED_OUT] * 2
        assert service.desktops.redeem(unused, "127.0.0.1") is None
        theirs.picture()
        guest.picture()
        wait_until(lambda: (found := service.desktops.find(slot.id)) is not None and not found.wanted, "no more wishes")
        again = service.connect(slot)  # as somebody who is still signed in, or has signed in again
        again.picture()
        service.desktops.ask_cut("anna", links=True)
        assert again.wait_closed() == SIGNED_OUT
        assert guest.wait_closed() == "the link was taken back"
        assert service.state(slot) == "running"
        assert len(servers_below(service.folder)) == 2


def test_a_row_that_is_gone_takes_its_desktop_with_it() -> None:
    with bad_remote({"good": kind("good", 32)}) as service:
        slot = service.reserve("good")
        service.connect(slot)
        service.desktops.release(slot.id)
        wait_until(lambda: not servers_below(service.folder), "the VNC server's end")


def ask(service: Remote, path: str) -> int:
    """The status that a monitor gets."""
    connection = HTTPConnection("127.0.0.1", service.port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_disk_is_full() -> None:
    """Whoever works goes on; nobody new gets in; and all is well when there is room again."""
    with bad_remote({"good": kind("good", 33, 2)}) as service:
        size = ["-o", "size=2m", "tmpfs", str(service.folder / "state")]
        service.stop()
        subprocess.run(["mount", "-t", "tmpfs", *size], check=True, timeout=30)
        try:
            service.store.close()
            service.start()
            slot = service.reserve("good", count=2)
            client = service.connect(slot)
            token = service.desktops.token(slot, "anna", "127.0.0.1")
            filler = service.folder / "state/filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
                while stream.write(b"x" * 4096):
                    pass
            wait_until(lambda: "desktops go on, and nobody gets a new one" in service.said(), "the service noticing")
            wait_until(lambda: ask(service, "/health/ready") == 503, "the service being not ready")
            assert ask(service, "/health") == 200
            client.picture()
            filler.unlink()
            wait_until(lambda: "the state store works again" in service.said(), "the service noticing again")
            wait_until(lambda: ask(service, "/health/ready") == 200, "the service being ready again")
            with contextlib.suppress(Exception):
                service.connect(slot).close()
            client.picture()
            stop(service, slot)
            assert token not in service.said()
            service.stop()
        finally:
            service.stop()
            service.store.close()
            subprocess.run(["umount", str(service.folder / "state")], check=True, timeout=30)


def test_a_browser_that_falls_asleep_does_not_stop_the_others(service: Remote) -> None:
    """It takes nothing any more: the VNC server is not read for it, and memory does not grow."""
    clear(service)
    slot = service.reserve("good", "gina", count=2)
    sleeping, awake = service.connect(slot), service.connect(slot)
    for _ in range(500):  # 128 MB that it never reads
        sleeping.write(struct.pack(">BBHHHH", 3, 0, 0, 0, *sleeping.size))
    began = time.monotonic()
    for _ in range(20):
        awake.picture()
    assert service.program is not None
    status = Path(f"/proc/{service.program.pid}/status").read_text(encoding="ascii")
    assert int(status.partition("VmRSS:")[2].split()[0]) < 120_000
    assert time.monotonic() - began < 20
    awake.close()
    sleeping.close()
    stop(service, slot)
