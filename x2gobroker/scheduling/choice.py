"""Choosing one X2Go Server for a new session."""

from __future__ import annotations

import random
from dataclasses import dataclass

from x2gobroker.logs import error_log, field
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Host
from x2gobroker.model.profile import SessionProfile
from x2gobroker.scheduling.probe import PortProbe

NO_SERVER = "no-server-available"
NO_SERVER_UP = "no-X2Go-Server-available"


@dataclass(frozen=True)
class Selection:
    """The server to go to. `host` is None where there is none: then `server` is a name that says so."""

    server: str
    port: int
    host: Host | None = None


class Scheduler:
    """Chooses servers; safe for threads."""

    def __init__(self) -> None:
        self._probe = PortProbe()

    def choose(self, profile: SessionProfile | None, probe: bool) -> Selection:
        """A server of the profile: any that answers on its SSH port where `probe` is set, else any.

        A single host is given out without asking, down or not: there is nothing to choose, and the client tells the
        user. A profile of desktop sharing always gets its first host.
        """
        if profile is None:
            return Selection(NO_SERVER, DEFAULT_SSH_PORT)
        hosts = profile.hosts[:1] if profile.is_shadow else profile.hosts
        if not hosts:
            error_log.error("session profile [%s] has no usable host", field(profile.id))
            return Selection(NO_SERVER, profile.sshport)
        if probe and len(hosts) > 1:
            hosts = self._up(profile, hosts)
            if not hosts:
                return Selection(NO_SERVER_UP, profile.sshport)
        host = random.choice(hosts)  # noqa: S311 - spreads users, guards nothing
        return Selection(host.target, host.port_or(profile.sshport), host)

    def _up(self, profile: SessionProfile, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
        targets = {(host.target, host.port_or(profile.sshport)): host for host in hosts}
        reachable = self._probe.reachable(targets)
        if not reachable:
            tried = ", ".join(f"{name}:{port}" for name, port in targets)
            error_log.error("session profile [%s]: no X2Go Server answers; tried %s", field(profile.id), tried)
        return tuple(host for target, host in targets.items() if target in reachable)
