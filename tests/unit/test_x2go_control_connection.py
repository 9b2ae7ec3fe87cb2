"""A control session that is not connected, and what it does with the sessions that are shown."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import paramiko
import pytest

from x2gobroker.x2go import defaults
from x2gobroker.x2go.control import X2GoControlSession as ControlConnection
from x2gobroker.x2go.control import session as session_module
from x2gobroker.x2go.errors import X2GoControlSessionException, X2GoSFTPClientException, X2GoTerminalSessionException
from x2gobroker.x2go.log import LOGLEVEL_ERROR, X2GoLogger


class Shown:
    """A session that is shown."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails
        self.done: list[str] = []

    def suspend(self) -> bool:
        """Suspend it, or fail."""
        self.done.append("suspend")
        if self.fails:
            raise X2GoTerminalSessionException("it does not want to")
        return True

    def release_proxy(self) -> None:
        """End what shows it."""
        self.done.append("release")


def test_what_it_is_made_with() -> None:
    plain = ControlConnection()
    assert (plain.profile_name, plain.known_hosts, plain.forward_sshagent) == ("UNKNOWN", None, False)
    assert (plain.client_rootdir, plain.sessions_rootdir) == (defaults.CLIENT_ROOTDIR, defaults.SESSIONS_ROOTDIR)
    logger = X2GoLogger("x2go.other", LOGLEVEL_ERROR)
    made = ControlConnection("p", True, "", logger=logger, low_latency=True, something_else=7)
    assert (made.profile_name, made.add_to_known_hosts, made.known_hosts) == ("p", True, None)
    assert made.logger is logger
    assert made.low_latency is True


def test_without_a_connection_nothing_can_be_asked(tmp_path: Path) -> None:
    session = ControlConnection("office", known_hosts=str(tmp_path / "known_hosts"))
    assert (session.get_hostname(), session.get_port(), session.get_transport()) == (None, None, None)
    assert (session.is_connected(), session.is_alive(), session.has_session_died()) == (False, False, False)
    for ask in (
        session.home_exists,
        session.remote_username,
        session.remote_peername,
        session.test_sftpclient,
        lambda: session.command("true"),
        lambda: session.remote_home,
    ):
        with pytest.raises(X2GoControlSessionException, match="the session 'office' is not connected"):
            ask()
    assert session.disconnect() is False
    session.close()


def test_disconnecting_lets_go_of_all_sessions_also_of_those_that_cannot_be_suspended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = ControlConnection()
    shown: dict[str, Any] = {"one": Shown(fails=True), "two": Shown(fails=False)}
    session.associated_terminals.update(shown)
    session.disconnect()
    assert [each.done for each in shown.values()] == [["suspend", "release"]] * 2
    assert session.associated_terminals == {}
    assert "session one cannot be suspended: it does not want to" in caplog.text
    session.session_died = True
    gone: Any = Shown(fails=False)
    session.associated_terminals["gone"] = gone
    session.disconnect()
    assert gone.done == ["release"], "there is nobody to ask"


def test_one_that_nobody_has_any_more_hangs_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts do not keep it: programs that forget to disconnect leave no connection behind."""
    hung_up: list[bool] = []

    def hang_up(_session: ControlConnection, wait: bool = True) -> None:
        hung_up.append(wait)

    monkeypatch.setattr(ControlConnection, "_hang_up", hang_up)
    gc.disable()
    try:
        session = ControlConnection()
        del session
    finally:
        gc.enable()
    assert hung_up == [False]


def test_a_server_whose_shell_prints_before_files_are_exchanged_is_said_to_offer_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def garbage(_channel: object) -> None:
        raise paramiko.SFTPError("Garbage packet received")

    monkeypatch.setattr(session_module, "answers_until", lambda *_limits: contextlib.nullcontext())
    monkeypatch.setattr(paramiko, "SFTPClient", garbage)
    with pytest.raises(X2GoSFTPClientException, match="what its login shell prints"):
        session_module._sftp_client(Mock(), 1.0)
