"""The figures by which servers are compared: load reports, counts of sessions, weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from x2gobroker.agents.rules import AgentRules
from x2gobroker.model.host_weights import parse_weight
from x2gobroker.model.profile import SessionProfile
from x2gobroker.model.server_names import find_host, is_named
from x2gobroker.scheduling.ranking import Candidate
from x2gobroker.scheduling.survey import Servers, Survey, one_knows_all
from x2gobroker.store import ServerLoad

SPARE = 2  # what a weight of 0 adds to the tier


def candidates_of(
    profile: SessionProfile,
    servers: Servers,
    keys: Collection[str],
    seen: Survey,
    rules: AgentRules,
    loads: Mapping[str, ServerLoad],
    interval: float,
    now: float,
    own_name: str,
) -> list[Candidate]:
    """The servers with these keys, and what is known of them.

    `loads` is empty where the load checker is not used. Those whose load or number of sessions is not known rank
    behind those where it is, and spares behind all others.
    """
    counts = counts_by_key(profile, servers, seen, rules, own_name)
    weights = weights_by_key(profile, servers)
    found = []
    for key in keys:
        load = loads.get(key)
        report = load.fresh_report(interval, now) if load is not None else None
        sessions, as_of = counts.get(key), now
        counted = seen.counted.get(key)
        told = counted.told if counted is not None else None
        if load is not None and report is not None and report.sessions is not None:
            sessions, as_of, told = report.sessions, min(load.answered, now), None
        capacity, tier = weights.get(key, 1.0), 0
        if report is not None:
            capacity = float(report.factor)
        elif capacity <= 0:
            tier = SPARE
        if sessions is None or (loads and report is None):
            tier += 1
        found.append(Candidate(servers.by_key[key], servers.endpoints[key], capacity, sessions, as_of, tier, told))
    return found


def counts_by_key(
    profile: SessionProfile, servers: Servers, seen: Survey, rules: AgentRules, own_name: str
) -> dict[str, int]:
    """Sessions of each server, as is known, or as agents count them; one that nobody knows about is left out.

    An agent leaves out servers without sessions: its own, and all others where they share a session database. What it
    counts under the name of its own server is there, even where another one has the same name.
    """
    counts: dict[str, int] = {}
    silent: set[str] = set()
    answers = seen.counts()
    for server, answer in answers.items():
        own = [host for host in profile.hosts if host.endpoint(profile.sshport).key == server.key]
        for name, count in answer.items():
            is_own = not one_knows_all(rules) and is_named(own, name, own_name)
            key = server.key if is_own else servers.key_of(profile, name, own_name)
            if count is None:
                silent.add(key)
            elif key:
                counts[key] = max(count, counts.get(key, 0))
    if answers and one_knows_all(rules):
        idle = set(servers.by_key)
    else:
        idle = {server.key for server in answers} & servers.by_key.keys()
    for key in idle - silent:
        counts.setdefault(key, 0)
    return {**counts, **{key: counted.sessions for key, counted in seen.counted.items()}}


def weights_by_key(profile: SessionProfile, servers: Servers) -> dict[str, float]:
    """The weights that the profile gives to its hosts. What cannot be read was reported with the profile."""
    found: dict[str, float] = {}
    for entry in profile.broker_list("host-weights"):
        try:
            name, weight = parse_weight(entry)
        except ValueError:
            continue
        for key, host in servers.by_key.items():
            if name.lower() == key or find_host((host,), name) is not None:
                found[key] = weight
    return found
