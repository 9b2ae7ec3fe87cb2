"""User names, as they are compared."""

from __future__ import annotations

import unicodedata


def account_name(user: str) -> str:
    """The form in which user names are kept and compared: for penalties, second factors and whatever is somebody's.

    Directories take `Anna`, `anna ` and full-width letters for one user: another spelling must be no way around.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", user).casefold()).strip()
