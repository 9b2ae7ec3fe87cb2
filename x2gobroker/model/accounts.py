"""Names of users, in the one form in which they are compared: failures, locks and whatever else is kept by account."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

MOST_ROUNDS = 4
OF_DOMAINS = frozenset("\\@/")  # in names such as `DOMAIN\\anna` and `anna@domain`


@dataclass(frozen=True)
class UserNames:
    """A user's name as the user writes it, and as the system itself calls the account; empty where nobody knows that.

    Directories know an account by several names: `Anna`, `DOMAIN\\anna` and `anna@domain` for `anna`.
    """

    user: str
    own: str = ""

    @property
    def account(self) -> str:
        """The name of the account, as well as it is known."""
        return self.own or self.user

    @property
    def all(self) -> frozenset[str]:
        """Both names."""
        return frozenset((self.user, self.account))

    @property
    def is_sure(self) -> bool:
        """Whether X2Go Servers surely call the account by this name."""
        return bool(self.own) or is_plain(self.user)


def is_plain(user: str) -> bool:
    """Whether a name is written as accounts mostly are: in small letters, without a domain."""
    return user == account_name(user) and not OF_DOMAINS & {*user}


def may_be_called(user: str, account: str) -> bool:
    """Whether a server may call `account` whom others call `user`: in other letters, or without the domain."""
    bare = user.replace("/", "\\").rpartition("\\")[2].partition("@")[0]
    return account_name(account) in {account_name(user), account_name(bare)}


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
