"""`x2gobroker load`: the table at 80 and 120 columns, JSON, and what it says when nothing asks the servers."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from tests.unit.configured import Files
from x2gobroker.cli import main
from x2gobroker.cli.admin import load
from x2gobroker.cli.admin.load import Line, table, trouble
from x2gobroker.cli.admin.tables import age
from x2gobroker.inventory.happenings import Told
from x2gobroker.inventory.record import Inventory
from x2gobroker.loadchecker.targets import Watched
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import KnownServer
from x2gobroker.model.load import LoadReport
from x2gobroker.placement import scheduling_stores
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store import Loads
from x2gobroker.store.loads import ServerLoad

NOW = 1_800_000_000.0
WATCHED = Watched(interval=300.0, by_load=frozenset({"ts1:22"}))


def known(key: str, state: str, report: LoadReport | None, answered: float, asked: float) -> ServerLoad:
    """What is known of a server that answered and was asked so many seconds ago."""
    return ServerLoad(key, "", state, report, NOW - asked, NOW - answered if answered >= 0 else 0.0, 0.2)


def lines() -> list[Line]:
    busy = LoadReport(394, 23545, 2, 2597, 3)
    idle = LoadReport(1, 64000, 8, 3400, None)
    ts1, ts2 = Endpoint("ts1", "10.0.0.1"), Endpoint("ts2.example.org", "10.0.0.2", 2222)
    ts3, ts4, ts5 = Endpoint("ts3", "ts3"), Endpoint("ts4", "fd00::4"), Endpoint("ts5", "10.0.0.5")
    return [
        Line(ts1, known(ts1.key, "ok", busy, 12, 12), 2, False, ("desktop", "office")),
        Line(ts2, known(ts2.key, "unreachable", busy, 250, 8), 0, False, ("desktop",)),
        Line(
            ts3,
            known(ts3.key, "ok", idle, 90, 90),
            0,
            True,
            ("desktop", "number-crunching", "a-profile-with-a-long-name"),
        ),
        Line(ts4, None, 0, False, ("office",)),
        Line(ts5, known(ts5.key, "login", None, -1, 100), 0, False, ("office",)),
    ]


AT_60 = """\
SERVER        STATE               FACTOR  LOAD  SESS  RES  ANSWER  ASKED
ts1           ok                  31,038  3.93     3    2    12 s   12 s
  10.0.0.1:22, 2 cores, 23.5 GB: desktop, office
ts2.examp...  unreachable         31,038  3.93     3    0   4 min    8 s
  10.0.0.2:2222, 2 cores, 23.5 GB: desktop
ts3           ok, drained    174,080,000  0.00     -    0    90 s   90 s
  ts3:22, 8 cores, 64.0 GB: desktop, number-crunching,
    a-profile-with-a-long-name
ts4           not asked yet            -     -     -    0   never  never
  [fd00::4]:22: office
ts5           login refused            -     -     -    0   never  1 min
  10.0.0.5:22: office
"""
AT_80 = """\
SERVER           STATE               FACTOR  LOAD  SESS  RES  ANSWER  ASKED
ts1              ok                  31,038  3.93     3    2    12 s   12 s
  10.0.0.1:22, 2 cores, 23.5 GB: desktop, office
ts2.example.org  unreachable         31,038  3.93     3    0   4 min    8 s
  10.0.0.2:2222, 2 cores, 23.5 GB: desktop
ts3              ok, drained    174,080,000  0.00     -    0    90 s   90 s
  ts3:22, 8 cores, 64.0 GB: desktop, number-crunching,
    a-profile-with-a-long-name
ts4              not asked yet            -     -     -    0   never  never
  [fd00::4]:22: office
ts5              login refused            -     -     -    0   never  1 min
  10.0.0.5:22: office
"""
AT_120 = """\
SERVER           ADDRESS        STATE               FACTOR  LOAD   MEMORY  CORES  SESS  RES  ANSWER  ASKED  PROFILES
ts1              10.0.0.1:22    ok                  31,038  3.93  23.5 GB      2     3    2    12 s   12 s  desktop, ...
ts2.example.org  10.0.0.2:2222  unreachable         31,038  3.93  23.5 GB      2     3    0   4 min    8 s  desktop
ts3              ts3:22         ok, drained    174,080,000  0.00  64.0 GB      8     -    0    90 s   90 s  desktop, ...
ts4              [fd00::4]:22   not asked yet            -     -        -      -     -    0   never  never  office
ts5              10.0.0.5:22    login refused            -     -        -      -     -    0   never  1 min  office
"""


@pytest.mark.parametrize(("columns", "golden"), [(60, AT_60), (80, AT_80), (120, AT_120)])
def test_the_table(columns: int, golden: str) -> None:
    shown = table(lines(), 300.0, NOW, columns)
    assert "\n".join(shown) + "\n" == golden
    assert max(map(len, shown)) <= max(columns, 80)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (99.9, "99 s"), (100, "1 min"), (250, "4 min"), (5999, "99 min"), (6000, "1 h"),
     (172799, "47 h"), (172800, "2 d"), (9e6, "104 d")],
)  # fmt: skip
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


def only(state: str, answered: float, asked: float) -> Line:
    """A server that answered and was asked so many seconds ago."""
    report = LoadReport(101, 2000, 2, 1500) if answered >= 0 else None
    return Line(Endpoint("ts1", "ts1"), known("ts1:22", state, report, answered, asked), 0, False, ("p",))


def test_an_old_report_is_out_of_date() -> None:
    assert load.state_of(only("ok", 899, 10), 300.0, NOW) == "ok"
    assert load.state_of(only("ok", 901, 901), 300.0, NOW) == "out of date"


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (KnownServer("ts1:22", "ts1", "watch", NOW, NOW, NOW), "ok (watch)"),
        (KnownServer("ts1:22", "ts1", "checkload", NOW, NOW), "ok (checkload)"),
        (KnownServer("ts1:22", "ts1", "watch", NOW, NOW, NOW, NOW, "timeout"), "ok (silent)"),
        (KnownServer("ts1:22", "ts1"), "ok"),
        (None, "ok"),
    ],
)
def test_how_a_server_is_heard(heard: KnownServer | None, words: str) -> None:
    line = replace(only("ok", 10, 10), heard=heard)
    assert load.state_of(line, 300.0, NOW) == words
    assert load.state_of(replace(line, load=known("ts1:22", "timeout", None, -1, 5)), 300.0, NOW) == "no answer"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], ""),
        ([only("ok", 12, 12)], ""),
        ([only("timeout", -1, 599)], ""),
        ([Line(Endpoint("ts1", "ts1"), None, 0, False, ())], "not running: it has never asked any of these servers"),
        ([only("ok", 601, 601)], "not running: it asked last 10 min ago; start it (systemctl start x2gobroker-l"),
        ([only("ok", 12, 12), only("ok", 700, 700)], "1 of 2 servers were not asked for more than 10 min"),
    ],
)
def test_what_is_wrong_with_the_load_checker(found: list[Line], said: str) -> None:
    texts = trouble(found, WATCHED, NOW)
    assert len(texts) == bool(said)
    assert said in "".join(texts)


CONFIG = """
[global]
default-agent-query-mode = SSH
default-use-load-checker = true
cookie-directory = {folder}/state
[broker_inifile]
session-profiles = {folder}/profiles.conf
"""


@pytest.fixture
def arguments(files: Files, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that name a configuration with one profile of two servers."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(files.defaults))
    monkeypatch.setenv("COLUMNS", "120")
    files.write(CONFIG.replace("{folder}", str(files.folder)))
    (files.folder / "profiles.conf").write_text("[p]\nhost = ts1 (10.0.0.1), ts2\n")
    return ["load", "-C", str(files.config)]


def fill(settings: Settings) -> Services:
    """A store in which one server was asked just now, and the other one is drained."""
    services = Services()
    stores = services.of(scheduling_stores, settings)
    now = time.time()
    Loads(stores.loads.store).put(
        [
            ServerLoad("10.0.0.1:22", "ts1", "ok", LoadReport(101, 2000, 2, 1500, 4), now, now, 0.25),
            ServerLoad("ts2:22", "ts2", "host-key", None, now, 0.0, 0.1),
            ServerLoad("gone:22", "gone", "ok", LoadReport(101, 2000, 2, 1500), now, now, 0.1),
        ]
    )
    stores.drains.start("TS2", "root", "repairs")
    return services


def test_the_command(files: Files, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    fill(files.source.current())
    assert main.main(arguments) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:4] for line in out.splitlines()] == [
        ["SERVER", "ADDRESS", "STATE", "FACTOR"],
        ["ts1", "10.0.0.1:22", "ok", "5,940"],
        ["ts2", "ts2:22", "host", "key"],
    ]
    assert "host key refused, drained" in out
    assert err == ""


def test_json_for_programs(files: Files, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    fill(files.source.current())
    assert main.main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    first, second = said.pop("servers")
    assert said == {"running": True, "interval": 300.0}
    assert abs(first.pop("asked") - time.time()) < 60
    assert abs(first.pop("answered") - time.time()) < 60
    assert first == {
        "server": "ts1", "address": "10.0.0.1", "port": 22, "state": "ok", "fresh": True, "factor": 5940, "load": 1.0,
        "memory_mb": 2000, "cores": 2, "sessions": 4, "reserved": 0, "drained": False, "took": 0.25, "profiles": ["p"],
        "heard_by": None, "sessions_known": None,
    }  # fmt: skip
    assert (second["state"], second["factor"], second["answered"], second["drained"]) == ("host-key", None, None, True)


def test_the_command_says_how_each_server_is_heard(
    files: Files, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    services = fill(files.source.current())
    now = time.time()
    told = Told(now - 1, now, how="watch")
    Inventory(services.store(files.source.current())).take([(Endpoint("ts1", "10.0.0.1"), told)])
    assert main.main(arguments) == 0
    assert "ok (watch)" in capsys.readouterr().out
    assert main.main([*arguments, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["servers"]
    assert (first["heard_by"], first["sessions_known"]) == ("watch", now - 1)
    assert (second["heard_by"], second["sessions_known"]) == (None, None)


def test_no_store_yet(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(arguments) == 1
    assert "there is no state store" in capsys.readouterr().err


def test_a_store_that_no_load_checker_writes(
    files: Files, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Services().of(scheduling_stores, files.source.current()).loads.all()  # makes it
    assert main.main(arguments) == 1
    out, err = capsys.readouterr()
    assert out.count("not asked yet") == 2
    assert "the load checker is not running: it has never asked" in err
    assert main.main([*arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["running"] is False


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("broker-use-load-checker = false", "no session profile goes by load: set default-use-load-checker"),
        (
            "broker-agent-query-mode = NONE",
            "session profile [p] of inifile goes by load, but its servers are not asked",
        ),
    ],
)
def test_no_server_to_ask(
    files: Files, arguments: list[str], capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    profiles = files.folder / "profiles.conf"
    profiles.write_text(profiles.read_text() + line + "\n")
    assert main.main(arguments) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
