"""What a control session asks a real X2Go Server, on good days and bad ones."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.client_home import client_home
from tests.support.desktop import Desktop
from tests.support.sshd import Sshd, children_of, sshd
from tests.support.x2go_control import change_database, control_session, locked_database
from tests.support.x2go_server import RunningSession, X2GoServer, cleaner_at_rest, x2go_server
from x2gobroker.x2go import defaults
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.control import queries as control_queries
from x2gobroker.x2go.errors import X2GoControlSessionException, X2GoTimeOutException
from x2gobroker.x2go.wire.commands import SEARCH_PATH
from x2gobroker.x2go.wire.pubapp import raw_applications

X2GO_SETTINGS = Path("/etc/x2go/x2goserver.conf")
NAME = "nobody-50-1795167317_stRxterm_dp24"
PLAIN_PROGRAMS = ("sh", "id", "stat", "cat", "date", "sleep", "hostname")

# An account on a server without X2Go: the programs of this machine, except X2Go's
WITHOUT_X2GO = """\
#!/bin/bash
usual="PATH={path};" own="PATH={folder};"
exec "$SHELL" -c "${{SSH_ORIGINAL_COMMAND/$usual/$own}}"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """One X2Go Server for all tests here."""
    with x2go_server(tmp_path_factory.mktemp("x2go-server"), users=2) as running:
        yield running


@pytest.fixture
def user(server: X2GoServer) -> Account:
    """Its user."""
    return server.users[0]


@pytest.fixture
def control(server: X2GoServer, user: Account) -> Iterator[X2GoControlSession]:
    """A control session."""
    with control_session(server.sshd, user) as connected:
        yield connected


@pytest.fixture(scope="module")
def session(server: X2GoServer, screen: Desktop) -> Iterator[RunningSession]:
    """A running session of one application."""
    with client_home() as home:
        yield server.start_session(server.users[0], screen, home)
        server.end_sessions(server.users[0])


@pytest.fixture
def plain_server(server: X2GoServer, user: Account, tmp_path: Path) -> Iterator[Sshd]:
    """Another sshd of this machine, for whose users X2Go is not there."""
    folder = user.home.parent / "plain"
    folder.mkdir(mode=0o755)
    for program in PLAIN_PROGRAMS:
        (folder / program).symlink_to(shutil.which(program) or program)
    forced = folder / "forced"
    forced.write_text(WITHOUT_X2GO.format(path=SEARCH_PATH, folder=folder), encoding="ascii")
    forced.chmod(0o755)
    try:
        config = f"PasswordAuthentication yes\nForceCommand {forced}\n"
        with sshd(tmp_path / "plain", config=config) as daemon:
            yield daemon
    finally:
        shutil.rmtree(folder)


def test_features_and_versions_are_asked_once(server: X2GoServer, user: Account, control: X2GoControlSession) -> None:
    features = control.query_server_features()
    assert features == sorted(server.run(user, "x2gofeaturelist").split())
    assert "X2GO_LIST_DESKTOPS" in features
    versions = control.query_server_versions()
    assert versions["x2goserver"] == server.run(user, "x2goversion x2goserver").strip()
    before = len(server.commands(user))
    features.clear()
    versions.clear()
    assert control.get_server_features()
    assert control.get_server_versions()
    assert len(server.commands(user)) == before
    assert control.get_server_features(force=True)
    assert control.get_server_versions(force=True)
    assert len(server.commands(user)) == before + 2


def test_who_may_start_sessions(server: X2GoServer, user: Account, control: X2GoControlSession) -> None:
    assert control.is_x2gouser(user.name) is True
    assert control.is_x2gouser(server.users[1].name) is False
    before = X2GO_SETTINGS.read_text(encoding="utf-8")
    try:
        X2GO_SETTINGS.write_text(before.replace("[limit users]", f"[limit users]\n{user.name}=0"), encoding="utf-8")
        assert control.is_x2gouser(user.name) is False
        X2GO_SETTINGS.write_text(before.replace("[limit users]", f"[limit users]\n{user.name}=1"), encoding="utf-8")
        assert control.is_x2gouser(user.name) is True
    finally:
        X2GO_SETTINGS.write_text(before, encoding="utf-8")


def test_folders_can_be_mounted_where_the_device_may_be_used(control: X2GoControlSession) -> None:
    device = Path("/dev/fuse")
    assert control.is_sshfs_available() is True
    mode = device.stat().st_mode
    try:
        device.chmod(0o600)
        assert control.is_sshfs_available() is False
    finally:
        device.chmod(mode)


def test_desktops_are_the_own_ones_and_those_that_others_share(
    user: Account, control: X2GoControlSession, session: RunningSession
) -> None:
    display = control.list_sessions()[session.name].display
    offered = Path("/tmp/x2godesktopsharing_@x2gt-somebody@:7777")
    offered.touch()
    offered.chmod(0o666)
    try:
        own = f"{user.name}@:{display}"
        assert {own, "x2gt-somebody@:7777"} <= set(control.list_desktops(raw=True).split())
        desktops = control.list_desktops()
        assert "x2gt-somebody@:7777" in desktops
        assert own not in desktops, "a session of one application is no desktop"
    finally:
        offered.unlink()


def test_mounts_of_a_session(control: X2GoControlSession, session: RunningSession) -> None:
    assert control.list_mounts(session.name) == []
    assert control.list_mounts(session.name, raw=True).strip() == ""
    path = "/tmp/.x2go-x/media/disk/_home_anna"
    with cleaner_at_rest():  # it looks into sessions, and takes mounts away
        change_database("INSERT INTO mounts VALUES (?, ?, ?)", session.name, path, "127.0.0.1")
        try:
            assert control.list_mounts(session.name) == [f"127.0.0.1|{path}"]
            assert path in control.list_mounts(session.name, raw=True)
        finally:
            change_database("DELETE FROM mounts WHERE session_id = ?", session.name)
    assert control.list_mounts(NAME) == []
    assert control.list_mounts("x; touch /tmp/pwned $(id)") == []


def test_published_applications(server: X2GoServer, user: Account, control: X2GoControlSession) -> None:
    folder = user.home / ".x2go" / "applications" / "more"
    folder.mkdir(parents=True)
    icon = folder / "icon.png"
    icon.write_bytes(bytes(range(256)) * 30)
    text = "[Desktop Entry]\nName=Zeta\nName[de]=Übung\nComment=a=b\nExec=tool --x='y' %U\nCategories=Game;\n"
    (folder / "zeta.desktop").write_text(f"{text}Terminal=false\nIcon={icon}\n[Other]\nExec=no\n", encoding="utf-8")
    (folder / "hidden.desktop").write_text("[Desktop Entry]\nName=H\nExec=h\nNoDisplay=true\n", encoding="utf-8")
    try:
        very_raw = control.get_published_applications(very_raw=True)
        assert very_raw == server.run(user, "x2gogetapps")
        raw = control.get_published_applications(raw=True)
        assert raw == raw_applications(str(very_raw))
        everything = control.get_published_applications(lang="de_DE", max_no_submenus=0)
        assert isinstance(everything, dict)
        (item,) = everything["de_DE"]["Games"]
        assert (item["name"], item["comment"], item["exec"]) == ("Übung", "a=b", "tool --x='y'")
        assert base64.b64decode(item["icon"] or "") == icon.read_bytes()
        before = len(server.commands(user))
        flat = control.get_published_applications(lang="en", max_no_submenus=-1)
        assert isinstance(flat, dict)
        assert list(flat) == ["en"]
        assert list(flat["en"]) == ["TOP"]
        again = control.get_published_applications(lang="de", max_no_submenus=-1)
        assert isinstance(again, dict)
        assert sorted(again) == ["de", "en"]
        assert len(server.commands(user)) == before, "the server was asked again"
        (folder / "zeta.desktop").unlink()
        fewer = control.get_published_applications(lang="en", refresh=True, max_no_submenus=-1)
        assert isinstance(fewer, dict)
        assert "Zeta" in [item["name"] for item in flat["en"]["TOP"]]
        assert "Zeta" not in [item["name"] for item in fewer["en"]["TOP"]]
    finally:
        shutil.rmtree(folder)


def test_a_locked_database_is_waited_for_and_never_an_empty_list(
    control: X2GoControlSession, session: RunningSession
) -> None:
    locked = threading.Event()

    def lock_for_a_while() -> None:
        with locked_database():
            locked.set()
            time.sleep(3)  # longer than the server's programs wait

    holder = threading.Thread(target=lock_for_a_while, daemon=True)
    holder.start()
    assert locked.wait(20)
    assert list(control.list_sessions(refresh=True)) == [session.name]
    holder.join(20)


def test_a_database_that_stays_locked_is_told(
    server: X2GoServer,
    user: Account,
    control: X2GoControlSession,
    session: RunningSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert control.is_running(session.name) is True
    with locked_database():
        with pytest.raises(X2GoTimeOutException, match="locked"):
            control.list_mounts(session.name, maxwait=3)
        with (
            control_session(server.sshd, user) as other,
            pytest.raises(X2GoControlSessionException, match="try again later"),
        ):
            other.is_x2gouser(user.name)
        assert control.is_x2gouser(user.name) is True, "it listed sessions already"
        monkeypatch.setattr(control_queries, "LISTING_SECONDS", 0.1)
        with pytest.raises(X2GoControlSessionException, match="session database is locked"):
            control.list_sessions(refresh=True)
        assert control.is_connected()
        assert not control.has_session_died()
    assert control.is_running(session.name) is True


def test_time_outs(control: X2GoControlSession, session: RunningSession) -> None:
    with pytest.raises(X2GoTimeOutException):
        control.list_desktops(maxwait=0.02)
    with pytest.raises(X2GoTimeOutException):
        control.list_mounts(session.name, maxwait=0.02)
    with pytest.raises(X2GoTimeOutException):
        control.list_desktops(raw=True, maxwait=0.02)
    assert control.is_running(session.name) is True


def test_a_server_that_does_not_list_in_time_is_taken_for_lost(
    server: X2GoServer, control: X2GoControlSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.list_sessions()
    serving = [pid for daemon in server.sshd.connections() for pid in (daemon, *children_of(daemon))]
    monkeypatch.setattr(defaults, "COMMAND_SECONDS", 0.5)
    for pid in serving:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(X2GoControlSessionException, match="does not list sessions"):
            control.list_sessions()
        assert time.monotonic() - begun < 5
        assert control.has_session_died()
        with pytest.raises(X2GoControlSessionException, match="connect again"):
            control.list_sessions()
    finally:
        for pid in serving:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_a_server_without_x2go_is_told(plain_server: Sshd, user: Account) -> None:
    with control_session(plain_server, user) as control:
        for question in (
            control.list_sessions,
            control.list_desktops,
            lambda: control.list_mounts(NAME),
            lambda: control.is_running(NAME),
            lambda: control.is_suspended(NAME),
            lambda: control.has_terminated(NAME),
        ):
            with pytest.raises(X2GoControlSessionException, match="is it an X2Go Server"):
                question()
        assert control.query_server_features() == []
        assert control.query_server_versions() == {}
        assert control.is_x2gouser(user.name) is False
        assert control.is_sshfs_available() is False
        assert control.get_published_applications() == {}
        assert control.get_published_applications(raw=True) == []
        assert control.get_published_applications(very_raw=True) == ""
        assert control.is_connected()
