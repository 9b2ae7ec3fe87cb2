"""Penalties against guessing: how long an address or an account has to wait after so many failures."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from x2gobroker.model.acl import Network, parse_client, parse_network

# after the first two: shorter than anybody needs to type a password again, longer than a program does
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
MANY_WAITS = WAITS[2:]
MANY_ALLOWED = 5
BLOCK_BAN_FACTOR = 10
# different passwords for one account, from one block, that may be under way at the same time
AT_ONCE = 3
# an attempt that is not settled by then belongs to a process that died
ATTEMPT_SECONDS = 120.0
IPV6_BITS = 64
LONGEST_ADDRESS = 64


@dataclass(frozen=True)
class Penalty:
    """Seconds to wait from the failure on, and seconds of a ban; 0: none."""

    wait: float = 0.0
    ban: float = 0.0


@dataclass(frozen=True)
class PenaltyRules:
    """What the configuration says. A block is an IPv4 address, or the /64 network of an IPv6 address."""

    enabled: bool = True
    ban_failures: int = 10
    ban_seconds: float = 300
    forget_seconds: float = 900
    trusted: tuple[str, ...] = ()

    def apply_to(self, address: str) -> bool:
        """Whether failures of this address count."""
        return self.enabled and not is_within(address, self.trusted)

    def for_account(self, failures: int, everywhere: int) -> Penalty:
        """After `failures` of one block on one account, which has failed `everywhere` times from all blocks."""
        wait = max(step(WAITS, failures), step(MANY_WAITS, everywhere - MANY_ALLOWED))
        return Penalty(wait, self.ban_seconds if failures >= self.ban_failures else 0.0)

    def for_block(self, failures: int) -> Penalty:
        """After `failures` of one block on all accounts; several users may sit behind one address."""
        banned = failures >= self.ban_failures * BLOCK_BAN_FACTOR
        return Penalty(step(MANY_WAITS, failures - MANY_ALLOWED), self.ban_seconds if banned else 0.0)

    def places_for_account(self, failures: int) -> int:
        """How many passwords of one block for one account may be looked at before a ban; always one."""
        return max(1, self.ban_failures - failures)

    def places_at_block(self, failures: int) -> int:
        """The same for one block on all accounts."""
        return max(1, self.ban_failures * BLOCK_BAN_FACTOR - failures)

    @property
    def longest_attempt(self) -> float:
        """How far ahead the end of an attempt can lie; what lies further is from a clock that was wrong."""
        return max(ATTEMPT_SECONDS, self.ban_seconds)

    def ahead(self, failures: int) -> float:
        """How long others wait while an attempt is checked that may become the next failure."""
        return step(WAITS, failures + 1)


def step(waits: tuple[float, ...], failures: int) -> float:
    """The wait after so many failures; the last one goes on."""
    return waits[min(failures, len(waits)) - 1] if failures > 0 else 0.0


def address_block(address: str) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64; what is no address stands for itself."""
    client = parse_client(address)
    if client is None:
        return address[:LONGEST_ADDRESS]
    return str(client) if client.version == 4 else str(parse_network(f"{client}/{IPV6_BITS}"))


@functools.lru_cache(maxsize=32)
def read_networks(entries: tuple[str, ...]) -> tuple[tuple[Network, ...], tuple[str, ...]]:
    """The networks among the entries, and the entries that are none."""
    networks: list[Network] = []
    bad: list[str] = []
    for entry in entries:
        try:
            networks.append(parse_network(entry))
        except ValueError:
            bad.append(entry)
    return tuple(networks), tuple(bad)


def is_within(address: str, entries: tuple[str, ...]) -> bool:
    """Whether an address is in one of these networks. An entry that is none matches nothing."""
    client = parse_client(address)
    return client is not None and any(
        client.version == network.version and client in network for network in read_networks(entries)[0]
    )
