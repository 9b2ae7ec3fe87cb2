"""PAM: one login or one change of a password, with a fresh handle each, on top of pamela's bindings."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pamela

# PAM items and codes that pamela does not name; <security/_pam_types.h> of Linux-PAM
PAM_FAIL_DELAY = 10
PAM_NEW_AUTHTOK_REQD = 12
PAM_CONV_ERR = 19
PAM_SILENT = 0x8000
SERVICE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
SERVICE_FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")
RHOST_ITEM = pamela.PAM_RHOST
LONGEST_DELAY_MS = 10_000

DELAY_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)

# What to answer to a question: its text and whether the answer may be seen; None ends the conversation.
Answerer = Callable[[str, bool], str | None]


@dataclass(frozen=True)
class PamVerdict:
    """What PAM says. `delay_ms` is how long it wants a refusal to wait; nobody has waited yet.

    `must_change` is set where the password is right but has expired: it can still be used to set a new one.
    `wrong_present` is set where a password was to be changed and the present one is wrong.
    """

    granted: bool
    reason: str
    delay_ms: int = 0
    must_change: bool = False
    wrong_present: bool = False


def service_exists(service: str) -> bool:
    """Whether there is a PAM service of this name; libpam would silently take the service `other` for it."""
    return bool(SERVICE_NAME.fullmatch(service)) and any(
        os.path.isfile(os.path.join(folder, service)) for folder in SERVICE_FOLDERS
    )


def authenticate(service: str, user: str, answer: Answerer, address: str = "") -> PamVerdict:
    """Check a user: password or whatever the service asks for, then whether the account may log in at all."""
    call = _Call(service, user, answer, address)
    code = call.run(lambda handle: pamela.PAM_AUTHENTICATE(handle, PAM_SILENT))
    if code == pamela.PAM_SUCCESS:
        code = call.run(lambda handle: pamela.PAM_ACCT_MGMT(handle, PAM_SILENT))
    return call.finish(code)


def change_password(service: str, user: str, answer: Answerer) -> PamVerdict:
    """Change a user's password; PAM asks for the old and the new one by itself."""
    call = _Call(service, user, answer, "")
    return call.finish(call.run(lambda handle: pamela.PAM_CHAUTHTOK(handle, PAM_SILENT)))


class _Call:
    """One PAM transaction. Its callbacks must live as long as it does, or libpam would call freed memory."""

    def __init__(self, service: str, user: str, answer: Answerer, address: str) -> None:
        self._answer = answer
        self._delay_us = 0
        self._fault: Exception | None = None
        self._conversation = pamela.CONV_FUNC(self._converse)
        self._delay = DELAY_FUNCTION(self._note_delay)
        self._handle = pamela.pam_start(service, user, conv_func=self._conversation)
        # with a function of our own libpam does not sleep after a refusal: the one who waits is told how long
        pamela.PAM_SET_ITEM(self._handle, PAM_FAIL_DELAY, ctypes.cast(self._delay, ctypes.c_char_p))
        if address:
            self._handle.set_item(RHOST_ITEM, address)

    def run(self, step: Callable[[Any], int]) -> int:
        """One step of the transaction; its PAM code. Raises what the conversation has raised."""
        code = step(self._handle)
        if self._fault is not None:
            pamela.PAM_END(self._handle, code)
            raise self._fault
        return code

    def finish(self, code: int) -> PamVerdict:
        """End the transaction; what its last code means."""
        reason = pamela.pam_strerror(self._handle, code)
        pamela.PAM_END(self._handle, code)
        delay_ms = min(self._delay_us // 1000, LONGEST_DELAY_MS) if code else 0
        return PamVerdict(code == pamela.PAM_SUCCESS, reason, delay_ms, code == PAM_NEW_AUTHTOK_REQD)

    def _note_delay(self, _code: int, microseconds: int, _data: object) -> None:
        self._delay_us = max(self._delay_us, microseconds)

    def _converse(self, count: int, messages: Any, responses: Any, _data: object) -> int:
        """libpam's questions. What is raised here must not get lost: ctypes would take it for a success."""
        try:
            return self._answer_all(count, messages, responses)
        except Exception as error:  # noqa: BLE001 - raised again by `run`
            self._fault = error
            return PAM_CONV_ERR

    def _answer_all(self, count: int, messages: Any, responses: Any) -> int:
        """Answer some questions; the array of answers is libpam's to free."""
        array = pamela.CALLOC(count, ctypes.sizeof(pamela.PamResponse))
        responses[0] = ctypes.cast(array, ctypes.POINTER(pamela.PamResponse))
        for index in range(count):
            message = messages[index].contents
            if message.msg_style not in (pamela.PAM_PROMPT_ECHO_OFF, pamela.PAM_PROMPT_ECHO_ON):
                continue
            text = ctypes.cast(message.msg, ctypes.c_char_p).value or b""
            seen = message.msg_style == pamela.PAM_PROMPT_ECHO_ON
            answer = self._answer(text.decode("utf-8", "replace"), seen)
            if answer is None:
                return PAM_CONV_ERR
            responses[0][index].resp = pamela.STRDUP(answer.encode("utf-8", "surrogateescape"))
            responses[0][index].resp_retcode = 0
        return int(pamela.PAM_SUCCESS)
