"""Query mode SSH: the broker agent behind the SSH server of an X2Go Server."""

from __future__ import annotations

import shlex
from functools import lru_cache
from pathlib import Path

from x2gobroker.agents.answers import LARGEST_ANSWER
from x2gobroker.agents.base import (
    HOST_KEY,
    LOGIN,
    NONSENSE,
    REFUSED,
    TIMEOUT,
    UNREACHABLE,
    AgentStream,
    BrokerAgent,
    Reply,
)
from x2gobroker.agents.rules import AgentRules, split_proxy
from x2gobroker.errors import AgentError, SshError
from x2gobroker.logs import field
from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.pool import SshPool
from x2gobroker.ssh.routes import Login, Route, Trust
from x2gobroker.ssh.stream import CommandStream

SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
# Debian's agent cuts the command at the first semicolon, wherever it stands
FORBIDDEN = ";"
REASONS = {"unreachable": UNREACHABLE, "timeout": TIMEOUT, "host-key": HOST_KEY, "login": LOGIN, "broken": UNREACHABLE}


class SshAgent(BrokerAgent):
    """Runs the program over connections that are kept; authorized_keys there restricts the broker's key to it."""

    def __init__(self) -> None:
        self._pool = SshPool()

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        done = _command(rules.command, words)
        try:
            executed = self._pool.execute(route_to(server, rules), done, seconds, max_bytes=LARGEST_ANSWER)
        except SshError as error:
            raise _agent_error(error) from error
        return Reply(executed.output, executed.errors, executed.status)

    def _listen(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> AgentStream:
        command = _command(rules.command, words)
        try:
            return _Stream(self._pool.listen(route_to(server, rules), command, seconds))
        except SshError as error:
            raise _agent_error(error) from error

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _Stream(AgentStream):
    """A channel of a connection that is kept."""

    def __init__(self, stream: CommandStream) -> None:
        self._stream = stream

    def receive(self, seconds: float) -> bytes:
        try:
            return self._stream.receive(seconds)
        except SshError as error:
            raise _agent_error(error) from error

    def complaint(self) -> str:
        return self._stream.complaint()

    def stop(self) -> None:
        self._stream.stop()

    def close(self) -> None:
        self._stream.close()


def _agent_error(error: SshError) -> AgentError:
    return AgentError(str(error), REASONS.get(error.reason, NONSENSE))


def _command(program: str, words: tuple[str, ...]) -> str:
    """The line for the shell on the other side. Both agents take their words from SSH_ORIGINAL_COMMAND.

    Raises AgentError where that would not arrive as it is.
    """
    command = shlex.join([program, *words])
    if FORBIDDEN in command:
        raise AgentError("an argument has a semicolon, which broker agents cannot be sent", REFUSED)
    return command


@lru_cache(maxsize=1024)
def route_to(server: Endpoint, rules: AgentRules) -> Route:
    """The way to a server's broker agent. Raises AgentError when the proxy is written wrongly."""
    trust = Trust((rules.folder / "known_hosts", SYSTEM_KNOWN_HOSTS), rules.host_key_policy)
    proxy = None
    if rules.proxy:
        try:
            user, endpoint = split_proxy(rules.proxy)
        except ValueError as error:
            raise AgentError(f"SSH proxy {field(rules.proxy)}: {error}", REFUSED) from None
        proxy = Route(endpoint, Login(user or rules.user, rules.folder), trust)
    return Route(server, Login(rules.user, rules.folder), trust, proxy)
