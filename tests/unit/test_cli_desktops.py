"""`x2gobroker desktops`: list, stop, free, close, open, sign-out; and what it says of numbers that are none."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.engine import URL

from x2gobroker import desktops as acts
from x2gobroker.cli.admin import drain
from x2gobroker.cli.admin.desktops import time_text
from x2gobroker.cli.main import main
from x2gobroker.store import DesktopOrders, PortalSessions, RemoteDesktops, Slot, Store
from x2gobroker.store.database import FILE_NAME
from x2gobroker.store.portal_sessions import AT_SIGN_IN
from x2gobroker.store.remote_desktops import BROKEN, RUNNING, STARTING, STOPPING
from x2gobroker.store.remote_tables import REMOTE_SLOTS

ELSEWHERE = "node1.example"


@dataclass
class Command:
    """The command on a store in a folder; exit status, standard output, standard error stream."""

    folder: Path
    store: Store
    capsys: pytest.CaptureFixture[str]

    def run(self, action: str, *arguments: str) -> tuple[int, str, str]:
        """Run it."""
        status = main(["desktops", action, "-C", str(self.folder / "x.conf"), *arguments])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    @property
    def desktops(self) -> RemoteDesktops:
        """The desktops of the store."""
        return RemoteDesktops(self.store)

    def slot(self, user: str = "anna", kind: str = "Desk", state: str = RUNNING, node: str = ELSEWHERE) -> Slot:
        """A desktop in this state."""
        made = self.desktops.reserve(kind, 9, user, {"size": "800x600"}, "192.0.2.1")
        assert made is not None
        self.desktops.begin_start(made.id, node)
        started = {"started": made.reserved} if state == RUNNING else {}
        self.desktops.change(made.id, state, **started)
        return self.now(made)

    def now(self, slot: Slot) -> Slot:
        """The same as it is now."""
        found = self.desktops.find(slot.id)
        assert found is not None
        return found

    def rename(self, slot: Slot, new: str) -> None:
        """Give a desktop another ID."""
        with self.store.begin() as connection:
            connection.execute(update(REMOTE_SLOTS).where(REMOTE_SLOTS.c.id == slot.id).values(id=new))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command, configured, with an empty store."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    monkeypatch.setenv("SUDO_USER", "eva")
    monkeypatch.setattr(drain, "STARTED_AS", 0)
    monkeypatch.setattr(acts, "LOOK_SECONDS", 0.01)
    (tmp_path / "x.conf").write_text(f"[global]\ncookie-directory = {tmp_path}\n")
    store = Store(URL.create("sqlite", database=str(tmp_path / FILE_NAME)))
    made = Command(tmp_path, store, capsys)
    assert made.desktops.everything() == []  # and the store is there
    yield made
    store.close()


@contextmanager
def service(command: Command, becomes: str | None, told: list[str]) -> Iterator[None]:
    """What x2gobroker-remote does: desktops that are to be stopped end, or become this."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.01):
            for slot in command.desktops.everything():
                if slot.is_unwanted and slot.state == RUNNING:
                    told.append(slot.wanted)
                    if becomes is None:
                        command.desktops.release(slot.id)
                    else:
                        command.desktops.change(slot.id, becomes, wanted="")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_without_a_store_there_is_nothing_to_list(command: Command) -> None:
    command.store.close()
    for path in command.folder.glob(FILE_NAME + "*"):
        path.unlink()
    status, _, err = command.run("list")
    assert status == 1
    assert "there is no state store" in err


def test_the_list_has_what_an_administrator_wants_to_know(command: Command) -> None:
    assert command.run("list") == (0, "", "")
    slot = command.slot()
    now = time.time()
    times: dict[str, Any] = {"started": now - 7500, "last_input": now - 250, "ends": now + 3700, "ends_why": "idle"}
    command.desktops.change(slot.id, connections=2, note="it is slow", **times)
    status, out, _ = command.run("list")
    head, line, note = out.splitlines()
    assert status == 0
    assert head.split()[:4] == ["NUMBER", "USER", "TYPE/PLACE", "STATE"]
    words = line.split()
    assert words[:7] == [slot.id[:8], "anna", "Desk/0", "running", "2h05m", "4m", "800x600"]
    assert words[7:9] == ["2", ELSEWHERE]
    assert line.endswith("in 1h01m, idle")
    assert note.strip() == "it is slow"


def test_the_list_says_of_what_cannot_be_stopped_where_to_look(command: Command) -> None:
    slot = command.slot(state=BROKEN)
    command.desktops.change(slot.id, note="it cannot be stopped; tell your administrator")
    assert (
        command.run("list")[1].splitlines()[2].strip().endswith(f"the log of x2gobroker-remote on {ELSEWHERE} says why")
    )


def test_the_list_in_json(command: Command) -> None:
    slot = command.slot()
    command.run("close", "--reason", "new kernel")
    found = json.loads(command.run("list", "--json")[1])
    assert (found["closed"]["by"], found["closed"]["reason"]) == ("eva", "new kernel")
    (one,) = found["desktops"]
    assert (one["id"], one["number"], one["user"], one["type"], one["place"]) == (
        slot.id,
        slot.id[:8],
        "anna",
        "Desk",
        0,
    )
    assert (one["state"], one["host"], one["size"], one["ends"]) == ("running", ELSEWHERE, "800x600", None)
    assert 0 <= one["age"] < 60
    command.run("open")
    assert json.loads(command.run("list", "--json")[1])["closed"] is None


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--user", "ANNA"), {"anna/Desk", "anna/Lab"}),
        (("--type", "Lab"), {"anna/Lab", "bert/Lab"}),
        (("--user", "bert", "--type", "Lab"), {"bert/Lab"}),
        (("--user", "carl"), set()),
    ],
)
def test_a_part_of_the_list(command: Command, arguments: tuple[str, ...], shown: set[str]) -> None:
    for user, kind in (("anna", "Desk"), ("anna", "Lab"), ("bert", "Lab")):
        command.slot(user, kind)
    found = json.loads(command.run("list", "--json", *arguments)[1])["desktops"]
    assert {f"{one['user']}/{one['type']}" for one in found} == shown


def test_what_is_about_to_be_stopped_and_what_nobody_came_for(command: Command) -> None:
    slot = command.slot()
    command.desktops.ask_stop(slot)
    late = command.desktops.reserve("Desk", 9, "bert", {}, "", now=time.time() - 1000)
    assert late is not None
    (one,) = json.loads(command.run("list", "--json")[1])["desktops"]
    assert (one["id"], one["state"]) == (slot.id, STOPPING)


def test_words_of_strangers_stay_in_their_line(command: Command) -> None:
    command.slot("an na\nroot")
    assert len(command.run("list")[1].splitlines()) == 2


def test_stop_by_number_and_the_service_knows_who_wants_it(command: Command) -> None:
    slot, other = command.slot(), command.slot("bert")
    told: list[str] = []
    with service(command, None, told):
        status, out, _ = command.run("stop", slot.id[:8].upper())
    assert (status, out) == (0, f"{slot.id[:8]} (Desk/0 of anna): ended\n")
    assert told == ["administrator eva"]
    assert command.now(other).wanted == ""


@pytest.mark.parametrize(
    ("arguments", "ended"),
    [
        (("--user", "anna"), {"anna/Desk", "anna/Lab"}),
        (("--type", "Lab"), {"anna/Lab", "bert/Lab"}),
        (("--user", "anna", "--type", "Lab"), {"anna/Lab"}),
        (("--all",), {"anna/Desk", "anna/Lab", "bert/Lab"}),
    ],
)
def test_stop_by_rule(command: Command, arguments: tuple[str, ...], ended: set[str]) -> None:
    before = {f"{user}/{kind}": command.slot(user, kind) for user, kind in
              (("anna", "Desk"), ("anna", "Lab"), ("bert", "Lab"))}  # fmt: skip
    with service(command, None, []):
        assert command.run("stop", *arguments)[0] == 0
    assert {name for name, slot in before.items() if command.desktops.find(slot.id) is None} == ended


def test_several_numbers_each_once(command: Command) -> None:
    one, two = command.slot(), command.slot("bert")
    with service(command, None, []):
        status, out, _ = command.run("stop", one.id, two.id[:6], one.id[:8])
    assert (status, len(out.splitlines())) == (0, 2)


def test_what_cannot_be_stopped_is_said_with_what_to_do(command: Command) -> None:
    slot = command.slot()
    with service(command, BROKEN, []):
        status, out, _ = command.run("stop", slot.id)
    assert status == 1
    assert f"end it by hand, then: x2gobroker desktops free {slot.id[:8]}" in out
    assert command.run("stop", slot.id)[0] == 1
    assert command.now(slot).wanted == "", "the service tries again by itself"


def test_what_takes_longer_and_what_no_service_hears(command: Command) -> None:
    slot = command.slot()
    with service(command, STOPPING, []):
        status, out, _ = command.run("stop", slot.id, "--wait", "0.2")
    assert (status, "is still being stopped" in out) == (1, True)
    deaf = command.slot("bert")
    status, out, _ = command.run("stop", deaf.id, "--wait", "0.05")
    assert status == 1
    assert f"x2gobroker-remote on {ELSEWHERE} has not heard of it yet" in out


def test_nobody_has_to_wait(command: Command) -> None:
    slot = command.slot()
    status, out, _ = command.run("stop", slot.id, "--wait", "0")
    assert (status, "is asked to stop it" in out) == (0, True)
    assert command.now(slot).wanted == "administrator eva"


def test_places_that_nobody_came_to_end_at_once(command: Command) -> None:
    slot = command.desktops.reserve("Desk", 9, "anna", {}, "")
    assert slot is not None
    assert command.run("stop", slot.id, "--wait", "0")[:2] == (0, f"{slot.id[:8]} (Desk/0 of anna): ended\n")


def test_a_number_that_is_none_or_is_not_enough(command: Command) -> None:
    one, two = command.slot(), command.slot("bert")
    command.rename(one, "abcdef0000000001")
    command.rename(two, "abcdef0000000002")
    for number, said in (
        ("abc", "too short"),
        ("", "too short"),
        ("ffffffff", "there is no desktop with the number ffffffff; x2gobroker desktops list"),
        ("abcdef00", "abcdef0000000001, abcdef0000000002; write one of them in full"),
    ):
        for action in ("stop", "free"):
            status, out, err = command.run(action, number)
            assert (status, out) == (1, "")
            assert said in err
    assert {slot.wanted for slot in command.desktops.everything()} == {""}
    with service(command, None, []):
        assert command.run("stop", "abcdef0000000001")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--all", "--user", "anna"),
        ("--all", "--type", "Desk"),
        ("0123abcd", "--all"),
        ("0123abcd", "--user", "x"),
    ],
)
def test_what_cannot_be_meant_stops_nothing(command: Command, arguments: tuple[str, ...]) -> None:
    slot = command.slot()
    status, _, err = command.run("stop", *arguments)
    assert (status, "which ones?" in err) == (1, True)
    assert command.now(slot).wanted == ""


def test_nothing_to_stop(command: Command) -> None:
    status, _, err = command.run("stop", "--all")
    assert (status, "there is no such desktop" in err) == (1, True)


@pytest.mark.parametrize("seconds", ["-1", "x", "nan", "1e9"])
def test_how_long_to_wait(command: Command, seconds: str) -> None:
    with pytest.raises(SystemExit):
        command.run("stop", "--all", f"--wait={seconds}")


def test_free_gives_back_what_could_not_be_stopped_and_nothing_else(command: Command) -> None:
    stuck, fine = command.slot(state=BROKEN), command.slot("bert")
    assert command.run("free", stuck.id[:8])[:2] == (0, f"{stuck.id[:8]} (Desk/0 of anna): its place is free\n")
    assert command.now(stuck).wanted == "administrator eva"
    status, _, err = command.run("free", fine.id)
    assert status == 1
    assert f"x2gobroker desktops stop {fine.id[:8]}" in err
    status, _, err = command.run("free", stuck.id)
    assert (status, "is given back by itself" in err) == (1, True)
    assert command.now(fine).state == RUNNING


@pytest.mark.parametrize("state", [STARTING, RUNNING, STOPPING])
def test_places_of_a_host_that_will_not_come_back(command: Command, state: str) -> None:
    slot = command.slot(state=state)
    assert command.run("free", slot.id, "--host-gone")[0] == 0
    assert command.desktops.free("Desk", 1) == 1


def test_no_place_of_this_very_host_is_given_back_like_that(command: Command) -> None:
    slot = command.slot(node=socket.gethostname())
    status, _, err = command.run("free", slot.id, "--host-gone")
    assert (status, "start x2gobroker-remote" in err) == (1, True)
    assert command.now(slot).state == RUNNING


def test_close_and_open(command: Command) -> None:
    command.slot()
    assert command.desktops.reserve("Desk", 9, "bert", {}, "") is not None
    status, out, _ = command.run("close", "--reason", "Maintenance until noon")
    assert status == 0
    assert "places given back that nobody had connected to yet: 1" in out
    status, out, err = command.run("list")
    assert (status, len(out.splitlines())) == (0, 2)
    assert "closed for new ones since 2" in err
    assert "by eva: Maintenance until noon; x2gobroker desktops open ends that" in err
    assert command.run("open")[0] == 0
    assert command.run("list")[2] == ""
    assert command.run("open")[0] == 1


@pytest.mark.parametrize("reason", ["two\nlines", "x" * 201])
def test_a_reason_is_one_line(command: Command, reason: str) -> None:
    assert command.run("close", "--reason", reason)[0] == 1
    assert DesktopOrders(command.store).closing() is None


def test_a_user_is_signed_out_everywhere_and_desktops_go_on(command: Command) -> None:
    sessions = PortalSessions(command.store)
    tokens = [sessions.open(name, "inifile", "192.0.2.1", 3600, AT_SIGN_IN) for name in ("anna", "Anna", "bert")]
    slot, other = command.slot(), command.slot("bert")
    link = command.desktops.share(slot)
    status, out, _ = command.run("sign-out", "anna")
    assert (status, out) == (0, "anna: sign-ins ended: 2; desktops cut off, which go on: 1\n")
    assert [sessions.find(token, 3600) is not None for token in tokens] == [False, False, True]
    assert (command.now(slot).state, command.now(slot).wanted) == (RUNNING, "cut")
    assert command.desktops.shared(link) is None
    assert command.now(other).wanted == ""
    status, _, err = command.run("sign-out", "carl")
    assert (status, "carl is not signed in" in err) == (1, True)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 257])
def test_what_is_no_name(command: Command, name: str) -> None:
    assert command.run("sign-out", name)[0] == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (7500, "2h05m"), (90000, "1d01h")],
)
def test_lengths_of_time(seconds: float | None, text: str) -> None:
    assert time_text(seconds) == text
