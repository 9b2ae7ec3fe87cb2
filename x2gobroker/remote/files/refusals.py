"""Why something is not done with a file: a word for the page, which has a text for it."""

from __future__ import annotations

import errno

from x2gobroker.errors import BrokerError

WORDS = {
    errno.ENOENT: "no-file",
    errno.ESTALE: "no-file",
    errno.ENOTDIR: "no-folder",
    errno.ELOOP: "no-folder",
    errno.EACCES: "no-right",
    errno.EPERM: "no-right",
    errno.EROFS: "read-only",
    errno.EDQUOT: "quota",
    errno.ENOSPC: "full",
    errno.EFBIG: "too-large",
    errno.ENAMETOOLONG: "name",
    errno.EINVAL: "name",  # what a file system takes for no name
    errno.EILSEQ: "name",
    errno.ENXIO: "special",
    errno.EISDIR: "special",
    errno.ETXTBSY: "busy",
}


class RefusedError(BrokerError):
    """Something is not done. `why` is one of the words of messages.py."""

    def __init__(self, why: str) -> None:
        super().__init__(f"refused: {why}")
        self.why = why


def refusal(error: OSError, missing: str = "no-file") -> RefusedError:
    """The refusal for what the system says. `missing`: the word where there is no such thing."""
    word = WORDS.get(error.errno or 0, "failed")
    return RefusedError(missing if word == "no-file" else word)
