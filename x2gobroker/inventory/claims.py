"""What of a server's report is believed: what is on that very server, and is not too much.

A server speaks for itself only. It could else send users of other servers to itself, or away from where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.model.inventory import SessionKey
from x2gobroker.model.server_names import is_named
from x2gobroker.model.server_report import MOST_SESSIONS, SeenSession

MOST_NAMES = 16  # that a server calls itself in one report


@dataclass(frozen=True)
class Claims:
    """The sessions that are believed, and how many are not.

    `foreign` are of other servers; `odd` are told twice, or are more than a server can have.
    """

    sessions: tuple[SeenSession, ...]
    foreign: int = 0
    odd: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether these are all sessions of the server. Where something is wrong, none that is missing has ended."""
        return not self.foreign and not self.odd


def own_claims(sessions: Iterable[SeenSession], own: Endpoint, others: Sequence[Endpoint]) -> Claims:
    """What `own` may say of itself, where profiles have `others` as well.

    A server may call itself what no profile has: profiles have its address, or a name that was its own once. What
    another server is called it may only call itself where profiles call it so, too: there may be two of one name.
    """
    others_hosts = tuple(Host(one.name, one.address) for one in others if one.key != own.key)
    is_own: dict[str, bool] = {}
    taken: dict[SessionKey, SeenSession] = {}
    foreign = odd = 0
    for one in sessions:
        if one.server not in is_own and len(is_own) < MOST_NAMES:
            is_own[one.server] = _is_own(one.server, own, others_hosts)
        key = one.user, one.name
        if not is_own.get(one.server, False):
            foreign += 1
        elif key in taken or len(taken) >= MOST_SESSIONS:
            odd += 1
        else:
            taken[key] = one
    return Claims(tuple(taken.values()), foreign, odd)


def _is_own(name: str, own: Endpoint, others: tuple[Host, ...]) -> bool:
    return is_named((Host(own.name, own.address),), name) or not is_named(others, name)
