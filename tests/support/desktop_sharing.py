"""Who may share desktops with others by X2Go Desktop Sharing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.accounts import Account, try_to_change_accounts

GROUP = "x2godesktopsharing"  # the name that X2Go Desktop Sharing was compiled with


def _call(*words: str) -> bool:
    return try_to_change_accounts(*words).returncode == 0


@contextlib.contextmanager
def sharing_group(*users: Account) -> Iterator[None]:
    """These users are in the group of those who may share, for the length of a `with` block. Needs root."""
    is_new = not _call("getent", "group", GROUP)
    assert not is_new or _call("groupadd", "--system", GROUP)
    try:
        for user in users:
            assert _call("gpasswd", "--add", user.name, GROUP)
        yield
    finally:
        for user in users:
            _call("gpasswd", "--delete", user.name, GROUP)
        if is_new:
            _call("groupdel", GROUP)
