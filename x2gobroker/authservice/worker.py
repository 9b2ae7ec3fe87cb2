"""A worker process: takes one request, asks PAM, says what came of it, and ends.

`start.py` starts it by exec, so that its memory is its own: it shares none with another worker, and none of it has
held anybody else's password. It imports little, because it starts for each login.
"""

from __future__ import annotations

import os
import socket
import sys
import syslog
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from x2gobroker.authservice import pamcall
from x2gobroker.authservice.hardening import forbid_core_dumps
from x2gobroker.authservice.libpam import PamCannotStartError
from x2gobroker.authservice.pamfiles import service_exists
from x2gobroker.authservice.protocol import (
    ACCOUNT,
    ANSWER,
    AUTHENTICATE,
    FAILED,
    FORGET_TICKET,
    KEEP_TICKET,
    LENGTH,
    LINE_JOB,
    PROMPT,
    REFUSED,
    SET_PASSWORD,
    TICKETS,
    UNAVAILABLE,
    WORKER_CHANNEL,
    ProtocolError,
    decode_body,
    encode_frame,
    frame_length,
    parse_line,
    text_of,
)

if TYPE_CHECKING:
    from x2gobroker.authservice.taking import TicketDesk


class Worker:
    """One login, over one end of a socket pair whose other end the service holds.

    `allowed` are the PAM services that may be asked, `desk` keeps Kerberos tickets; None: nobody does.
    """

    def __init__(self, channel: socket.socket, allowed: tuple[str, ...], desk: TicketDesk | None = None) -> None:
        self._channel = channel
        self._allowed = allowed
        self._desk = desk
        self._asked = 0

    def run(self) -> None:
        """Do the one job. Ends without an answer when the service is gone."""
        self._send({"pid": os.getpid()})
        loaded = [pamcall.load_modules(service) for service in self._allowed if service_exists(service)]
        kind = self._receive_exactly(1)
        body = self._receive_body()
        try:
            request = parse_line(body) if kind == LINE_JOB else decode_body(body)
            reply = self._perform(request)
        except ProtocolError as error:
            reply = {"result": FAILED, "reason": str(error)}
        except PamCannotStartError as error:
            reply = {"result": UNAVAILABLE, "reason": f"PAM cannot start: {error}"}
        self._send(reply)
        del loaded

    def _perform(self, request: Mapping[str, Any]) -> dict[str, Any]:
        operation = request.get("op")
        user, service = text_of(request, "user", 256), text_of(request, "service", 64)
        if service not in self._allowed:
            return {"result": FAILED, "reason": "this PAM service is not allowed", "user": user}
        if not service_exists(service):
            return {"result": FAILED, "reason": f"there is no file {service} in /etc/pam.d", "user": user}
        if not user or not user.isprintable():
            return {"result": REFUSED, "reason": "no possible user name", "user": user}
        self._send({"user": user})  # whom it was about must be known even if PAM never comes back
        if operation == AUTHENTICATE:
            verdict = self._authenticate(request, service, user)
        elif operation == SET_PASSWORD:
            verdict = self._set_password(request, service, user)
        elif operation == ACCOUNT:
            verdict = pamcall.account(service, user, _address(request))
        elif operation in (KEEP_TICKET, FORGET_TICKET):
            if self._desk is None:
                return {"result": FAILED, "reason": "no Kerberos tickets are kept", "user": user}
            return {**self._desk.perform(request, user), "user": user}
        else:
            raise ProtocolError("unknown operation")
        return {
            "result": verdict.outcome,
            "reason": verdict.reason,
            "delay_ms": verdict.delay_ms,
            "wrong_present": verdict.wrong_present,
            "ticket": verdict.ticket,
            "ticket_fault": verdict.ticket_fault,
            "user": user,
        }

    def _authenticate(self, request: Mapping[str, Any], service: str, user: str) -> pamcall.PamVerdict:
        answers = [text_of(request, "password")]
        if "code" in request:
            answers.append(text_of(request, "code", 64))
        ask = bool(request.get("interactive"))

        def answer(question: str, seen: bool) -> str | None:
            self._asked += 1
            if self._asked <= len(answers):
                return answers[self._asked - 1]
            if ask:
                return self._ask(question, seen)
            return answers[-1] if len(answers) == 1 else None

        take = self._desk.take if self._desk is not None and request.get("ticket") is True else None
        return pamcall.authenticate(service, user, answer, _address(request), take)

    def _set_password(self, request: Mapping[str, Any], service: str, user: str) -> pamcall.PamVerdict:
        old, new = text_of(request, "password"), text_of(request, "new")
        checked = pamcall.authenticate(service, user, lambda _question, _seen: old)
        if checked.outcome == REFUSED and not checked.must_change:
            return checked._replace(wrong_present=True)
        if checked.outcome == UNAVAILABLE:
            return checked

        def answer(question: str, _seen: bool) -> str | None:
            # root is not asked for the old password; modules that do ask name it so
            words = question.lower()
            return old if "current" in words or "old" in words else new

        return pamcall.change_password(service, user, answer)

    def _ask(self, question: str, seen: bool) -> str | None:
        """Have the client answer a question of PAM's."""
        self._send({"result": PROMPT, "text": question[:500], "echo": seen})
        message = decode_body(self._receive_body())
        return text_of(message, "answer") if message.get("op") == ANSWER else None

    def _send(self, message: Mapping[str, Any]) -> None:
        self._channel.sendall(encode_frame(message))

    def _receive_body(self) -> bytes:
        return self._receive_exactly(frame_length(self._receive_exactly(LENGTH.size)))

    def _receive_exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._channel.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data


def _address(request: Mapping[str, Any]) -> str:
    return text_of(request, "address", 64) if "address" in request else ""


def main() -> int:
    """What a new worker process runs; its exit status.

    The arguments are the name for the log of the system, whether Kerberos tickets are kept (TICKETS, or another word),
    and the PAM services that may be asked.
    """
    forbid_core_dumps()
    name, tickets, *allowed = sys.argv[1:]
    # for what PAM modules say, which would be called after the interpreter
    syslog.openlog(name, syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    try:
        desk = None
        if tickets == TICKETS:
            from x2gobroker.authservice.taking import TicketDesk  # else logins need not wait for it

            desk = TicketDesk()
        Worker(socket.socket(fileno=WORKER_CHANNEL), tuple(allowed), desk).run()
    except (EOFError, OSError, ProtocolError):
        return 1
    return 0
