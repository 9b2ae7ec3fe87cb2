"""What goes over the socket of the authentication service.

The line form is that of the reference (0.0.4.3): `user CR password CR pam-service LF`, answered by `ok LF` or
`fail LF`. A client that begins with the line HELLO and gets the same line back goes on in frames: four bytes of length,
most significant first, and a JSON object in UTF-8. The reference's service answers no such line, so that a client
knows what it speaks to. Frames carry what lines cannot: line ends in passwords, reasons, questions, new passwords.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from x2gobroker.model.json_text import JsonError, read_object
from x2gobroker.model.passwords import LONGEST_TYPED

HELLO = b"x2gobroker-auth 1\n"
LENGTH = struct.Struct("!I")
MAX_LINE = 8192
MAX_FRAME = 16384

OK_LINE = b"ok\n"
FAIL_LINE = b"fail\n"

# what a request may ask for
AUTHENTICATE = "authenticate"
SET_PASSWORD = "setpass"  # noqa: S105 - the name of a request
ACCOUNT = "account"  # whether a user who was let in before may still come in; no password is looked at
KEEP_TICKET = "keepticket"  # the Kerberos ticket of a login is to be kept: its user was let in
FORGET_TICKET = "forgetticket"  # nothing is to be kept of a user's tickets
ANSWER = "answer"
OPERATIONS = (AUTHENTICATE, SET_PASSWORD, ACCOUNT, KEEP_TICKET, FORGET_TICKET)

# what may come of it
OK = "ok"
REFUSED = "refused"  # PAM says no
UNAVAILABLE = "unavailable"  # PAM cannot tell: a directory or a module fails
PROMPT = "prompt"  # PAM asks something else; an `answer` is wanted
BUSY = "busy"  # too much to do: try again
TIMEOUT = "timeout"  # PAM took too long
FAILED = "failed"  # the login could not be tried
RESULTS = (OK, REFUSED, UNAVAILABLE, PROMPT, BUSY, TIMEOUT, FAILED)
# results after which PAM may have looked at the password without saying what it found
LOOKED = frozenset({UNAVAILABLE, TIMEOUT})

# what a worker process is given: a request in the line form, or one in a frame
LINE_JOB = b"L"
FRAME_JOB = b"F"
# what a worker process gets its requests on
WORKER_CHANNEL = 3
# what a worker process is told of Kerberos tickets: that they are kept, or not
TICKETS, NO_TICKETS = "tickets", "no-tickets"


class ProtocolError(Exception):
    """The other side sent what is no line and no frame. Its text holds nothing of what was sent."""


def encode_frame(message: Mapping[str, Any]) -> bytes:
    """One frame. Raises ProtocolError when the message is too long for one."""
    body = json.dumps(message, ensure_ascii=True).encode("ascii")
    if len(body) > MAX_FRAME:
        raise ProtocolError(f"the message has more than {MAX_FRAME} bytes")
    return LENGTH.pack(len(body)) + body


def frame_length(head: bytes | bytearray | memoryview) -> int:
    """The length of the body behind these four bytes. Raises ProtocolError when it is not allowed."""
    (length,) = LENGTH.unpack(head)
    if not 0 < length <= MAX_FRAME:
        raise ProtocolError(f"a frame of {length} bytes is not allowed")
    return int(length)


def decode_body(body: bytes | bytearray | memoryview) -> dict[str, Any]:
    """The object of a frame's body. Raises ProtocolError when it is none."""
    try:
        return read_object(body, MAX_FRAME)
    except JsonError:
        raise ProtocolError("a frame holds no JSON object") from None


def parse_line(line: bytes | bytearray | memoryview) -> dict[str, Any]:
    """The request of a line without its end. Raises ProtocolError when it has not three fields of UTF-8 text."""
    try:
        fields = bytes(line).decode("utf-8").split("\r")
    except UnicodeDecodeError:
        raise ProtocolError("a line is no UTF-8 text") from None
    if len(fields) != 3:
        raise ProtocolError("a line has not three fields")
    user, password, service = fields
    return {"op": AUTHENTICATE, "user": user, "password": password, "service": service}


def seconds_of(message: Mapping[str, Any], name: str, most: int) -> int:
    """A whole number of seconds of a message. Raises ProtocolError when it is missing, or not from 1 to `most`."""
    value = message.get(name)
    if type(value) is not int or not 0 < value <= most:
        raise ProtocolError(f"{name} is missing or no possible number of seconds")
    return value


def text_of(message: Mapping[str, Any], name: str, longest: int = LONGEST_TYPED) -> str:
    """A text of a message. Raises ProtocolError when it is missing, no text, too long or holds NUL."""
    value = message.get(name)
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        raise ProtocolError(f"{name} is missing or no possible text")
    try:
        value.encode()
    except UnicodeEncodeError:  # half a character, as JSON can hold it
        raise ProtocolError(f"{name} is missing or no possible text") from None
    return value
