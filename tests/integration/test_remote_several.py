"""Two desktops of one session type for one user, with real TigerVNC, PAM and D-Bus: neither takes the other's away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account, account_with_home, pam_service, processes_of
from tests.support.processes import wait_until
from tests.support.remote_types import left
from x2gobroker.remote import kept
from x2gobroker.remote.hold import CGROUP, NAMESPACE
from x2gobroker.remote.loader import realize
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.types import parse_types
from x2gobroker.remote.userfolder import NOTES

DEADLINE = 60.0
LOOK = """\
env > ~/found.new; mv ~/found.new ~/found
exec sleep 600
"""
PAM = """\
auth required pam_permit.so
account required pam_permit.so
session required pam_exec.so {program}
session required pam_env.so readenv=1 envfile={variables}
"""
BUS = "DBUS_SESSION_BUS_ADDRESS"
COMMON = "unix:path=/run/user/common-bus"  # what logind has all desktops of a user share


@pytest.fixture
def user() -> Iterator[Account]:
    """Somebody who signs in."""
    with account_with_home("Several-1") as made:
        yield made


class World:
    """Desktops of one user. `said`: what PAM was called for."""

    def __init__(self, state: Path, user: Account, service: str, per_user: int = 2) -> None:
        self.state = state
        self.user = user
        self.service = service
        self.per_user = per_user
        self.said: Callable[[], list[str]] = list

    def script(self, index: int) -> RemoteServiceScript:
        """The script of one slot, as it is made anew for each call."""
        options = {"command": ["bash", "-c", LOOK]}
        one = {"script": "tigervnc.py", "count": 3, "per-user": self.per_user, "options": options}
        one |= {"pam-service": self.service}
        kind = parse_types(json.dumps({"Desk": one}), self.state / "types.json").types["Desk"]
        return realize(kind, index, self.state)

    def start(self, index: int) -> dict[str, str]:
        """Start a desktop; the environment of its programs."""
        place = self.user.home / "found"
        place.unlink(missing_ok=True)
        options = {"username": self.user.name, "size": "640x480", "arguments": []}
        assert self.script(index).start("token", options=options), next(self.state.glob("*.last-log")).read_text()
        wait_until(place.exists, "the desktop having looked", DEADLINE)
        lines = place.read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def can(self, environment: dict[str, str], *words: str) -> bool:
        """Whether a program works, run by the user with this environment."""
        done = subprocess.run(
            words, user=self.user.name, group=self.user.name, extra_groups=[], env=environment, cwd="/",
            capture_output=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        return done.returncode == 0

    def works(self, environment: dict[str, str]) -> list[bool]:
        """Whether display, bus and folder of a desktop can be used."""
        names = ["--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames"]
        return [
            self.can(environment, "xdpyinfo"),
            self.can(environment, "dbus-send", "--session", "--print-reply", *names),
            self.can(environment, "sh", "-c", 'touch "$XDG_RUNTIME_DIR/mine"'),
        ]

    def keepers(self) -> list[int]:
        """The processes that keep desktops."""
        return [json.loads(path.read_text(encoding="utf-8"))["pid"] for path in self.state.glob("*/state.json")]


@pytest.fixture(params=[CGROUP, NAMESPACE])
def world(
    request: pytest.FixtureRequest, user: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """No desktop yet. Whatever holds their processes together, at the end nothing is left of them."""
    monkeypatch.setattr(kept, "HOLDS", (request.param,))
    state = Path(tempfile.mkdtemp(prefix="x2gt-several-"))
    state.chmod(0o711)
    program, said, variables = (tmp_path / name for name in ("write", "said", "variables"))
    program.write_text(f'#!/bin/sh\necho "$PAM_TYPE" >> {said}\n', encoding="utf-8")
    program.chmod(0o755)
    variables.write_text(f"{BUS}={COMMON}\n", encoding="utf-8")
    with pam_service("several", PAM.format(program=program, variables=variables)) as service:
        made = World(state, user, service)
        made.said = lambda: said.read_text(encoding="utf-8").split() if said.exists() else []
        try:
            yield made
        finally:
            ended = [made.script(index).stop() for index in range(3)]
            assert all(ended)
            wait_until(lambda: not processes_of(user.name), "the end of all desktops")
            assert left(state) == []
            assert not NOTES.exists() or list(NOTES.iterdir()) == []
            shutil.rmtree(state)


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_each_has_its_own_and_goes_alone(world: World, first_to_end: int) -> None:
    found = [world.start(0), world.start(1)]
    for name in ("DISPLAY", "XAUTHORITY", BUS):
        assert found[0][name] != found[1][name], name
    assert COMMON not in (found[0][BUS], found[1][BUS]), "the one that the login offers is for one desktop"
    assert found[0]["XDG_RUNTIME_DIR"] == found[1]["XDG_RUNTIME_DIR"], "that is the user's"
    assert [world.works(environment) for environment in found] == [[True] * 3] * 2
    assert not world.can({**found[0], "DISPLAY": found[1]["DISPLAY"]}, "xdpyinfo"), "its key opens no other display"
    assert world.said() == ["open_session"] * 2
    ended, other = found[first_to_end], found[1 - first_to_end]
    assert world.script(first_to_end).stop()
    assert world.said() == ["open_session"] * 2 + ["close_session"]
    assert world.works(ended)[:2] == [False, False]
    assert world.works(other) == [True] * 3
    assert world.script(1 - first_to_end).poll()
    again = world.start(first_to_end)
    assert again["XDG_RUNTIME_DIR"] == other["XDG_RUNTIME_DIR"]
    assert [world.works(environment) for environment in (other, again)] == [[True] * 3] * 2
    assert world.script(1 - first_to_end).stop()
    assert world.works(again) == [True] * 3
    assert world.script(first_to_end).stop()
    assert not Path(other["XDG_RUNTIME_DIR"]).exists()
    assert world.said().count("close_session") == 3


def test_one_whose_keeper_is_killed_takes_nothing_with_it(world: World) -> None:
    first = world.start(0)
    (keeper,) = world.keepers()
    second = world.start(1)
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not world.script(0).poll(), "the loss being seen", DEADLINE)
    assert world.script(0).stop()
    assert world.works(first)[0] is False
    assert world.works(second) == [True] * 3
    assert world.works(world.start(0)) == [True] * 3


def test_where_one_is_all_the_bus_of_the_login_is_used(world: World) -> None:
    world.per_user = 1
    assert world.start(0)[BUS] == COMMON
