"""What every query mode is: a way to a broker agent. Tasks and their answers are the same for all of them.

Source of tasks and answers: the broker agent of x2gobroker 0.0.4.3 (docs/reference/protocol.md).
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, final

from x2gobroker.agents.answers import (
    MOST_BYTES,
    MOST_LINES,
    RefusalError,
    parse_busy_servers,
    parse_servers,
    parse_sessions,
    parse_tasks,
    payload,
)
from x2gobroker.agents.reports import MOST_REPORT_BYTES, MOST_REPORT_LINES, parse_report
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.logs import broker_log, field
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.load import LoadReport, parse_load
from x2gobroker.model.server_report import ServerReport
from x2gobroker.model.sessions import SESSION_NAME, ServerSession

# why a call failed; the first four say that the server is in trouble, and count for the circuit breaker
UNREACHABLE = "unreachable"  # no connection, or it broke
TIMEOUT = "timeout"  # no whole answer in time
HOST_KEY = "host-key"  # not the server that is known, or not known
LOGIN = "login"  # the broker's key is not accepted
NONSENSE = "nonsense"  # an answer that cannot be
REFUSED = "refused"  # the agent says no, or does not know the task
LEFT_OUT = "left-out"  # not asked: it failed too often of late
SERVER_TROUBLE = (UNREACHABLE, TIMEOUT, HOST_KEY, LOGIN)

NOBODY = "nobody"  # for tasks that are about no user; agents want a word there
SESSION_SECONDS = 20.0
OPEN_ENDED = ("getservers",)  # with SQLite, its only line has no end
REPORT = "report"
WATCH = "watch"
SIZES = {REPORT: (MOST_REPORT_BYTES, MOST_REPORT_LINES)}  # bytes and lines of answers that may be larger than others
# Debian's agent puts both into the command line of a shell, and the key line into a pattern of sed
KEY_LINE = re.compile(r'[A-Za-z0-9 @._,=+/:"-]{1,16384}')
KEYS_FILE = re.compile(r"[A-Za-z0-9@._+/%-]{1,1000}")

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """What came back from the agent's program, limited in size, and its exit status (None where it got lost)."""

    output: bytes
    errors: bytes
    status: int | None


class AgentStream(ABC):
    """What an agent says that goes on talking. For one thread, but for `stop`."""

    @abstractmethod
    def receive(self, seconds: float) -> bytes:
        """What has come, at least a byte; nothing at the end. Raises AgentError: TIMEOUT after so many seconds."""

    @abstractmethod
    def complaint(self) -> str:
        """Why it has ended, as far as anybody knows; fit for a log."""

    @abstractmethod
    def stop(self) -> None:
        """For any thread, also again and after `close`: let the agent end, and with it what is received."""

    @abstractmethod
    def close(self) -> None:
        """Give back what it takes; the agent ends."""


class BrokerAgent(ABC):
    """A query mode. A plug-in derives from this class, writes `_call` and registers under `x2gobroker.agents`.

    The entry point's name is the mode, in small letters. Every method raises AgentError; one that returns has done it.
    Safe for threads.
    """

    @abstractmethod
    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        """Run the agent on `server` with the arguments `words` (user, task, more). Raises AgentError.

        What `words` hold was checked; it must reach the agent as it is, through whatever shell there is on the way.
        """

    def _listen(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> AgentStream:
        """Start the agent as `_call` does, within `seconds`, for what it says from then on. Raises AgentError.

        Its standard input stays open until the stream is closed. A query mode that cannot do this asks for reports.
        """
        raise AgentError(f"agents of query mode {rules.mode} cannot be watched", REFUSED)

    def close(self) -> None:
        """Give up connections that are kept. Nothing, unless overridden."""
        return

    @final
    def ask(
        self,
        server: Endpoint,
        rules: AgentRules,
        user: str,
        task: str,
        *arguments: str,
        seconds: float = 0,
        changes: bool = False,
    ) -> list[str]:
        """The lines behind the OK of the agent's answer. Raises AgentError.

        `seconds` is the deadline, that of the rules where it is 0. With `changes`, whatever the agent says on its
        standard error stream means that it failed, as with the reference broker: its agent says OK first.
        """
        words = (user or NOBODY, task, *arguments)
        if not all(word.isprintable() and word and not word.startswith("-") for word in words):
            raise AgentError(f"agent task {task}: an argument is empty or cannot be passed on", REFUSED)
        begun = time.monotonic()
        try:
            reply = self._call(server, rules, words, seconds or rules.timeout)
            most = SIZES.get(task, (MOST_BYTES, MOST_LINES))
            lines = payload(reply.output, reply.errors, changes, reply.status, task in OPEN_ENDED, *most)
        except RefusalError as error:
            raise AgentError(f"agent on {field(server.name)}: {task}: {error}", REFUSED) from None
        except ValueError as error:
            raise AgentError(f"agent on {field(server.name)}: {task}: {error}", NONSENSE) from None
        broker_log.debug(
            "agent on %s: %s for %s took %.0f ms, %d lines",
            field(server.key),
            task,
            field(user),
            (time.monotonic() - begun) * 1000,
            len(lines),
        )
        return lines

    @final
    def ping(self, server: Endpoint, rules: AgentRules) -> None:
        """Returns if the agent answers."""
        self.ask(server, rules, NOBODY, "ping")

    @final
    def available_tasks(self, server: Endpoint, rules: AgentRules) -> frozenset[str]:
        """The tasks that the agent knows."""
        return self._parsed(server, parse_tasks, self.ask(server, rules, NOBODY, "availabletasks"))

    @final
    def list_sessions(self, server: Endpoint, rules: AgentRules, user: str) -> list[ServerSession]:
        """The user's sessions, running and suspended, on all servers of the agent's session database."""
        lines = self.ask(server, rules, user, "listsessions")
        sessions, rubbish = parse_sessions(lines, user)
        if rubbish and not sessions:
            raise AgentError(f"agent on {field(server.name)}: listsessions: {rubbish[0]}", NONSENSE)
        if rubbish:
            broker_log.warning(
                "agent on %s: listsessions has %d lines that cannot be; the first: %s",
                field(server.key),
                len(rubbish),
                rubbish[0],
            )
        return sessions

    @final
    def get_servers(self, server: Endpoint, rules: AgentRules, user: str) -> dict[str, int | None]:
        """Sessions by server; None where the agent's session database does not count them (SQLite)."""
        return self._parsed(server, parse_servers, self.ask(server, rules, user, "getservers"))

    @final
    def find_busy_servers(self, server: Endpoint, rules: AgentRules, user: str) -> dict[str, int]:
        """Percentage of all sessions, by server; servers without sessions are left out."""
        return self._parsed(server, parse_busy_servers, self.ask(server, rules, user, "findbusyservers"))

    @final
    def check_load(self, server: Endpoint, rules: AgentRules) -> LoadReport:
        """What the server says of its load."""
        return self._parsed(server, parse_load, self.ask(server, rules, NOBODY, "checkload"))

    @final
    def report(self, server: Endpoint, rules: AgentRules) -> ServerReport:
        """Load and all sessions of the server. An agent that is not ours does not know this: the error is REFUSED."""
        lines = self.ask(server, rules, NOBODY, REPORT)
        return self._parsed(server, lambda lines: parse_report(lines, time.time()), lines)

    @final
    def watch(self, server: Endpoint, rules: AgentRules, silence: int) -> AgentStream:
        """Load and sessions of the server from now on, for a `WatchStream`; a word every `silence` seconds at least."""
        return self._listen(server, rules, (NOBODY, WATCH, str(silence)), rules.timeout)

    @final
    def add_auth_key(
        self, server: Endpoint, rules: AgentRules, user: str, line: str, keys_file: str, seconds: int
    ) -> None:
        """Let the key in `line` in for the user. An agent of ours also makes sshd refuse it after `seconds`."""
        _check_key(line, keys_file)
        self.ask(server, rules, user, "addauthkey", line, keys_file, str(seconds), changes=True)

    @final
    def del_auth_key(self, server: Endpoint, rules: AgentRules, user: str, line: str, keys_file: str) -> None:
        """Take the key away, if it is there; `line` as it was added."""
        _check_key(line, keys_file)
        self.ask(server, rules, user, "delauthkey", line, keys_file, changes=True)

    @final
    def suspend_session(self, server: Endpoint, rules: AgentRules, user: str, session: str) -> None:
        """Suspend a session of the user; an agent of ours returns when it is suspended."""
        self._end(server, rules, user, "suspendsession", session)

    @final
    def terminate_session(self, server: Endpoint, rules: AgentRules, user: str, session: str) -> None:
        """Terminate a session of the user; an agent of ours returns when it is gone."""
        self._end(server, rules, user, "terminatesession", session)

    def _end(self, server: Endpoint, rules: AgentRules, user: str, task: str, session: str) -> None:
        if not SESSION_NAME.fullmatch(session):
            raise AgentError(f"{task}: {field(session)} is no name of an X2Go session", REFUSED)
        self.ask(server, rules, user, task, session, seconds=rules.timeout + SESSION_SECONDS, changes=True)

    @staticmethod
    def _parsed(server: Endpoint, parse: Callable[[list[str]], T], lines: list[str]) -> T:
        try:
            return parse(lines)
        except ValueError as error:
            raise AgentError(f"agent on {field(server.name)}: {error}", NONSENSE) from None


def _check_key(line: str, keys_file: str) -> None:
    """Raises AgentError where an agent would have to quote what it may not quote well."""
    if not KEY_LINE.fullmatch(line):
        raise AgentError("the line of a public key has characters that do not belong there", REFUSED)
    if not KEYS_FILE.fullmatch(keys_file):
        raise AgentError(
            f"{field(keys_file)}: write authorized-keys paths with letters, digits and @ . _ + / % - only", REFUSED
        )
