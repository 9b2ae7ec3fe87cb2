"""What ends with a sign-in at the portal: connections to desktops say so when they begin."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SignInTie:
    """A sign-in, by the hash of its cookie, and after how many seconds without a sign of life it is over."""

    digest: bytes = field(repr=False)
    idle: float
