"""On which server each session is that agents have told, and of which servers that is all.

An agent is believed about its own server: what it tells under that server's name is there, even where another server
has the same name. What it tells under the name of another one is on that one: several servers may have one session
database, whether the broker was told so or not. Under a name that no server of the profile has, as one was renamed, or
as it is in other profiles, a session is where the inventory knows it to be, if anywhere: the load checker compares with
all profiles.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from x2gobroker.agents.farm import Findings
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.profile import SessionProfile
from x2gobroker.model.server_names import find_host, is_named
from x2gobroker.model.sessions import ServerSession


@dataclass(frozen=True)
class Placing:
    """What agents have told, and what helps to place it.

    `shared`: any agent knows the sessions of all servers. `known` has the keys of servers that have a session of this
    name, as was known before. `own_name` is this machine's name.
    """

    findings: Findings
    shared: bool
    known: Mapping[str, Collection[str]]
    own_name: str

    def key_of(self, session: ServerSession, profile: SessionProfile) -> str:
        """The key of the server of a profile that has this session; empty where it is none, or nobody can say."""
        teller = None if self.shared else self.findings.teller_of(session)
        own = [host for host in profile.hosts if teller and host.endpoint(profile.sshport).key == teller.key]
        if teller is not None and is_named(own, session.server, self.own_name):
            return teller.key
        host = find_host(profile.hosts, session.server, self.own_name)
        if host is not None:
            return host.endpoint(profile.sshport).key
        known = {one.endpoint(profile.sshport).key for one in (profile.hosts if self.shared else own)}
        known.intersection_update(self.known.get(session.name, ()))
        return known.pop() if len(known) == 1 else ""

    def all_told(
        self, servers: Mapping[str, Endpoint], placed: Iterable[tuple[str, ServerSession]]
    ) -> tuple[Endpoint, ...]:
        """Those of these servers, by key, of which all sessions were told; of others, none that is missing has ended.

        `placed` has all sessions, each with the key of its server: one that is on no server may be on that which told
        it, and was known there by another name.
        """
        unsure: set[str] = set()
        for key, session in placed:
            teller = self.findings.teller_of(session)
            if self.shared and not key:
                unsure.update(self.known.get(session.name, ()))
            elif not self.shared and teller is not None and key != teller.key:
                unsure.add(teller.key)
        answered = tuple(servers.values()) if self.shared and self.findings.answered else self.findings.answered
        return tuple(one for one in answered if one.key not in unsure)
