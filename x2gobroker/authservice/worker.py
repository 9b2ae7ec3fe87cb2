"""A worker process: takes one request, asks PAM, says what came of it, and ends."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pamela

from x2gobroker.authservice import pamcall
from x2gobroker.authservice.protocol import (
    ANSWER,
    AUTHENTICATE,
    FAILED,
    LENGTH,
    OK,
    PROMPT,
    REFUSED,
    SET_PASSWORD,
    ProtocolError,
    decode_body,
    encode_frame,
    frame_length,
    parse_line,
    text_of,
)

LINE_JOB = b"L"
FRAME_JOB = b"F"


class Worker:
    """One login, over one end of a socket pair whose other end the service holds."""

    def __init__(self, channel: socket.socket, allowed: frozenset[str]) -> None:
        self._channel = channel
        self._allowed = allowed
        self._asked = 0

    def run(self) -> None:
        """Do the one job. Ends without an answer when the service is gone."""
        self._send({"pid": os.getpid()})
        kind = self._receive_exactly(1)
        body = self._receive_body()
        try:
            request = parse_line(body) if kind == LINE_JOB else decode_body(body)
            reply = self._perform(request)
        except ProtocolError as error:
            reply = {"result": FAILED, "reason": str(error)}
        except pamela.PAMError as error:
            reply = {"result": FAILED, "reason": f"PAM cannot start: {error.message}"}
        self._send(reply)

    def _perform(self, request: Mapping[str, Any]) -> dict[str, Any]:
        operation = request.get("op")
        user, service = text_of(request, "user", 256), text_of(request, "service", 64)
        if service not in self._allowed:
            return {"result": FAILED, "reason": "this PAM service is not allowed", "user": user}
        if not pamcall.service_exists(service):
            return {"result": FAILED, "reason": f"there is no file {service} in /etc/pam.d", "user": user}
        if not user or not user.isprintable():
            return {"result": REFUSED, "reason": "no possible user name", "user": user}
        self._send({"user": user})  # whom it was about must be known even if PAM never comes back
        if operation == AUTHENTICATE:
            verdict = self._authenticate(request, service, user)
        elif operation == SET_PASSWORD:
            verdict = self._set_password(request, service, user)
        else:
            raise ProtocolError("unknown operation")
        result = OK if verdict.granted else REFUSED
        return {
            "result": result,
            "reason": verdict.reason,
            "delay_ms": verdict.delay_ms,
            "wrong_present": verdict.wrong_present,
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

        address = text_of(request, "address", 64) if "address" in request else ""
        return pamcall.authenticate(service, user, answer, address)

    def _set_password(self, request: Mapping[str, Any], service: str, user: str) -> pamcall.PamVerdict:
        old, new = text_of(request, "password"), text_of(request, "new")
        checked = pamcall.authenticate(service, user, lambda _question, _seen: old)
        if not checked.granted and not checked.must_change:
            return replace(checked, wrong_present=True)

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


def worker_main(channel: socket.socket, allowed: frozenset[str]) -> int:
    """What a new worker process runs; its exit status."""
    # the spawner ignores its children's ends; PAM modules that start programs wait for theirs
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setsid()  # a group of its own: programs that PAM modules start end with a worker that is killed
    try:
        Worker(channel, allowed).run()
    except (EOFError, OSError, ProtocolError):
        return 1
    return 0
