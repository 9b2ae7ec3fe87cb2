"""What is a password: one rule for logins, for `x2gobroker passwd`, for changes and for tests."""

from __future__ import annotations

LONGEST_PASSWORD = 1024
LONGEST_CODE = 64
# what is typed into one field: a password, and a one-time code behind it
LONGEST_TYPED = LONGEST_PASSWORD + LONGEST_CODE


def can_be_typed(text: str) -> bool:
    """Whether this can be a password, with a one-time code behind it or without one. The empty text can."""
    if len(text) > LONGEST_TYPED or "\0" in text:
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a character
        return False
    return True


def new_password_fault(text: str) -> str:
    """Why this cannot become somebody's password, in words for the user; nothing when it can."""
    if not text:
        return "the new password is empty"
    if len(text) > LONGEST_PASSWORD:
        return f"the new password has more than {LONGEST_PASSWORD} characters"
    if not text.isprintable():
        return "the new password has characters that cannot be printed"
    return ""
