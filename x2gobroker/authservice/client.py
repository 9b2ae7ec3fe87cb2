"""The broker's side of the authentication service: one connection per login, the newer form where it is spoken."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from x2gobroker.authservice.protocol import (
    ACCOUNT,
    AUTHENTICATE,
    BUSY,
    FAILED,
    FORGET_TICKET,
    HELLO,
    KEEP_TICKET,
    LENGTH,
    LOOKED,
    OK,
    REFUSED,
    SET_PASSWORD,
    TIMEOUT,
    UNAVAILABLE,
    ProtocolError,
    decode_body,
    encode_frame,
    frame_length,
)
from x2gobroker.errors import AuthMechanismError

DEADLINE = 35.0
RETRY_SECONDS = 0.02
PEER_PID = struct.Struct("i8x")  # of struct ucred
ADVICE = "start x2gobroker-authservice, or see docs/how-to/authentication-service.md"


@dataclass(frozen=True)
class Answer:
    """What the service says. `delay_ms` is how long PAM wants a refusal to wait. `ticket` is the handle of the Kerberos
    ticket that the login has got, where one was wanted and there is one.
    """

    granted: bool
    reason: str
    delay_ms: int = 0
    wrong_present: bool = False
    ticket: str = ""


class OnlyPasswordsError(AuthMechanismError):
    """The service is the reference's, or as old as that: it says whether a password is right, and no more."""


class AuthServiceClient:
    """Asks the service behind one socket; safe for threads."""

    def __init__(self, path: Path, deadline: float = DEADLINE) -> None:
        self.path = path
        self._deadline = deadline
        self._lock = threading.Lock()
        self._old_form_at: tuple[int, int] | None = None

    def authenticate(
        self, service: str, user: str, password: str, code: str | None = None, address: str = "", ticket: bool = False
    ) -> Answer:
        """Whether PAM takes this user and password; `code` answers a second question. With `ticket`, the login's
        Kerberos ticket waits for `keep_ticket`.

        Raises AuthMechanismError when the service cannot be asked, is too busy, or PAM could not tell; `looked` of it
        says whether PAM may have seen the password.
        """
        request: dict[str, Any] = {"op": AUTHENTICATE, "service": service, "user": user, "password": password}
        request["address"] = address
        if code is not None:
            request["code"] = code
        if ticket:
            request["ticket"] = True
        return self._ask(request)

    def keep_ticket(self, service: str, user: str, handle: str, seconds: int) -> Answer:
        """Keep the ticket of a login, for so many seconds at most: the user was let in. Raises AuthMechanismError."""
        return self._ask({"op": KEEP_TICKET, "service": service, "user": user, "ticket": handle, "seconds": seconds})

    def forget_ticket(self, service: str, user: str, older: int = 0) -> Answer:
        """Keep no ticket of the user any more, unless it is less than `older` seconds old.

        Raises AuthMechanismError.
        """
        request = {"op": FORGET_TICKET, "service": service, "user": user}
        return self._ask({**request, "older": older} if older else request)

    def change_password(self, service: str, user: str, old: str, new: str) -> Answer:
        """Change a password through PAM. Raises AuthMechanismError, also where the service has only the old form."""
        return self._ask({"op": SET_PASSWORD, "service": service, "user": user, "password": old, "new": new})

    def account(self, service: str, user: str, address: str = "") -> Answer | None:
        """Whether an account may still log in, as PAM's account phase has it; None of a service that only checks
        passwords, as the reference's. Raises AuthMechanismError."""
        try:
            return self._ask({"op": ACCOUNT, "service": service, "user": user, "address": address})
        except OnlyPasswordsError:
            return None

    def _ask(self, request: dict[str, Any]) -> Answer:
        sent = False
        try:
            if not self._speaks_old_form():
                with self._connected() as connection:
                    connection.send(HELLO)
                    if connection.receive_line() == HELLO:
                        frame = encode_frame(request)
                        sent = True
                        connection.send(frame)
                        return understood(connection.receive_frame())
            sent = True
            answer = self._ask_in_old_form(request)
            self._remember_old_form()
            return answer
        except (ProtocolError, OSError, UnicodeEncodeError) as error:
            raise AuthMechanismError(f"{self.path}: {self._words(error)}", looked=sent) from None

    def _words(self, error: Exception) -> str:
        """What went wrong, and what to do about it; nothing of what was typed."""
        if isinstance(error, TimeoutError):
            return f"no answer within {self._deadline:g} s; {ADVICE}"
        if isinstance(error, UnicodeEncodeError):
            return "what was typed is no possible text"
        if isinstance(error, PermissionError):
            return "this process may not ask; run it as a member of the socket's group"
        if isinstance(error, OSError):
            return f"{error.strerror or 'connection ended'}; {ADVICE}"
        return str(error)

    def _ask_in_old_form(self, request: dict[str, Any]) -> Answer:
        """The reference's service says yes or no, and cannot be asked everything."""
        if request["op"] != AUTHENTICATE or "code" in request:
            raise OnlyPasswordsError(f"{self.path} is a service that only checks passwords; {ADVICE}", looked=False)
        fields = [request[name] for name in ("user", "password", "service")]
        if any(end in field for field in fields for end in "\r\n"):
            raise AuthMechanismError(
                f"{self.path} is a service that takes no line ends in passwords; {ADVICE}", looked=False
            )
        with self._connected() as connection:
            connection.send(("\r".join(fields) + "\n").encode())
            answer = connection.receive_line()
        if answer not in (b"ok\n", b"fail\n"):
            raise ProtocolError("the service gives no answer; may this process ask, see the service's log")
        granted = answer == b"ok\n"
        return Answer(granted, "PAM accepts the password" if granted else "PAM refuses")

    def _identity(self) -> tuple[int, int]:
        status = os.stat(self.path)
        return status.st_dev, status.st_ino

    def _speaks_old_form(self) -> bool:
        return self._old_form_at is not None and self._old_form_at == self._identity()

    def _remember_old_form(self) -> None:
        with self._lock:
            self._old_form_at = self._identity()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
            connection = Connection(raw, time.monotonic() + self._deadline)
            connection.connect(self.path)
            yield connection


def understood(reply: dict[str, Any]) -> Answer:
    """What a reply means. Raises AuthMechanismError where there was no telling, ProtocolError for nonsense."""
    result, reason = reply.get("result"), str(reply.get("reason", ""))[:200]
    if result == OK:
        ticket = reply.get("ticket")
        return Answer(True, "PAM accepts the password", ticket=ticket if isinstance(ticket, str) else "")
    if result == REFUSED:
        delay = reply.get("delay_ms", 0)
        wrong_present = reply.get("wrong_present") is True
        return Answer(False, f"PAM: {reason}", delay if isinstance(delay, int) else 0, wrong_present)
    if result in (BUSY, TIMEOUT, FAILED, UNAVAILABLE):
        looked = result in LOOKED or reply.get("looked") is True
        raise AuthMechanismError(f"the authentication service: {result}: {reason}", looked=looked)
    raise ProtocolError("the service's answer means nothing")


class Sign(Enum):
    """A sign of life of a service: whether it runs among the processes of this host, as far as can be seen."""

    HERE = "here"
    ELSEWHERE = "elsewhere"  # in another container: what is in /etc here says nothing about it


def sign_of_life(path: Path, seconds: float) -> Sign | None:
    """Whether a service behind this socket says anything within so many seconds, and where it runs; None: nothing.

    It is asked nothing. The service of the older form ends the connection: that is a sign of life as well.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
            connection = Connection(raw, time.monotonic() + seconds)
            connection.connect(path)
            connection.send(HELLO)
            connection.receive_line()
            (pid,) = PEER_PID.unpack(raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_PID.size))
        return Sign.HERE if pid else Sign.ELSEWHERE  # the kernel has no number for a process that cannot be seen here
    except OSError:
        return None


class Connection:
    """A socket with one deadline for everything that happens on it."""

    def __init__(self, raw: socket.socket, end: float) -> None:
        self._raw = raw
        self._end = end

    def _arm(self) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._raw.settimeout(left)

    def connect(self, path: Path) -> None:
        """Connect; while the service's queue of connections is full, try again."""
        while True:
            self._arm()
            try:
                self._raw.connect(str(path))
                return
            except BlockingIOError:
                time.sleep(RETRY_SECONDS)

    def send(self, data: bytes) -> None:
        self._arm()
        self._raw.sendall(data)

    def receive_line(self) -> bytes:
        """A short line with its end; less when the other side ends the connection."""
        line = b""
        while not line.endswith(b"\n") and len(line) < len(HELLO) + 64:
            self._arm()
            try:
                piece = self._raw.recv(1)
            except ConnectionResetError:
                piece = b""
            if not piece:
                break
            line += piece
        return line

    def receive_frame(self) -> dict[str, Any]:
        return decode_body(self._exactly(frame_length(self._exactly(LENGTH.size))))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            self._arm()
            piece = self._raw.recv(count - len(data))
            if not piece:
                raise ProtocolError("the service ended the connection before it answered")
            data += piece
        return data
