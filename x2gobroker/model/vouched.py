"""That somebody has checked who a user is. There is no such value without a reason, and no default for one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Vouched:
    """Somebody has checked who this is; `how`, for people: `password by pam`, `sshd: own account`.

    Whatever is done in a user's name (keys, desktops, sign-ins with the user's password) takes `Vouched | None`, and
    None has to be written down. `mechanism` is the auth mechanism that was asked at the login, which may be long ago,
    and can be asked again; empty where somebody vouches for the user in this very request. Raises ValueError without a
    reason.
    """

    how: str
    mechanism: str = ""

    def __post_init__(self) -> None:
        if not self.how.strip():
            raise ValueError("nobody is vouched for without saying how")
