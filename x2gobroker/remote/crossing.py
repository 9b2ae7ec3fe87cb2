"""What may cross between the service, which browsers reach, and the processes that have root's rights.

Each side checks what comes from the other one. No command, file name, argument, host, port or path goes to the
privileged side: it computes these from the file of session types, and keeps what its scripts have said.
"""

from __future__ import annotations

import re

from x2gobroker.privilege.messages import Flag, Form, Number, OneOf, Text
from x2gobroker.remote.keys import LONGEST_NAME, LONGEST_TEXT, MOST_SLOTS
from x2gobroker.remote.script import LARGEST_PORT, LONGEST_HOST, LONGEST_PROGRESS, LONGEST_SOCKET_PATH
from x2gobroker.remote.told import SAID

LONGEST_USER = 256
LONGEST_REASON = 1000
LONGEST_PASSWORD = 1000
LONGEST_FILE_PATH = 1000
MOST_NUMBERS = 1 << 53
NAME = re.compile(r"[^\0]+")
# a user's name may become part of a path or an argument in a site's script
USER = re.compile(r"(?![-.])[^\x00-\x1f\x7f-\x9f/:\u2028\u2029\ud800-\udfff]+")
TOKEN = re.compile(r"[0-9a-f]{16,64}")
PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*")
WORD = re.compile(r"[a-z-]*")
UPLOAD, DOWNLOAD = "upload", "download"  # which way a file goes, as the browser sees it
WAYS = frozenset({UPLOAD, DOWNLOAD})
LONGEST_SHOWN = 255
SHOWN = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
TICKET_LETTERS = 43
TICKET = re.compile(rf"[A-Za-z0-9_-]{{{TICKET_LETTERS}}}")
ANY = re.compile(r"[^\0\ud800-\udfff]*")

TO_SPAWNER: dict[str, Form] = {
    "worker": {
        "id": Number(1, MOST_NUMBERS),
        "type": Text(LONGEST_NAME, NAME),
        "number": Number(0, MOST_SLOTS - 1),
    },
    "end": {"id": Number(1, MOST_NUMBERS), "group": Flag()},
}
TO_WORKER: dict[str, Form] = {
    "load": {},
    "start": {
        "token": Text(64, TOKEN),
        "milliseconds": Number(0, MOST_NUMBERS),
        "username": Text(LONGEST_USER, USER),
        "size": Text(LONGEST_TEXT, PRINTABLE),
    },
    "poll": {},
    "stop": {},
    "connect": {"token": Text(64, TOKEN)},
    "files": {"token": Text(64, TOKEN)},
    "sound": {"token": Text(64, TOKEN)},
    "look": {},
}
FROM_WORKER: dict[str, Form] = {
    "done": {},
    "refused": {"reason": Text(LONGEST_REASON, PRINTABLE), "told": Text(LONGEST_PROGRESS + len(SAID), PRINTABLE)},
    "progress": {"text": Text(LONGEST_PROGRESS, PRINTABLE)},
    "started": {
        "host": Text(LONGEST_HOST, PRINTABLE),
        "port": Number(0, LARGEST_PORT),
        "unix": Text(LONGEST_SOCKET_PATH, PRINTABLE),
    },
    "polled": {"alive": Flag(), "locked": Flag(), "memory": Flag(), "why": Text(LONGEST_REASON, PRINTABLE)},
    "connected": {"asks": Flag(), "password": Text(LONGEST_PASSWORD, ANY)},
    "opened": {},
}
# what the process of a desktop's user, which does the work with files, tells the service
FROM_FILES: dict[str, Form] = {
    "moved": {
        "way": OneOf(WAYS),
        "path": Text(LONGEST_FILE_PATH, PRINTABLE),
        "size": Number(0, MOST_NUMBERS),
        "at": Number(0, MOST_NUMBERS),
        "why": Text(20, WORD),
    },
    "failed": {"reason": Text(LONGEST_REASON, PRINTABLE)},
    # it would send or take so many bytes as the body of a plain request
    "offer": {"way": OneOf(WAYS), "name": Text(LONGEST_SHOWN, SHOWN), "bytes": Number(0, MOST_NUMBERS)},
}
# the same of the one that sends its sound
FROM_SOUND: dict[str, Form] = {"failed": {"reason": Text(LONGEST_REASON, PRINTABLE)}, "ended": {}}
TO_FILES: dict[str, Form] = {
    "ticket": {"ticket": Text(TICKET_LETTERS, TICKET)},
    "body": {},  # with the descriptor of the socket that the body comes and goes by
}


def printable(text: str, most: int) -> str:
    """A text of any origin as the other side takes it: without what is not printable, and cut."""
    return "".join(letter if PRINTABLE.fullmatch(letter) else " " for letter in text[:most])
