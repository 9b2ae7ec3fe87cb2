"""Which servers are asked: those of the profiles that go by load, each once, however many profiles name it."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from tests.unit.configured import Files, replace
from x2gobroker.backends.base import Backend
from x2gobroker.backends.inifile import InifileBackend
from x2gobroker.backends.zeroconf import ZeroconfBackend
from x2gobroker.errors import PluginError
from x2gobroker.loadchecker.targets import Watch, Watched
from x2gobroker.model.profile_set import ProfileSet
from x2gobroker.settings import Settings

CONFIG = """
[global]
default-agent-query-mode = SSH
default-use-load-checker = true
load-checker-intervals = 60
[broker_inifile]
session-profiles = {profiles}
"""


class World:
    """A configuration, its profiles, and a watch over them."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.profiles = files.folder / "profiles.conf"
        self.backends: dict[str, Backend] = {
            "inifile": InifileBackend("inifile"),
            "zeroconf": ZeroconfBackend("zeroconf"),
        }
        self.configure(CONFIG)
        self.watch = Watch(files.source, self.backend)

    def configure(self, text: str) -> None:
        self.files.write(text.replace("{profiles}", str(self.profiles)))

    def backend(self, name: str) -> Backend:
        if name not in self.backends:
            raise PluginError(f"no {name!r} is registered")
        return self.backends[name]

    def watched(self, profiles: str) -> Watched:
        replace(self.profiles, profiles)
        return self.watch.current()


@pytest.fixture
def world(files: Files) -> World:
    return World(files)


def test_servers_of_all_profiles_each_once(world: World) -> None:
    watched = world.watched(
        "[a]\nhost = ts1 (10.0.0.1), ts2 (10.0.0.2:2222)\n"
        "[b]\nhost = ts2.example.org (10.0.0.2:2222)\n"
        "[c]\nhost = TS3\n"
    )
    assert sorted(watched.targets) == ["10.0.0.1:22", "10.0.0.2:2222", "ts3:22"]
    assert watched.interval == 60
    assert watched.profiles["inifile", "a"] == (("ts1", "10.0.0.1:22"), ("ts2", "10.0.0.2:2222"))
    assert watched.profiles["inifile", "b"] == (("ts2.example.org", "10.0.0.2:2222"),)
    assert watched.profiles_of("10.0.0.2:2222") == ["a", "b"]
    assert watched.profiles_of("nobody:22") == []
    target = watched.targets["10.0.0.2:2222"]
    assert (target.endpoint.name, target.rules.mode) == ("ts2", "SSH")


def test_the_port_of_the_profile_counts(world: World) -> None:
    assert list(world.watched("[a]\nsshport = 2022\nhost = ts1, ts2:22\n").targets) == ["ts1:2022", "ts2:22"]


@pytest.mark.parametrize("line", ["broker-agent-query-mode = NONE", "command = SHADOW", "host = "])
def test_profiles_that_are_not_asked_about(world: World, line: str) -> None:
    assert not world.watched(f"[a]\nhost = ts1\n{line}\n".replace("host = ts1\nhost = ", "host = ")).targets


@pytest.mark.parametrize("known_for", [-1, 60, 0])
def test_servers_that_nobody_chooses_by_load_are_looked_after_for_their_sessions(world: World, known_for: int) -> None:
    world.configure(CONFIG.replace("[broker_inifile]", f"sessions-known-for = {known_for}\n[broker_inifile]"))
    watched = world.watched("[a]\nhost = ts1\nbroker-use-load-checker = false\n")
    assert (list(watched.targets), watched.keeps_watch) == ((["ts1:22"], True) if known_for else ([], False))


def test_a_profile_that_goes_by_load_but_has_no_agents_is_said(world: World, said: pytest.LogCaptureFixture) -> None:
    watched = world.watched("[a]\nhost = ts1\nbroker-agent-query-mode = NONE\n")
    assert watched.silent == (("inifile", "a"),)
    world.watched("[a]\nhost = ts2\nbroker-agent-query-mode = NONE\n")
    assert said.text.count("session profile [a] of backend inifile goes by load, but its agent-query-mode") == 1


def test_this_host_is_asked_once(world: World) -> None:
    watched = world.watched("[DEFAULT]\nbroker-agent-query-mode = LOCAL\n[a]\nhost = localhost\n[b]\nhost = here\n")
    (target,) = watched.targets.values()
    assert (target.endpoint.name, target.endpoint.key) == (socket.gethostname(), "localhost:0")
    assert watched.profiles["inifile", "b"] == (("here", "localhost:0"),)


def test_of_different_rules_the_first_win(world: World, said: pytest.LogCaptureFixture) -> None:
    profiles = "[a]\nhost = ts1\n[b]\nhost = ts1\nbroker-agent-hostkey-policy = AutoAddPolicy\n"
    watched = world.watched(profiles)
    assert watched.targets["ts1:22"].rules.host_key_policy == "RejectPolicy"
    assert watched.disputed == (("ts1:22", ("inifile", "b")),)
    assert "X2Go Server ts1:22 is not asked as session profile [b] of backend inifile has it" in said.text


def test_all_enabled_backends(world: World) -> None:
    world.configure(CONFIG + "[broker_zeroconf]\nenable = true\n")
    watched = world.watched("[a]\nhost = ts1\n")
    assert set(watched.profiles) == {("inifile", "a"), ("zeroconf", "localhost")}
    assert sorted(watched.targets) == ["localhost:22", "ts1:22"]
    world.configure(CONFIG + "enable = false\n")
    assert not world.watch.current().targets


def test_nothing_is_made_anew_until_something_changes(world: World) -> None:
    first = world.watched("[a]\nhost = ts1\n")
    assert world.watch.current() is first
    second = world.watched("[a]\nhost = ts1, ts2\n")
    assert sorted(second.targets) == ["ts1:22", "ts2:22"]
    world.configure(CONFIG.replace("60", "61"))
    assert world.watch.current().interval == 61


def test_a_backend_that_does_not_load_keeps_the_others(world: World, said: pytest.LogCaptureFixture) -> None:
    world.configure(CONFIG + "[broker_zeroconf]\nenable = true\n")
    del world.backends["zeroconf"]
    assert list(world.watched("[a]\nhost = ts1\n").targets) == ["ts1:22"]
    world.watch.current()
    assert said.text.count("servers of backend zeroconf are not asked: no 'zeroconf' is registered") == 1


class Moody(Backend):
    """A backend of somebody else, with a bug."""

    broken = False

    def __init__(self, folder: Path) -> None:
        super().__init__("zeroconf")
        self.inner = InifileBackend("inifile")
        self.folder = folder

    def _profiles(self, settings: Settings) -> ProfileSet:
        if self.broken:
            raise RuntimeError("a bug")
        return self.inner._profiles(settings)


def test_a_backend_that_fails_keeps_its_last_servers(world: World, said: pytest.LogCaptureFixture) -> None:
    moody = Moody(world.files.folder)
    world.backends["zeroconf"] = moody
    world.configure(CONFIG + "enable = false\n[broker_zeroconf]\nenable = true\n")
    before = world.watched("[a]\nhost = ts1\n")
    assert list(before.targets) == ["ts1:22"]
    moody.broken = True
    assert world.watch.current().targets == before.targets
    assert [record.levelno for record in said.records if "a bug" in record.getMessage()] == [logging.ERROR]
