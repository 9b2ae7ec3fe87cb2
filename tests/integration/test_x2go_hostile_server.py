"""An X2Go Server that was taken over, and adds to the fields of the sessions that it lists; with a real nxproxy."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desktop import Desktop
from tests.support.mounts import mounted_over
from tests.support.processes import wait_until
from tests.support.shown_session import QUIET, client, resumed, started
from tests.support.x2go_server import X2GoServer, x2go_server
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.display.proxy import X2GoProxy
from x2gobroker.x2go.errors import X2GoProxyException

LISTER = Path("/usr/bin/x2golistsessions")
FIELDS = {"cookie": 6, "client": 7, "started": 5, "changed": 10}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """A real X2Go Server."""
    with x2go_server(tmp_path_factory.mktemp("hostile")) as running:
        yield running


@pytest.fixture
def control(server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch) -> Iterator[X2GoControlSession]:
    """A control session of the user, of which nothing may be left."""
    with client(server, server.users[0], screen, monkeypatch) as connected:
        yield connected
    server.end_sessions(server.users[0])


@contextlib.contextmanager
def lying(folder: Path, place: int, more: str) -> Iterator[None]:
    """Have the server add `more` to a field of each session that it lists."""
    real, liar = folder / "real", folder / "liar"
    shutil.copy(LISTER, real)
    program = f"""BEGIN {{ FS = OFS = "|" }} {{ $({place} + 1) = $({place} + 1) more; print }}"""
    command = f"{shlex.quote(str(real))} | awk -v more={shlex.quote(more)} {shlex.quote(program)}"
    liar.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    for path in (real, liar):
        path.chmod(0o755)
    with mounted_over(liar, LISTER):
        yield


@pytest.mark.parametrize("field", FIELDS)
def test_a_session_that_is_listed_with_options_for_the_proxy_is_not_resumed(
    server: X2GoServer, control: X2GoControlSession, tmp_path: Path, field: str
) -> None:
    victim = tmp_path / "bashrc"
    terminal = started(control, cmd="xterm")
    name = terminal.get_session_name()
    assert control.suspend(name)
    control._acts._suspended_here.clear()  # as in another client
    assert name in control.list_sessions(refresh=True)
    with lying(tmp_path, FIELDS[field], f",errors={victim}"):
        sessions = control.list_sessions(refresh=True)
        assert list(sessions) == []
        assert sessions.unclear == {name}
        assert control.resume(name, **QUIET) is None
        assert "does not list such a session" in control.last_failure
    assert not victim.exists()
    resumed(control, name)
    assert control.terminate(name)


def test_a_cookie_that_is_none_gets_into_no_options_of_a_real_nxproxy(
    server: X2GoServer, control: X2GoControlSession, tmp_path: Path
) -> None:
    victim = tmp_path / "bashrc"
    info = started(control, cmd="xterm").session_info
    info.local_container = str(tmp_path / "session")
    honest = info.cookie
    info.cookie = f"{honest},errors={victim}"
    proxy = X2GoProxy(info, control._live_transport(), sessions_rootdir=str(tmp_path))
    with pytest.raises(X2GoProxyException, match="no plain word") as caught:
        proxy.start_proxy()
    assert honest not in str(caught.value)
    assert not victim.exists()
    assert not (tmp_path / "session" / "options").exists()


def test_a_real_nxproxy_does_write_where_its_options_say(screen: Desktop, tmp_path: Path) -> None:
    """What the tests above are for."""
    victim = tmp_path / "bashrc"
    (tmp_path / "options").write_text(f"nx/nx,cookie={'0' * 32},errors={victim},connect=127.0.0.1,port=9:51")
    proxy = subprocess.Popen(
        ["nxproxy", "-S", "nx/nx,options=./options:51"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "NX_ROOT": str(tmp_path), "HOME": str(tmp_path), **screen.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(victim.exists, "nxproxy writing to the file")
    finally:
        proxy.kill()
        proxy.wait()
