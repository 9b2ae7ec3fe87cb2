"""Credentials with line feeds in them, as Arctica's remote-logon-config-agent sends them.

That client, the one there is for UCCS, writes what Python's `base64.encodebytes` gives into the header: a line feed
behind every 76 characters and at the end. Exactly this is read as what it is meant for, and nothing else: the last
line of a header without a body, of base64 between single line feeds. No other reading of these bytes makes another
request of them: a line of base64 is no header, and behind the last one there is only the end.
"""

from __future__ import annotations

import re

HEAD = re.compile(
    rb"(?P<before>(?:GET|HEAD) /[!-~]* HTTP/1\.[01]\r\n(?:[A-Za-z0-9-]+: [ -~]*\r\n)*)"
    rb"Authorization: Basic (?P<lines>(?:[A-Za-z0-9+/]{76}\n)*[A-Za-z0-9+/]{1,76}={0,2}\n)\r\n\r\n"
)
END = b"\n\r\n\r\n"
UCCS = b"/uccs/"
WITH_A_BODY = (b"\r\ncontent-length:", b"\r\ntransfer-encoding:")


def unfolded(request: bytes) -> bytes:
    """The request with such credentials on one line; every other request as it is."""
    if not request.endswith(END):
        return request
    found = HEAD.fullmatch(request)
    if found is None or UCCS not in found["before"].partition(b"\r\n")[0]:
        return request
    if any(name in found["before"].lower() for name in WITH_A_BODY) or b"\r\nauthorization:" in found["before"].lower():
        return request
    return found["before"] + b"Authorization: Basic " + found["lines"].replace(b"\n", b"") + b"\r\n\r\n"
