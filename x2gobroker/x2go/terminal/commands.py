"""Commands inside of a session."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, Protocol

from x2gobroker.x2go import defaults
from x2gobroker.x2go.errors import X2GoTerminalSessionException, X2GoTimeOutException
from x2gobroker.x2go.hooks import call_hook
from x2gobroker.x2go.log import LOGLEVEL_ERROR, LOGLEVEL_INFO, LOGLEVEL_NOTICE, X2GoLogger
from x2gobroker.x2go.terminal.server import Server
from x2gobroker.x2go.texts import printable
from x2gobroker.x2go.weak import Weak
from x2gobroker.x2go.wire.command_lines import (
    SETTLED_SECONDS,
    assignments,
    keyboard_command,
    run_command_line,
    session_word,
    settled_command,
)
from x2gobroker.x2go.wire.commands import word
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo
from x2gobroker.x2go.wire.params import PUBLISHED, RDP, SERVER_SIDE_NAMES, XDMCP, X2GoSessionParams

SHADOWED = re.compile(r"[01]XSHAD\S{1,200}XSHAD:[0-9]{1,5}")
PULSE = "pulse"


class Running(Protocol):
    """What commands need of the session that they run in."""

    logger: X2GoLogger
    control_session: Server
    session_info: X2GoServerSessionInfo
    params: X2GoSessionParams
    profile_name: str
    client_instance: Any

    def get_session_type(self) -> str:
        """D, R, S, P or K."""

    def has_command(self, cmd: str) -> bool:
        """Whether the server seems to have this command."""

    def is_running(self) -> bool:
        """Whether it ran when the server was last asked."""

    def set_keyboard(self, layout: str, variant: str) -> bool:
        """Set layout and variant of the keyboard in the running session."""


class Commands:
    """The part of a terminal session that runs programs in it."""

    _terminal = Weak[Running]()

    def __init__(self, terminal: Running) -> None:
        self._terminal = terminal
        self.found = ""  # the command that the server has, as it said at the start

    @property
    def _info(self) -> X2GoServerSessionInfo:
        return self._terminal.session_info

    @property
    def _server(self) -> Server:
        return self._terminal.control_session

    @property
    def _params(self) -> X2GoSessionParams:
        return self._terminal.params

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._terminal.logger

    def has_command(self, cmd: str) -> bool:
        """Whether the server seems to have this command: names of desktops and kinds of applications, it always has."""
        cmd = cmd.strip().strip('"').strip()
        program = "rdesktop" if cmd == RDP else cmd.partition(" ")[0]
        if program in SERVER_SIDE_NAMES or cmd == XDMCP or SHADOWED.fullmatch(cmd):
            return True
        if cmd == PUBLISHED:
            return "X2GO_PUBLISHED_APPLICATIONS" in self._server.get_server_features()
        if not program.isprintable() or program.startswith("-") or ("/" in program and not program.startswith("/")):
            return False
        if program.startswith("/"):
            test = f"[ -f {word(program)} ] && [ -x {word(program)} ] && echo OK"
        else:
            # only files: the shell's own commands are none that a session could run
            test = f'p=$(command -v {word(program)}); case "$p" in /*) echo OK ;; esac' if program else ":"
        return self._server.command(test).output.strip() == "OK"

    def tell_no_such_command(self) -> None:
        self.logger(f"the server has no command {printable(self._params.cmd, 100)}", LOGLEVEL_ERROR)
        call_hook(
            self.logger,
            self._terminal.client_instance,
            "HOOK_no_such_command",
            profile_name=self._terminal.profile_name,
            session_name=self._info.name,
            cmd=self._params.cmd,
        )

    def run_command(
        self, cmd: str | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[str, str] | bool | None:
        """Run a command in the session, by default that of the session; when it ends, the session ends."""
        command = (cmd or self._params.cmd or "TERMINAL").strip()
        if command == XDMCP or "XSHAD" in command:
            return None
        if cmd:
            self._params.update(cmd=command)
        if command != self.found and not self._terminal.has_command(command):
            self.tell_no_such_command()
            return False
        info = self._info
        self._params.session_type = self._terminal.get_session_type()
        place = (info.display, info.agent_pid, info.name, info.snd_port)
        line = run_command_line(self._params, place, command, {**self._sound_variables(), **(env or {})})
        reply = self._server.command(line)
        self.adopt_keyboard()
        return reply.output, reply.errors

    def adopt_keyboard(self) -> None:
        """Give the session the keyboard that it was asked for, as soon as its agent is up.

        A server that takes too long for it is no reason to have no session. Raises X2GoControlSessionException.
        """
        if not self._params.sets_keyboard:
            return
        try:
            self._server.command(settled_command(self._info.name), SETTLED_SECONDS)
            self._terminal.set_keyboard(self._params.kblayout, self._params.kbvariant)
        except X2GoTimeOutException as error:
            self.logger(f"the keyboard of session {self._info.name} was not set: {error}", LOGLEVEL_ERROR)

    def _sound_variables(self) -> dict[str, str]:
        if self._params.snd_system != PULSE:
            return {}
        return {"PULSE_CLIENTCONFIG": f"{self._info.remote_container}/.pulse-client.conf"}

    def exec_published_application(
        self, exec_name: str, timeout: float = defaults.COMMAND_SECONDS, env: Mapping[str, str] | None = None
    ) -> None:
        """Start a published application in this session: `exec_name` is its Exec line."""
        try:
            words = [each for each in shlex.split(exec_name) if not re.fullmatch(r"%[a-zA-Z]", each)]
        except ValueError as error:
            raise X2GoTerminalSessionException(f"this is not the command of an application: {error}") from None
        if not words or words[0].startswith("-") or not exec_name.isprintable():
            raise X2GoTerminalSessionException("this is not the command of an application")
        variables = {
            "DISPLAY": f":{self._info.display}",
            "X2GO_SESSION": self._info.name,
            **self._sound_variables(),
            **(env or {}),
        }
        session_word(self._info.name)
        command = " ".join(word(each.replace("%%", "%")) for each in words)
        self.logger(f"starting {printable(words[0], 100)} in session {self._info.name}", LOGLEVEL_NOTICE)
        line = f"{assignments(variables)}setsid {command} </dev/null >/dev/null 2>&1 &"
        self._server.command(line, timeout)

    def set_keyboard(self, layout: str = "null", variant: str = "null") -> bool:
        """Set layout and variant of the keyboard in the running session; `null` leaves one as it is."""
        if not self._terminal.is_running():
            return False
        name = self._info.name
        reply = self._server.command(keyboard_command(self._info.display, layout, variant))
        if reply.status == 0 and not reply.errors.strip():
            self.logger(
                f"session {name} has the keyboard {printable(layout, 60)} {printable(variant, 60)}", LOGLEVEL_INFO
            )
            return True
        self.logger(
            f"the keyboard of session {name} was not set: {printable(reply.errors.strip(), 200)}", LOGLEVEL_ERROR
        )
        return False
