"""Commands inside of a session."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from x2gobroker.x2go import defaults
from x2gobroker.x2go.errors import X2GoTerminalSessionException
from x2gobroker.x2go.log import LOGLEVEL_ERROR, LOGLEVEL_INFO, LOGLEVEL_NOTICE
from x2gobroker.x2go.terminal.base import TerminalBase
from x2gobroker.x2go.texts import printable
from x2gobroker.x2go.wire.command_lines import assignments, keyboard_command, run_command_line, session_word
from x2gobroker.x2go.wire.commands import word
from x2gobroker.x2go.wire.params import PUBLISHED, RDP, SERVER_SIDE_NAMES, XDMCP

SHADOWED = re.compile(r"[01]XSHAD\S{1,200}XSHAD:[0-9]{1,5}")
PULSE = "pulse"


class TerminalCommands(TerminalBase):
    """The part of a terminal session that runs programs in it."""

    def has_command(self, cmd: str) -> bool:
        """Whether the server seems to have this command: names of desktops and kinds of applications, it always has.

        Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        cmd = cmd.strip().strip('"').strip()
        program = "rdesktop" if cmd == RDP else cmd.partition(" ")[0]
        if program in SERVER_SIDE_NAMES or cmd == XDMCP or SHADOWED.fullmatch(cmd):
            return True
        if cmd == PUBLISHED:
            return "X2GO_PUBLISHED_APPLICATIONS" in self.control_session.get_server_features()
        if not program.isprintable() or program.startswith("-") or ("/" in program and not program.startswith("/")):
            return False
        if program.startswith("/"):
            test = f"[ -f {word(program)} ] && [ -x {word(program)} ] && echo OK"
        else:
            # only files: the shell's own commands are none that a session could run
            test = f'p=$(command -v {word(program)}); case "$p" in /*) echo OK ;; esac' if program else ":"
        return self.control_session.command(test).output.strip() == "OK"

    def _tell_no_such_command(self) -> None:
        self.logger(f"the server has no command {printable(self.params.cmd, 100)}", LOGLEVEL_ERROR)
        self._call_hook(
            self.client_instance,
            "HOOK_no_such_command",
            profile_name=self.profile_name,
            session_name=self.session_info.name,
            cmd=self.params.cmd,
        )

    def run_command(
        self, cmd: str | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[str, str] | bool | None:
        """Run a command in the session, by default that of the session; when it ends, the session ends.

        `env` are further variables of its environment. Returns what was printed while it was started, stdout and
        stderr; False when the server has no such command; None for sessions that have none (XDMCP, views of others).
        Raises X2GoTerminalSessionException for a command that the server cannot take, X2GoControlSessionException,
        X2GoTimeOutException.
        """
        command = (cmd or self.params.cmd or "TERMINAL").strip()
        if command == XDMCP or "XSHAD" in command:
            return None
        if cmd:
            self.params.update(cmd=command)
        if command != self._found_command and not self.has_command(command):
            self._tell_no_such_command()
            return False
        info = self.session_info
        self.params.session_type = self.get_session_type()
        place = (info.display, info.agent_pid, info.name, info.snd_port)
        line = run_command_line(self.params, place, command, {**self._sound_variables(), **(env or {})})
        reply = self.control_session.command(line)
        if self.params.sets_keyboard:
            self.set_keyboard(self.params.kblayout, self.params.kbvariant)
        return reply.output, reply.errors

    def _sound_variables(self) -> dict[str, str]:
        if self.params.snd_system != PULSE:
            return {}
        return {"PULSE_CLIENTCONFIG": f"{self.session_info.remote_container}/.pulse-client.conf"}

    def exec_published_application(
        self, exec_name: str, timeout: float = defaults.COMMAND_SECONDS, env: Mapping[str, str] | None = None
    ) -> None:
        """Start a published application in this session: `exec_name` is its Exec line.

        It is split into words as the desktop entry specification says, and no shell sees it; places for files (%f, %U
        ...) are left out. Raises X2GoTerminalSessionException for what is no command, X2GoControlSessionException,
        X2GoTimeOutException after `timeout` seconds.
        """
        try:
            words = [each for each in shlex.split(exec_name) if not re.fullmatch(r"%[a-zA-Z]", each)]
        except ValueError as error:
            raise X2GoTerminalSessionException(f"this is not the command of an application: {error}") from None
        if not words or words[0].startswith("-") or not exec_name.isprintable():
            raise X2GoTerminalSessionException("this is not the command of an application")
        variables = {
            "DISPLAY": f":{self.session_info.display}",
            "X2GO_SESSION": self.session_info.name,
            **self._sound_variables(),
            **(env or {}),
        }
        session_word(self.session_info.name)
        command = " ".join(word(each.replace("%%", "%")) for each in words)
        self.logger(f"starting {printable(words[0], 100)} in session {self.session_info.name}", LOGLEVEL_NOTICE)
        line = f"{assignments(variables)}setsid {command} </dev/null >/dev/null 2>&1 &"
        self.control_session.command(line, timeout)

    def set_keyboard(self, layout: str = "null", variant: str = "null") -> bool:
        """Set layout and variant of the keyboard in the running session; `null` leaves one as it is.

        Whether that was possible. Raises X2GoTerminalSessionException for what is no layout,
        X2GoControlSessionException, X2GoTimeOutException.
        """
        if not self.is_running():
            return False
        name = self.session_info.name
        reply = self.control_session.command(keyboard_command(self.session_info.display, layout, variant))
        if reply.status == 0 and not reply.errors.strip():
            self.logger(
                f"session {name} has the keyboard {printable(layout, 60)} {printable(variant, 60)}", LOGLEVEL_INFO
            )
            return True
        self.logger(
            f"the keyboard of session {name} was not set: {printable(reply.errors.strip(), 200)}", LOGLEVEL_ERROR
        )
        return False
