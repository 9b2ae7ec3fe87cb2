"""What is done to fields of a client, whether they came as a form or on a command line. Nothing here needs Flask."""

from __future__ import annotations

import re
from collections.abc import Mapping

PASSWORDS = ("password", "newpass")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


def clean(fields: Mapping[str, str]) -> dict[str, str]:
    """Fields as the broker takes them: stripped and without control characters; passwords as they are."""
    return {name: value if name in PASSWORDS else CONTROL.sub(" ", value).strip() for name, value in fields.items()}
