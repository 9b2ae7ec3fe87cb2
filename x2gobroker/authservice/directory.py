"""Whether the directories that know the users of this host answer.

A PAM stack like Debian's common-auth turns whatever a module could not find out into "wrong password". The name service
still says whether it was: it has no such user, or one of its sources is not there.
"""

from __future__ import annotations

import ctypes
import errno

RECORD_BYTES = 256
TEXT_BYTES = 1 << 16


def has_failed_for(user: str) -> bool:
    """Whether the name service knows no such user and cannot say that there is none, as a source of it fails."""
    library = ctypes.CDLL(None)
    record = ctypes.create_string_buffer(RECORD_BYTES)
    texts = ctypes.create_string_buffer(TEXT_BYTES)
    found = ctypes.c_void_p()
    status = library.getpwnam_r(
        user.encode("utf-8", "surrogateescape"), record, texts, ctypes.c_size_t(TEXT_BYTES), ctypes.byref(found)
    )
    return status not in (0, errno.ERANGE) and not found.value
