"""What the load checker's questions mean for the inventory: a server told all, told its load only, or said nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from x2gobroker.inventory.claims import own_claims
from x2gobroker.inventory.happenings import Answered, Changed, Silent, Told
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import CHECKLOAD, REPORT
from x2gobroker.model.server_report import ServerReport


@dataclass(frozen=True)
class Heard:
    """What was heard of one server, and how many of its sessions are not believed: of others, or none at all."""

    server: Endpoint
    happening: Told | Changed | Answered | Silent
    foreign: int = 0
    odd: int = 0


def heard_report(
    server: Endpoint, others: Sequence[Endpoint], report: ServerReport, asked: float, heard: float, how: str = REPORT
) -> Heard:
    """What a server's report means, of all servers that profiles have; moments are seconds since the epoch."""
    claims = own_claims(report.sessions, server, others)
    whole = claims.is_whole and report.left_out <= 0
    return Heard(server, Told(asked, heard, claims.sessions, how, whole=whole), claims.foreign, claims.odd)


def heard_load(server: Endpoint, asked: float, heard: float) -> Heard:
    """The agent has told its load, and knows of no more to tell."""
    return Heard(server, Answered(asked, heard, CHECKLOAD))


def heard_nothing(server: Endpoint, asked: float, trouble: str) -> Heard:
    """Nothing that could be understood has come; `trouble` is why, as agents have it."""
    return Heard(server, Silent(asked, trouble))
