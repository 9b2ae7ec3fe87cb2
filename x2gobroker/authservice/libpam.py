"""libpam by ctypes: its functions, and one transaction with it. Of the standard library only.

libpam calls back, and what ctypes makes for that lies in memory that processes share after a fork where memory may not
be writable and executable (`MemoryDenyWriteExecute=`). So a process that has loaded this was started by exec, and never
forks to go on by itself: the workers of the authentication service, and the processes that keep desktops.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

# <security/_pam_types.h> of Linux-PAM
PAM_FAIL_DELAY = 10
PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON = 1, 2
PAM_ERROR_MSG, PAM_TEXT_INFO = 3, 4
PAM_SUCCESS, PAM_CONV_ERR = 0, 19

# What to answer to a question: its text and whether the answer may be seen; None ends the conversation.
Answerer = Callable[[str, bool], str | None]
# Hears what modules say without asking.
Listener = Callable[[str], None]
Step = Callable[[Any, int], int]


class PamCannotStartError(Exception):
    """libpam gives no handle; the text says why."""


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
_pam_strerror = _function(_PAM, "pam_strerror", ctypes.c_char_p, _HANDLE, ctypes.c_int)
_pam_set_item = _function(_PAM, "pam_set_item", ctypes.c_int, _HANDLE, ctypes.c_int, ctypes.c_void_p)
_pam_putenv = _function(_PAM, "pam_putenv", ctypes.c_int, _HANDLE, ctypes.c_char_p)
_pam_getenvlist = _function(_PAM, "pam_getenvlist", ctypes.POINTER(ctypes.c_void_p), _HANDLE)
_calloc = _function(_C, "calloc", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_strdup = _function(_C, "strdup", ctypes.c_void_p, ctypes.c_char_p)
_free = _function(_C, "free", None, ctypes.c_void_p)

# the steps of a transaction
authenticate = _function(_PAM, "pam_authenticate", ctypes.c_int, _HANDLE, ctypes.c_int)
acct_mgmt = _function(_PAM, "pam_acct_mgmt", ctypes.c_int, _HANDLE, ctypes.c_int)
chauthtok = _function(_PAM, "pam_chauthtok", ctypes.c_int, _HANDLE, ctypes.c_int)
setcred = _function(_PAM, "pam_setcred", ctypes.c_int, _HANDLE, ctypes.c_int)
open_session = _function(_PAM, "pam_open_session", ctypes.c_int, _HANDLE, ctypes.c_int)
close_session = _function(_PAM, "pam_close_session", ctypes.c_int, _HANDLE, ctypes.c_int)


class Transaction:
    """One handle of PAM for a service and a user. Its callbacks must live as long as it does, or libpam would call
    freed memory. Raises PamCannotStartError.
    """

    def __init__(self, service: str, user: str, answer: Answerer, heard: Listener | None = None) -> None:
        self._answer = answer
        self._heard = heard
        self._fault: Exception | None = None
        self.delay_us = 0  # how long PAM wants a refusal to wait; nobody has waited yet
        self._converse = _CONVERSE(self._converse_safely)
        self._note = _DELAY(self._note_delay)
        self._handle = _HANDLE()
        conversation = _Conversation(self._converse, None)
        code = _pam_start(service.encode(), user.encode(), ctypes.byref(conversation), ctypes.byref(self._handle))
        if code != PAM_SUCCESS:
            raise PamCannotStartError(self.text_of(code))
        # with a function of our own libpam does not sleep after a refusal: the one who waits is told how long
        _pam_set_item(self._handle, PAM_FAIL_DELAY, ctypes.cast(self._note, ctypes.c_void_p))

    def text_of(self, code: int) -> str:
        """What a code of PAM means, in its words."""
        return bytes(_pam_strerror(self._handle, code) or b"").decode("utf-8", "replace")

    def set_item(self, item: int, text: str) -> None:
        """Tell PAM something; libpam keeps a copy."""
        _pam_set_item(self._handle, item, ctypes.cast(ctypes.c_char_p(text.encode()), ctypes.c_void_p))

    def put_variable(self, name: str, value: str) -> None:
        """Put a variable into PAM's environment, for modules and for `variables`."""
        _pam_putenv(self._handle, f"{name}={value}".encode("utf-8", "surrogateescape"))

    def variables(self) -> dict[str, str]:
        """PAM's environment, as its modules have made it."""
        found: dict[str, str] = {}
        entries = _pam_getenvlist(self._handle)
        if not entries:
            return found
        index = 0
        while entries[index]:
            text = ctypes.string_at(entries[index]).decode("utf-8", "surrogateescape")
            name, is_set, value = text.partition("=")
            if name and is_set:
                found[name] = value
            _free(entries[index])
            index += 1
        _free(entries)
        return found

    def run(self, step: Step, flags: int) -> int:
        """One step; its PAM code. Raises what the conversation has raised, and then has ended."""
        code = int(step(self._handle, flags))
        if self._fault is not None:
            self.end(code)
            raise self._fault
        return code

    def end(self, code: int) -> None:
        """Give the handle back; `code` is that of the last step."""
        _pam_end(self._handle, code)

    def _note_delay(self, _code: int, microseconds: int, _data: object) -> None:
        self.delay_us = max(self.delay_us, microseconds)

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
            text = (message.text or b"").decode("utf-8", "replace")
            if message.style not in (PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON):
                if self._heard is not None and message.style in (PAM_ERROR_MSG, PAM_TEXT_INFO):
                    self._heard(text)
                continue
            answer = self._answer(text, message.style == PAM_PROMPT_ECHO_ON)
            if answer is None:
                return PAM_CONV_ERR
            array[index].text = _strdup(answer.encode("utf-8", "surrogateescape"))
        return PAM_SUCCESS
