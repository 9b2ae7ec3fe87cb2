"""`x2gobroker sessions`: who is where, from whom it is known, how old that is, and what it says of silent servers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.configured import Files
from tests.unit.inventory_values import name_of, seen
from x2gobroker.cli.main import main
from x2gobroker.inventory.happenings import Changed, Happening, Placed, Said, Silent, Told
from x2gobroker.inventory.record import Inventory
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import BROKER, ENDED, WATCH
from x2gobroker.placement import scheduling_stores
from x2gobroker.services import Services

CONFIG = "[global]\ncookie-directory = {folder}/state\n"
TS01, TS02, TS03 = Endpoint("ts01.example.org", "10.0.0.1"), Endpoint("ts02", "10.0.0.2", 2222), Endpoint("ts03", "ts3")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command; exit status, standard output, standard error stream."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(files.defaults))
    files.write(CONFIG.replace("{folder}", str(files.folder)))

    def command(*arguments: str) -> tuple[int, str, str]:
        status = main(["sessions", "-C", str(files.config), *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return command


@pytest.fixture
def now(files: Files, run: Run) -> float:
    """A farm of three servers, one of which does not answer any more; and when that was."""
    now = time.time()
    inventory = Inventory(Services().store(files.source.current()))
    inventory.take(
        [
            (TS01, Told(now - 30, now - 29, (seen(since=now - 700), seen("bert", since=now - 500, state="S")), WATCH)),
            (TS01, Changed(now - 30, now - 12, now - 10)),
            (TS01, Placed(now - 5, "carl", "inifile", "desk", now + 90)),
            (TS01, Said(now - 4, "anna", name_of("anna"), "L", client="192.0.2.7")),
            (TS02, Told(now - 7400, now - 7400, (seen("bert", 51, since=now - 7500),))),
            (TS02, Silent(now - 7000, "timeout")),
            (TS03, Said(now - 3, "anna", name_of("anna", 60), "R", client="192.0.2.7", display=60)),
            (TS03, Said(now - 2, "anna", name_of("anna", 61), ENDED, BROKER)),
        ]
    )
    return now


def rows(out: str) -> list[list[str]]:
    """The cells of the table's rows without ages, which a busy machine makes older."""
    head, *lines = out.splitlines()
    at = [head.index(name) for name in ("SERVER", "USER", "STATE", "CLIENT", "PROFILE", "KNOWN BY", "SESSION")]
    return [[line[place:].split("  ")[0].strip() for place in at] for line in lines]


@pytest.mark.usefixtures("now")
def test_who_is_where(run: Run) -> None:
    status, out, err = run()
    assert status == 0
    assert rows(out) == [
        ["ts01.example.org", "anna", "left", "192.0.2.7", "-", "event", name_of("anna")],
        ["ts01.example.org", "bert", "suspended", "192.0.2.9", "-", "watch", name_of("bert")],
        ["ts01.example.org", "carl", "expected", "-", "desk", "broker", "-"],
        ["ts02", "bert", "running", "192.0.2.9", "-", "report, old", name_of("bert", 51)],
        ["ts03", "anna", "running", "192.0.2.7", "-", "event", name_of("anna", 60)],
    ]
    assert "ts02 has not answered for 1 h (timeout): what is known of it may be wrong" in err
    assert "2 h" in next(line for line in out.splitlines() if line.startswith("ts02")), "which is its age"


@pytest.mark.usefixtures("now")
def test_of_one_user_and_of_one_server(run: Run) -> None:
    assert [row[:2] for row in rows(run("--user", "bert")[1])] == [["ts01.example.org", "bert"], ["ts02", "bert"]]
    for name in ("ts01", "10.0.0.1", "10.0.0.1:22", "TS01.example.org"):
        status, out, err = run("--server", name)
        assert (status, len(rows(out)), err) == (0, 3, ""), "of silent servers that were not asked for, nothing"
    status, out, err = run("--user", "dora")
    assert (status, out) == (0, "")
    assert "ts02 has not answered" in err, "so dora may be there"
    status, out, err = run("--server", "ts09")
    assert (status, out) == (1, "")
    assert "nothing is known of a server ts09" in err


def test_json_for_programs(run: Run, now: float) -> None:
    status, out, _err = run("--json")
    said: dict[str, Any] = json.loads(out)
    assert status == 0
    assert said["known_for"] == 600.0
    assert [(one["server"], one["how"], one["trouble"]) for one in said["servers"]] == [
        ("ts01.example.org", "watch", None), ("ts02", "report", "timeout"), ("ts03", None, None),
    ]  # fmt: skip
    assert said["servers"][0]["known"] == now - 12
    assert said["servers"][1]["silent_since"] == now - 7000
    left, suspended, expected, old, event = said["sessions"]
    assert (left["state"], left["fresh"], left["as_of"]) == ("left", True, now - 4)
    assert (suspended["source"], suspended["as_of"], suspended["since"]) == ("watch", now - 12, now - 500)
    assert expected["session"] is None
    assert (expected["backend"], expected["profile"], expected["display"]) == ("inifile", "desk", None)
    assert (old["fresh"], old["key"], old["first_seen"]) == (False, "10.0.0.2:2222", now - 7400)
    assert (event["display"], event["session"], event["client"]) == (60, name_of("anna", 60), "192.0.2.7")


def test_what_a_client_said_and_its_server_confirms_is_known_by_the_server(run: Run, files: Files) -> None:
    now = time.time()
    news: list[Happening] = [Told(now - 30, now - 29, (seen(),), WATCH), Said(now - 25, "anna", name_of("anna"), "R")]
    inventory = Inventory(Services().store(files.source.current()))
    inventory.take([(TS01, one) for one in news])
    assert rows(run()[1])[0][5] == "event"
    inventory.take([(TS01, Changed(now - 30, now - 5, now - 3))])
    assert rows(run()[1])[0][5] == "watch"


@pytest.mark.usefixtures("now")
def test_where_agents_are_always_asked_nothing_is_called_old(run: Run, files: Files) -> None:
    files.write(f"{CONFIG}sessions-known-for = 0\n".replace("{folder}", str(files.folder)))
    assert "old" not in run()[1]


def test_nobody_is_anywhere(run: Run, files: Files) -> None:
    Services().of(scheduling_stores, files.source.current()).loads.all()  # makes the store
    assert run() == (0, "", "")


def test_no_store_yet(run: Run) -> None:
    status, out, err = run()
    assert (status, out) == (1, "")
    assert "there is no state store" in err
