"""Names of users, in the one form in which they are compared: failures, locks and whatever else is kept by account."""

from __future__ import annotations

import unicodedata

MOST_ROUNDS = 4


def account_name(user: str) -> str:
    """A user's name as accounts are compared: many services take `Anna`, `anna` and `ａｎｎａ` for the same.

    Compatibility characters as the plain ones (NFKC), small letters, no blanks around; of such a name, the same again.
    """
    name = user
    for _round in range(MOST_ROUNDS):
        before = name
        name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()
        if name == before:
            break
    return name
