"""What administrators write for the portal's pages: notices with their times, and addresses of other pages."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import urlsplit

LONGEST_NOTICE = 1000
LONGEST_LINK = 1000
FORMS = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")
MAIL = re.compile(r"[^@\s]+@[^@\s]+")


def parse_moment(text: str) -> float | None:
    """A local time such as `2027-01-31 08:00`, in seconds of the epoch; None for an empty text.

    Raises ValueError with what would be right.
    """
    if not text.strip():
        return None
    for form in FORMS:
        try:
            return datetime.strptime(text.strip(), form).astimezone().timestamp()
        except (ValueError, OverflowError, OSError):
            continue
    raise ValueError(f"{text!r} is no time; write one such as 2027-01-31 08:00")


def check_notice(text: str) -> None:
    """Raises ValueError for what is no notice for a page: too long, or with signs that nobody can see."""
    if len(text) > LONGEST_NOTICE:
        raise ValueError(f"it has {len(text)} characters; the most is {LONGEST_NOTICE}")
    if not text.replace("\n", "").isprintable():
        raise ValueError("it has characters that cannot be shown")


def check_link(text: str) -> None:
    """Raises ValueError for what is no address of a page, or of a mailbox, and not empty."""
    if not text:
        return
    try:
        parts = urlsplit(text)
        good = bool(parts.hostname) if parts.scheme in ("http", "https") else MAIL.fullmatch(parts.path) is not None
        known = parts.scheme in ("http", "https", "mailto")
        good = good and parts.port != 0
    except ValueError:
        known, good = False, False
    if not (known and good) or len(text) > LONGEST_LINK or not text.isprintable() or " " in text:
        raise ValueError(
            f"{text!r} is no address; write one such as https://www.example.org/help or mailto:help@example.org"
        )
