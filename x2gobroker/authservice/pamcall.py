"""PAM: one login or one change of a password, with a fresh handle each, on libpam by ctypes.

Only worker processes load this module. libpam calls back, and what ctypes makes for that lies in memory that processes
share after a fork where memory may not be writable and executable (`MemoryDenyWriteExecute=`). So a process that has
loaded this never forks to go on by itself, and each worker is started by exec.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

from x2gobroker.authservice import directory
from x2gobroker.authservice.pamcodes import (
    PAM_AUTH_ERR,
    PAM_CONV_ERR,
    PAM_NEW_AUTHTOK_REQD,
    PAM_SUCCESS,
    PAM_SYSTEM_ERR,
    PAM_USER_UNKNOWN,
    outcome_of,
)
from x2gobroker.authservice.pamfiles import names_module
from x2gobroker.authservice.protocol import REFUSED, UNAVAILABLE

# <security/_pam_types.h> of Linux-PAM
PAM_RHOST = 4
PAM_FAIL_DELAY = 10
PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON = 1, 2
PAM_DISALLOW_NULL_AUTHTOK = 0x0001
PAM_SILENT = 0x8000
# says PAM_SYSTEM_ERR also when the program that it runs says no
PROGRAMS = "pam_exec.so"
LONGEST_DELAY_MS = 10_000

# What to answer to a question: its text and whether the answer may be seen; None ends the conversation.
Answerer = Callable[[str, bool], str | None]


class PamCannotStartError(Exception):
    """libpam gives no handle; the text says why."""


class PamVerdict(NamedTuple):
    """What PAM says. `outcome` is a result of the protocol: OK, REFUSED, or UNAVAILABLE where PAM could not check.

    `delay_ms` is how long PAM wants a refusal to wait; nobody has waited yet. `must_change` is set where the password
    is right but has expired: it can still be used to set a new one. `wrong_present` is set where a password was to be
    changed and the present one is wrong.
    """

    outcome: str
    reason: str
    delay_ms: int = 0
    must_change: bool = False
    wrong_present: bool = False


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_CONVERSE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.POINTER(_Response)),
    ctypes.c_void_p,
)
_DELAY = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)


class _Conversation(ctypes.Structure):
    _fields_ = (("function", _CONVERSE), ("data", ctypes.c_void_p))


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    found = getattr(library, name)
    found.restype, found.argtypes = result, list(arguments)
    return found


_PAM = ctypes.CDLL("libpam.so.0")
_C = ctypes.CDLL(None)
_HANDLE = ctypes.c_void_p
_pam_start = _function(
    _PAM,
    "pam_start",
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.POINTER(_Conversation),
    ctypes.POINTER(_HANDLE),
)
_pam_end = _function(_PAM, "pam_end", ctypes.c_int, _HANDLE, ctypes.c_int)
_pam_authenticate = _function(_PAM, "pam_authenticate", ctypes.c_int, _HANDLE, ctypes.c_int)
_pam_acct_mgmt = _function(_PAM, "pam_acct_mgmt", ctypes.c_int, _HANDLE, ctypes.c_int)
_pam_chauthtok = _function(_PAM, "pam_chauthtok", ctypes.c_int, _HANDLE, ctypes.c_int)
_pam_strerror = _function(_PAM, "pam_strerror", ctypes.c_char_p, _HANDLE, ctypes.c_int)
_pam_set_item = _function(_PAM, "pam_set_item", ctypes.c_int, _HANDLE, ctypes.c_int, ctypes.c_void_p)
_calloc = _function(_C, "calloc", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_strdup = _function(_C, "strdup", ctypes.c_void_p, ctypes.c_char_p)


def load_modules(service: str) -> object:
    """Have libpam load the modules of a service before somebody waits for it; they stay as long as the result does."""
    try:
        return _Call(service, "nobody", lambda _question, _seen: None, "")
    except PamCannotStartError:
        return None  # the login says so


def authenticate(service: str, user: str, answer: Answerer, address: str = "") -> PamVerdict:
    """Check a user: password or whatever the service asks for, then whether the account may log in at all.

    An account whose password field is empty does not get in. Raises PamCannotStartError, and what `answer` raises.
    """
    call = _Call(service, user, answer, address)
    code = call.run(_pam_authenticate, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK)
    if code == PAM_SUCCESS:
        code = call.run(_pam_acct_mgmt, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK)
    verdict = call.finish(code)
    if code == PAM_SYSTEM_ERR and names_module(service, PROGRAMS):
        return verdict._replace(outcome=REFUSED)
    if code in (PAM_AUTH_ERR, PAM_USER_UNKNOWN) and directory.has_failed_for(user):
        return verdict._replace(outcome=UNAVAILABLE, reason=f"{verdict.reason}, but a source of users does not answer")
    return verdict


def account(service: str, user: str, address: str = "") -> PamVerdict:
    """Whether an account may log in at all: not expired, not barred by a module; nobody is asked for a password.

    Raises PamCannotStartError.
    """
    call = _Call(service, user, lambda _question, _seen: None, address)
    return call.finish(call.run(_pam_acct_mgmt, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK))


def change_password(service: str, user: str, answer: Answerer) -> PamVerdict:
    """Change a user's password; PAM asks for the old and the new one by itself. Raises as `authenticate`."""
    call = _Call(service, user, answer, "")
    return call.finish(call.run(_pam_chauthtok, PAM_SILENT))


class _Call:
    """One PAM transaction. Its callbacks must live as long as it does, or libpam would call freed memory."""

    def __init__(self, service: str, user: str, answer: Answerer, address: str) -> None:
        self._answer = answer
        self._delay_us = 0
        self._fault: Exception | None = None
        self._converse = _CONVERSE(self._converse_safely)
        self._note = _DELAY(self._note_delay)
        self._handle = _HANDLE()
        conversation = _Conversation(self._converse, None)
        code = _pam_start(service.encode(), user.encode(), ctypes.byref(conversation), ctypes.byref(self._handle))
        if code != PAM_SUCCESS:
            raise PamCannotStartError(self._text_of(code))
        # with a function of our own libpam does not sleep after a refusal: the one who waits is told how long
        _pam_set_item(self._handle, PAM_FAIL_DELAY, ctypes.cast(self._note, ctypes.c_void_p))
        if address:
            _pam_set_item(self._handle, PAM_RHOST, ctypes.cast(ctypes.c_char_p(address.encode()), ctypes.c_void_p))

    def _text_of(self, code: int) -> str:
        return bytes(_pam_strerror(self._handle, code) or b"").decode("utf-8", "replace")

    def run(self, step: Callable[[Any, int], int], flags: int) -> int:
        """One step of the transaction; its PAM code. Raises what the conversation has raised."""
        code = int(step(self._handle, flags))
        if self._fault is not None:
            _pam_end(self._handle, code)
            raise self._fault
        return code

    def finish(self, code: int) -> PamVerdict:
        """End the transaction; what its last code means."""
        reason = self._text_of(code)
        _pam_end(self._handle, code)
        delay_ms = min(self._delay_us // 1000, LONGEST_DELAY_MS) if code else 0
        return PamVerdict(outcome_of(code), reason, delay_ms, code == PAM_NEW_AUTHTOK_REQD)

    def _note_delay(self, _code: int, microseconds: int, _data: object) -> None:
        self._delay_us = max(self._delay_us, microseconds)

    def _converse_safely(self, count: int, messages: Any, responses: Any, _data: object) -> int:
        """libpam's questions. What is raised here must not get lost: ctypes would take it for a success."""
        try:
            return self._answer_all(count, messages, responses)
        except Exception as error:  # noqa: BLE001 - raised again by `run`
            self._fault = error
            return PAM_CONV_ERR

    def _answer_all(self, count: int, messages: Any, responses: Any) -> int:
        """Answer some questions; the array of answers is libpam's to free."""
        array = ctypes.cast(_calloc(count, ctypes.sizeof(_Response)), ctypes.POINTER(_Response))
        responses[0] = array
        for index in range(count):
            message = messages[index].contents
            if message.style not in (PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON):
                continue
            seen = message.style == PAM_PROMPT_ECHO_ON
            answer = self._answer((message.text or b"").decode("utf-8", "replace"), seen)
            if answer is None:
                return PAM_CONV_ERR
            array[index].text = _strdup(answer.encode("utf-8", "surrogateescape"))
        return PAM_SUCCESS
