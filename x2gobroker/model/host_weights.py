"""Weights of hosts in a session profile: `ts01:4, ts02:1`, how much each can bear beside the others."""

from __future__ import annotations

import re

from x2gobroker.model.hosts import split_address, strip_brackets

WEIGHT = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")


def parse_weight(entry: str) -> tuple[str, float]:
    """Name and weight of one entry `name:weight`. Raises ValueError with what is wrong and what would be right.

    The name is a host's name or address, or `address:port`; an IPv6 address stands in brackets.
    """
    name, colon, weight = (part.strip() for part in entry.rpartition(":"))
    if not colon or not name:
        raise ValueError(f"{entry!r} has no weight; write name:weight, such as ts01:4")
    if not WEIGHT.fullmatch(weight):
        raise ValueError(f"{weight!r} in {entry!r} is no weight; write a number from 0 to 9999")
    address, _ = split_address(name)
    if not address:
        raise ValueError(f"{entry!r} names no host; write name:weight, such as ts01:4")
    return (name if name != f"[{address}]" else strip_brackets(name)).lower(), float(weight)
