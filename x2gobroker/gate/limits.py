"""How long, how large and how many."""

from __future__ import annotations

import resource
from dataclasses import dataclass

RESERVED_FILES = 384  # of a process: the store, the authentication service, agents, logs
FEWEST = 64


@dataclass(frozen=True)
class Limits:
    """For one worker process; seconds are absolute: a byte now and then prolongs nothing.

    `connections`: in all; `per_address`: of one IPv4 address or IPv6 /64 network. `held_bytes`: of all requests and
    answers that are on their way, together.
    """

    handshake_seconds: float = 10.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    answer_seconds: float = 60.0
    idle_seconds: float = 15.0
    linger_seconds: float = 2.0
    head_bytes: int = 1 << 16
    body_bytes: int = 1 << 20
    held_bytes: int = 1 << 26
    connections: int = 1000
    per_address: int = 100


def most_connections(wanted: int) -> int:
    """As many of the wanted connections as this process may have open files for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else max(FEWEST, min(wanted, soft - RESERVED_FILES))
