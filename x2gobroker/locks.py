"""Locking a user out, and letting the user in again: one function each, whoever asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from x2gobroker.agents.base import SESSION_SECONDS, BrokerAgent
from x2gobroker.agents.rules import NONE, AgentRules, agent_rules, mode_of
from x2gobroker.auth import tickets
from x2gobroker.autologin.sweep import Sweep
from x2gobroker.errors import AgentError, PluginError, StoreError
from x2gobroker.inventory.record import Inventory
from x2gobroker.inventory.selections import SelectionNotes
from x2gobroker.logs import broker_log, error_log, field
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import ENDED as SESSION_ENDED
from x2gobroker.placement import account_for
from x2gobroker.plugins import BACKENDS, registered
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store import AutologinKeys, Lockouts, TakenAway

NO_SESSIONS = "no sessions"
ENDED = "ended"


@dataclass(frozen=True)
class Wanted:
    """Whom to lock out, who wants it and why; `until` is seconds since the epoch, None: until somebody lifts it.

    `tell`: the reason is meant for the user as well. `stop`: the user's desktops in the browser are stopped, too.
    """

    user: str
    by: str
    reason: str = ""
    tell: bool = False
    until: float | None = None
    stop: bool = False


@dataclass(frozen=True)
class Ended:
    """What became of one session on an X2Go Server, or of a server that could not be asked (`session` is empty)."""

    server: str
    session: str
    outcome: str

    @property
    def good(self) -> bool:
        """Whether there is nothing left to do by hand."""
        return self.outcome in (ENDED, NO_SESSIONS)


def lock_out(settings: Settings, services: Services, wanted: Wanted) -> TakenAway:
    """Lock a user out for all brokers of the store, and take autologin keys away at once. Raises StoreError."""
    store = services.store(settings)
    taken = Lockouts(store).lock(wanted.user, wanted.by, wanted.reason, wanted.tell, wanted.until, wanted.stop)
    broker_log.warning(
        "lockout user=%s by=%s until=%s authids=%d sign-ins=%d desktops=%d keys=%d",
        field(wanted.user),
        field(wanted.by),
        "lifted" if wanted.until is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(wanted.until)),
        taken.authids,
        taken.sign_ins,
        taken.desktops,
        taken.keys,
    )
    tickets.forget(settings, wanted.user)
    if taken.keys:  # the brokers would do it as well, within seconds, if they run
        Sweep(services.farm, lambda: settings, lambda _current: AutologinKeys(store)).run_once(time.time())
    return taken


def lift(settings: Settings, services: Services, user: str, by: str) -> bool:
    """Let a user in again; False for one who is not locked out. Raises StoreError."""
    lifted = Lockouts(services.store(settings)).lift(user)
    if lifted:
        broker_log.warning("lockout user=%s by=%s lifted", field(user), field(by))
    return lifted


def end_sessions(settings: Settings, services: Services, user: str) -> list[Ended]:
    """Terminate a user's sessions on all X2Go Servers that profiles name, by their broker agents; what came of each.

    Only sessions of the user's own account: one that a profile names is perhaps not the user's alone.
    """
    outcomes: dict[tuple[str, str], Ended] = {}
    inventory = services.of(Inventory, settings)
    for rules, servers in _servers(settings, services, user).items():
        answers = services.farm.ask_all(
            servers, rules, _terminate(rules, user), seconds=2 * rules.timeout + SESSION_SECONDS
        )
        for server, answer in answers.items():
            if isinstance(answer, AgentError):
                outcomes[server.key, ""] = Ended(server.name, "", f"{answer.reason}: {answer}")
            elif not answer:
                outcomes.setdefault((server.key, ""), Ended(server.name, "", NO_SESSIONS))
            for one in answer if isinstance(answer, list) else ():
                before = outcomes.get(("", one.session))
                if before is None or not before.good:  # servers of one session database list, and end, the same ones
                    outcomes["", one.session] = one
    ended = [one.session for one in outcomes.values() if one.session and one.good]
    try:
        SelectionNotes(inventory).acted(user, ended, SESSION_ENDED)
    except StoreError as error:
        error_log.error("sessions that were ended are not noted: %s", error)
    return sorted(outcomes.values(), key=lambda one: (one.server, one.session))


def _terminate(rules: AgentRules, user: str) -> Callable[[BrokerAgent, Endpoint], list[Ended]]:
    def call(agent: BrokerAgent, server: Endpoint) -> list[Ended]:
        ended = []
        for session in agent.list_sessions(server, rules, user):
            try:
                agent.terminate_session(server, rules, user, session.name)
                ended.append(Ended(session.server, session.name, ENDED))
            except AgentError as error:
                ended.append(Ended(session.server, session.name, f"{error.reason}: {error}"))
        return ended

    return call


def _servers(settings: Settings, services: Services, user: str) -> dict[AgentRules, list[Endpoint]]:
    """The servers on which the user may have sessions, by the way in which their agents are asked, each once."""
    found: dict[AgentRules, dict[str, Endpoint]] = {}
    for backend in _enabled(settings):
        try:
            profiles = services.backend(backend).all_profiles(settings)
        except PluginError as error:
            broker_log.error("backend: %s", error)
            continue
        for profile in profiles:
            if mode_of(settings, backend, profile) == NONE or account_for(profile, user) != user:
                continue
            servers = found.setdefault(agent_rules(settings, backend, profile), {})
            for host in profile.hosts:
                endpoint = host.endpoint(profile.sshport)
                servers.setdefault(endpoint.key, endpoint)
    return {rules: list(servers.values()) for rules, servers in found.items()}


def _enabled(settings: Settings) -> Iterable[str]:
    return (name for name in sorted(registered(BACKENDS)) if settings.backend_enabled(name))
