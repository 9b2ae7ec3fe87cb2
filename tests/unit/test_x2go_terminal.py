"""A terminal session whose server is slow, or whose control session is gone."""

from __future__ import annotations

import gc
import weakref

from x2gobroker.x2go.errors import X2GoTimeOutException
from x2gobroker.x2go.terminal import X2GoTerminalSession
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo
from x2gobroker.x2go.wire.reply import Reply

NAME = "anna-50-1795167317_stRxterm_dp24"


class Server:
    """A server that takes too long for what is in `slow`."""

    remote_home = "/home/anna"

    def __init__(self, slow: str = "never") -> None:
        self.slow = slow
        self.asked: list[str] = []

    def command(self, command: str, *_limits: object, **_more: object) -> Reply:
        """Note it, and answer."""
        self.asked.append(command)
        if self.slow in command:
            raise X2GoTimeOutException("a command on the server did not end within 20 s")
        return Reply("OK", "", 0)

    def forget_sessions(self) -> None:
        """Nothing is remembered."""

    def get_hostname(self) -> str | None:
        return "server"

    def get_server_features(self, force: bool = False) -> list[str]:
        return []

    def get_transport(self) -> None:
        return None

    def is_connected(self) -> bool:
        return True

    def is_sshfs_available(self) -> bool:
        return False

    def remote_peername(self) -> tuple[object, ...]:
        return "192.0.2.1", 22

    def remote_username(self) -> str:
        return "anna"

    def suspend(self, session_name: str) -> bool:
        return True

    def terminate(self, session_name: str) -> bool:
        return True


def shown(server: Server) -> X2GoTerminalSession:
    """A session that runs on the server."""
    info = X2GoServerSessionInfo()
    info.name, info.status, info.initialized, info.display = NAME, "R", True, 50
    return X2GoTerminalSession(server, info, cmd="xterm", kbtype="pc105/de", kblayout="de")


def test_a_keyboard_that_takes_too_long_is_no_reason_to_have_no_session() -> None:
    for slow in ("setxkbmap", "STARTING"):
        server = Server(slow)
        assert shown(server).run_command() == ("OK", "")
    assert "x2goruncommand" in " ".join(server.asked)


def test_the_keyboard_is_set_when_the_agent_is_up() -> None:
    server = Server()
    shown(server).run_command()
    waiting = next(number for number, command in enumerate(server.asked) if "STARTING" in command)
    setting = next(number for number, command in enumerate(server.asked) if "setxkbmap" in command)
    assert waiting < setting


def test_a_session_that_nobody_has_any_more_is_gone_at_once() -> None:
    """Its parts do not keep it, nor the control session."""
    gc.disable()
    try:
        server = Server()
        terminal = shown(server)
        seen: list[weakref.ref[object]] = [weakref.ref(terminal), weakref.ref(server)]
        del terminal, server
        assert [each() for each in seen] == [None, None]
    finally:
        gc.enable()
