"""What a page and the process of a desktop's user say to each other about files.

Texts are these messages, and data are the content of the file that is on its way. One thing is done at a time; what
does not fit is no message, and ends the connection.

    list      -> entries ..., listed
    upload    -> ready; then the page says `go`, sends data, hears `written` as it is written, and `done` at the end
    post      -> ticket: instead of `go`, the page sends the next so many bytes by a plain request with this ticket,
                 hears `written`, and posts again, or goes on by `go`
    fetch     -> ticket: the browser gets the file by a plain request with this ticket; `written` as it takes it, `sent`
    download  -> sending, data, and `sent` at the end; the page says `taken` as it takes the data
    cancel    -> cancelled: what has come of an upload is dropped
    anything  -> refused

Folders are paths from the home folder on; each name in them is quoted as in an address, so that any name of a file
system has a form, and none is more than a name.
"""

from __future__ import annotations

import re

from x2gobroker.privilege import Flag, Form, Number, OneOf, Text
from x2gobroker.remote.crossing import TICKET, TICKET_LETTERS

LARGEST_FILE = 1 << 50
LATEST = 1 << 43  # milliseconds of the epoch, far ahead
LONGEST_PATH = 1 << 14
LONGEST_ITEM = 3 * 255
LONGEST_NAME = 255
LARGEST_TEXT = 1 << 15
CHUNK_BYTES = 1 << 18
LARGEST_DATA = 1 << 20  # of one message of a page
WINDOW_BYTES = 1 << 23  # what may be on its way without word that it was taken

ITEM = r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+"
PATH = re.compile(rf"(?:{ITEM}(?:/{ITEM})*)?")
NAME = re.compile(r"[^/\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
STAMP = re.compile(r"[0-9a-f.]*")
DIGEST = re.compile(r"[0-9a-f]*")
SHOWN = re.compile(r"[^\ud800-\udfff]*")

# why something is not done; the page has a text for each
WHYS = frozenset(
    "not-in not-out too-large name no-folder no-file special no-right read-only quota full busy changed silent "
    "too-many broken failed".split()
)

FROM_PAGE: dict[str, Form] = {
    "list": {"folder": Text(LONGEST_PATH, PATH), "hidden": Flag()},
    "upload": {
        "folder": Text(LONGEST_PATH, PATH),
        "name": Text(LONGEST_NAME, NAME),
        "size": Number(0, LARGEST_FILE),
        "modified": Number(0, LATEST),
    },
    "go": {"offset": Number(0, LARGEST_FILE)},
    "post": {"offset": Number(0, LARGEST_FILE), "bytes": Number(1, LARGEST_FILE)},
    "fetch": {"folder": Text(LONGEST_PATH, PATH), "item": Text(LONGEST_ITEM, re.compile(ITEM))},
    "download": {
        "folder": Text(LONGEST_PATH, PATH),
        "item": Text(LONGEST_ITEM, re.compile(ITEM)),
        "offset": Number(0, LARGEST_FILE),
        "stamp": Text(100, STAMP),
    },
    "taken": {"bytes": Number(0, LARGEST_FILE)},
    "cancel": {},
}
TO_PAGE: dict[str, Form] = {
    "listed": {"more": Flag(), "skipped": Number(0, LARGEST_FILE), "free": Number(0, 1 << 63)},
    "ready": {"offset": Number(0, LARGEST_FILE), "tail": Number(0, LARGEST_FILE), "digest": Text(64, DIGEST)},
    "ticket": {"ticket": Text(TICKET_LETTERS, TICKET), "bytes": Number(0, LARGEST_FILE)},
    "written": {"bytes": Number(0, LARGEST_FILE)},
    "done": {"name": Text(LONGEST_NAME, SHOWN)},
    "sending": {"size": Number(0, LARGEST_FILE), "stamp": Text(100, STAMP)},
    "sent": {},
    "cancelled": {},
    "refused": {"why": OneOf(WHYS)},
}
