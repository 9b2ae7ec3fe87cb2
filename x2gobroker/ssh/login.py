"""Logging in on a connection whose host key was checked: keys one after another, then the password."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import paramiko

from x2gobroker.logs import broker_log, field
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.failures import ConnectionBroken, LoginRefused
from x2gobroker.ssh.keys import described, load_keys, load_old_keys, read_private_key
from x2gobroker.ssh.routes import Route

AGENT_SECONDS = 5.0
MOST_TRIES = 5  # sshd ends the connection at the sixth (MaxAuthTries), and may count that as an attack
RSA_ALGORITHMS = frozenset(("rsa-sha2-256", "rsa-sha2-512"))


def log_in(transport: paramiko.Transport, route: Route, deadline: Deadline) -> None:
    """Returns logged in. Raises LoginRefused, SshTimeout, ConnectionBroken."""
    login = route.login
    attempts = _Attempts(transport, route, deadline)
    with contextlib.ExitStack() as stack:
        agent_keys = stack.enter_context(keys_of_agent(deadline)) if login.use_agent else ()
        for key in _keys(route, agent_keys)[: MOST_TRIES - bool(login.password)]:
            if attempts.is_taken(key) and attempts.succeeds(
                f"key {described(key.get_name(), key.asbytes())}", _with_key(transport, login.user, key)
            ):
                _warn_of_old(route, key, attempts.tried)
                return
    if login.password and _log_in_with_password(attempts, transport, route):
        return
    raise _refused(route, attempts.tried)


@contextlib.contextmanager
def keys_of_agent(deadline: Deadline) -> Iterator[tuple[paramiko.PKey, ...]]:
    """The keys of the SSH agent of this process, for the length of a `with` block; none, where there is no agent.

    One that does not answer in time is a line in the log.
    """
    path = os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        yield ()
        return
    agent = _Agent()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(min(AGENT_SECONDS, deadline.left() / 2))
        keys: tuple[paramiko.PKey, ...] = ()
        try:
            connection.connect(path)
            keys = agent.keys_over(connection)
            connection.settimeout(deadline.left())  # an agent may ask its user before it signs
        except (paramiko.SSHException, OSError) as error:
            broker_log.warning("SSH agent: its keys cannot be used: %s", field(str(error), 200))
        yield keys


class _Agent(paramiko.agent.AgentSSH):
    """paramiko's own opens its connection itself, waits for ever, and leaves closing to the garbage collection."""

    def keys_over(self, connection: socket.socket) -> tuple[paramiko.PKey, ...]:
        self._connect(connection)  # type: ignore[attr-defined]  # the stubs leave it out
        return tuple(self.get_keys())


def _log_in_with_password(attempts: _Attempts, transport: paramiko.Transport, route: Route) -> bool:
    """One try only: more of them could lock the account."""
    user, password = route.login.user, route.login.password

    def by_password(done: threading.Event) -> None:
        transport.auth_password(user, password, done, fallback=False)

    def by_questions(done: threading.Event) -> None:
        transport.auth_handler = paramiko.auth_handler.AuthHandler(transport)
        transport.auth_handler.auth_interactive(user, _Answer(password), done)

    if "password" not in attempts.allowed and "keyboard-interactive" in attempts.allowed:
        return attempts.succeeds("the password", by_questions)
    if attempts.succeeds("the password", by_password):
        return True
    if attempts.was_not_taken and "keyboard-interactive" in attempts.allowed:
        return attempts.succeeds("the password", by_questions)
    return False


class _Answer:
    """Answers one question, the password's; further ones get nothing."""

    def __init__(self, password: str) -> None:
        self._left = [password]

    def __call__(self, _title: str, _text: str, questions: Sequence[tuple[str, bool]]) -> list[str]:
        return [self._left.pop() if self._left else "" for _ in questions]


class _Attempts:
    """What was tried on one connection, and what the server still takes."""

    def __init__(self, transport: paramiko.Transport, route: Route, deadline: Deadline) -> None:
        self._transport = transport
        self._route = route
        self._deadline = deadline
        self.tried: list[str] = []
        self.allowed: Sequence[str] = ("publickey", "password")
        self.was_not_taken = False

    def is_taken(self, key: paramiko.PKey) -> bool:
        """Whether the server takes keys of this type at all; a try with another would end the connection."""
        if "publickey" not in self.allowed:
            return False
        extensions: dict[str, bytes] = getattr(self._transport, "server_extensions", {})
        said = extensions.get("server-sig-algs", b"").decode("ascii", "replace")
        algorithms = RSA_ALGORITHMS if key.get_name() == "ssh-rsa" else {key.get_name()}
        return not said or not algorithms.isdisjoint(said.split(","))

    def succeeds(self, what: str, start: Callable[[threading.Event], None]) -> bool:
        """One try. Raises SshTimeout, ConnectionBroken; LoginRefused when the server has had enough of it."""
        done = threading.Event()
        self.was_not_taken = False
        self.tried.append(what)
        try:
            start(done)
        except (paramiko.SSHException, OSError, EOFError):
            done.set()  # the connection has ended
        if not done.wait(self._deadline.left()):
            raise self._deadline.passed()
        if self._transport.is_authenticated():
            return True
        error = self._transport.get_exception()
        if isinstance(error, paramiko.BadAuthenticationType):  # a PartialAuthentication is one, too
            self.allowed = tuple(error.allowed_types)
            self.was_not_taken = not isinstance(error, paramiko.ssh_exception.PartialAuthentication)
        if not self._transport.is_active():
            if len(self.tried) > 1:
                raise _refused(self._route, self.tried)
            raise ConnectionBroken(f"{self._route.shown}: the server ended the connection during the login")
        return False


def _with_key(transport: paramiko.Transport, user: str, key: paramiko.PKey) -> Callable[[threading.Event], None]:
    def start(done: threading.Event) -> None:
        transport.auth_publickey(user, key, done)

    return start


def _keys(route: Route, agent_keys: Sequence[paramiko.PKey]) -> list[paramiko.PKey]:
    """The keys to try, each once."""
    login = route.login
    keys: list[paramiko.PKey] = []
    if login.private_key:
        try:
            keys.append(read_private_key(login.private_key))
        except ValueError as error:
            raise LoginRefused(f"{route.shown}: the given private key cannot be used: {error}") from None
    keys += login.keys
    if login.keys_folder is not None:
        keys += load_keys(login.keys_folder)
    keys += agent_keys
    keys += login.last_keys
    return list({key.asbytes(): key for key in keys}.values())


def _warn_of_old(route: Route, key: paramiko.PKey, tried: Sequence[str]) -> None:
    """Who changes the broker's key has to know which servers do not have the new one yet."""
    folder = route.login.keys_folder
    if folder is not None and len(tried) > 1 and key in load_old_keys(folder):
        broker_log.warning(
            "%s: the server takes the old key %s only; run x2gobroker-pubkeyauthorizer there before you remove the key",
            route.shown,
            described(key.get_name(), key.asbytes()),
        )


def _refused(route: Route, tried: Sequence[str]) -> LoginRefused:
    login = route.login
    if not tried:
        folder = login.keys_folder or "the keys' folder"
        return LoginRefused(
            f"{route.shown}: no login, because there is no key that the server takes in {folder}; run "
            "x2gobroker-keygen, then x2gobroker-pubkeyauthorizer on that server",
            tried,
        )
    return LoginRefused(
        f"{route.shown}: the server refuses {', '.join(tried)}; run `x2gobroker-pubkeyauthorizer --broker-url "
        f"https://BROKER/pubkeys/` on that server, or put the public key into ~{login.user}/.ssh/authorized_keys there",
        tried,
    )
