"""What will be different in session profiles: who is offered them, and what clients are told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from x2gobroker.migration.findings import Finding, several
from x2gobroker.migration.site import Site
from x2gobroker.model.acl import ALL, ALLOW_DENY, AccessRules, ClientList
from x2gobroker.model.profile import SessionProfile
from x2gobroker.settings import GLOBAL

KINDS = ("users", "groups", "clients")
TRUE_THERE = frozenset({"1", "true"})  # all that 0.0.4.3 takes for true in a broker- option
QUOTED = re.compile(r"[\"']")


def texts_of(site: Site, profile: SessionProfile) -> dict[str, str]:
    """What stands in the file for a profile, `[DEFAULT]` included."""
    sections = site.profile_texts.sections
    return {**sections.get("DEFAULT", {}), **sections.get(profile.id, {})}


def autologin(site: Site, profile: SessionProfile) -> bool:
    """Whether this broker puts keys on the servers of this profile."""
    return profile.broker_flag("session-autologin", site.settings.boolean(GLOBAL, "default-session-autologin"))


def _names(rules: AccessRules, kind: str, which: str) -> list[str]:
    found = getattr(rules, f"{kind}_{which}")
    if isinstance(found, ClientList):
        return [ALL] * found.everyone + [*map(str, found.networks), *found.names, *found.bad]
    return sorted(found)


def _deny_all(site: Site) -> Iterator[Finding]:
    for profile in site.profiles:
        rules = profile.rules
        for kind in KINDS:
            allow, deny = _names(rules, kind, "allow"), _names(rules, kind, "deny")
            if ALL in deny and allow and getattr(rules, f"{kind}_order") != ALLOW_DENY:
                yield Finding(
                    "deny-all",
                    f"acl-{kind}-deny = ALL wins over acl-{kind}-allow: nobody is offered [{profile.id}], as in "
                    "0.0.4.3, though it looks as if it were otherwise",
                    f"{kind} of acl-{kind}-allow: {several(allow)}",
                    f"delete acl-{kind}-deny, if they are meant to have it: who is in no list is not let in anyway",
                )


def _any_order(site: Site) -> Iterator[Finding]:
    for profile in site.profiles:
        texts = texts_of(site, profile)
        if texts.get("acl-any-order", "").strip().lower() != ALLOW_DENY:
            continue
        for kind in KINDS:
            allow, deny = _names(profile.rules, kind, "allow"), _names(profile.rules, kind, "deny")
            if allow and deny and f"acl-{kind}-order" not in texts:
                yield Finding(
                    "acl-any-order",
                    f"acl-any-order = allow-deny works: acl-{kind}-allow wins over acl-{kind}-deny in [{profile.id}]. "
                    "0.0.4.3 never uses it",
                    f"{kind} of acl-{kind}-allow, who may have it from now on: {several(allow)}",
                    "for what was: acl-any-order = deny-allow",
                )


def _client_names(site: Site) -> Iterator[Finding]:
    for profile in site.profiles:
        allow, deny = profile.rules.clients_allow, profile.rules.clients_deny
        if allow.names:
            yield Finding(
                "client-host-names",
                f"host names in acl-clients-allow of [{profile.id}] work. In 0.0.4.3 they void all client rules of the "
                "profile",
                f"these clients, who may have it from now on: {several(list(allow.names))}",
            )
        if deny.names:
            yield Finding(
                "client-host-names",
                f"host names in acl-clients-deny of [{profile.id}] work. In 0.0.4.3 they void the whole list, so that "
                "nobody is denied",
                f"these clients, who are denied from now on: {several(list(deny.names))}; where a name cannot be "
                "resolved, everybody",
            )


def _bad_entries(site: Site) -> Iterator[Finding]:
    for profile in site.profiles:
        rules = profile.rules
        bad = [f"acl-clients-deny: {entry!r}" for entry in rules.clients_deny.bad]
        bad += [f"acl-{name}: {entry!r}" for name, entry in rules.bad if name.endswith("deny")]
        if bad:
            yield Finding(
                "bad-entries",
                f"a slip in a deny list of [{profile.id}] denies everybody: {several(bad)}. In 0.0.4.3 it lifts the "
                "list, or denies nobody",
                f"all who are offered [{profile.id}] today",
                "mend it",
            )


def _closed(site: Site) -> Iterator[Finding]:
    closed = [profile for profile in site.profiles if profile.rules.broken]
    reasons: dict[str, list[str]] = {}
    for profile in closed:
        reasons.setdefault(profile.rules.broken[0], []).append(f"[{profile.id}]")
    for reason, names in reasons.items():
        yield Finding(
            "closed-profiles",
            f"nobody is offered {several(names)}: {reason}. In 0.0.4.3 such slips go unnoticed, and everybody gets in",
            "all who are offered it today",
            "mend it; x2gobroker check-config names file and line",
        )


def _autologin_words(site: Site) -> Iterator[Finding]:
    for option in ("broker-session-autologin", "broker-portscan-x2goservers"):
        changed = []
        for profile in site.profiles:
            text = texts_of(site, profile).get(option, "").strip().lower()
            if text and profile.broker_options.get(option) is True and text not in TRUE_THERE:
                changed.append(profile.id)
        if changed:
            yield Finding(
                "broker-booleans",
                f"{option} is on: `yes` and `on` are true, too. In 0.0.4.3 they are false",
                f"users of {several(changed)}",
                f"{option} = false, if it is not meant to be on",
            )


def _quotes(site: Site) -> Iterator[Finding]:
    for profile in site.profiles:
        quoted = [
            name
            for name, text in texts_of(site, profile).items()
            if name.startswith("acl-") and QUOTED.search(text) and not text.lstrip().startswith("[")
        ]
        if quoted:
            yield Finding(
                "quotes",
                f"quotes in {several(quoted)} of [{profile.id}] hold names together. In 0.0.4.3 they are part of the "
                "name, so that such an entry matches nobody",
                "those whom these entries name",
            )


def _brackets(site: Site) -> Iterator[Finding]:
    for profile in site.profiles:
        lists = [
            name
            for name, text in texts_of(site, profile).items()
            if text.strip().startswith("[") and text.strip().endswith("]") and not QUOTED.search(text)
        ]
        if lists:
            yield Finding(
                "bracket-lists",
                f"{several(lists)} of [{profile.id}] is a list. In 0.0.4.3, names in brackets without quotes make each "
                "answer to anybody an error",
                f"users of {profile.id}, who can have it from now on",
            )


def _denied(site: Site) -> Iterator[Finding]:
    protected = [
        profile.id for profile in site.profiles if profile.rules.on_users_or_groups or profile.rules.on_clients
    ]
    if protected:
        yield Finding(
            "denied-profile",
            f"access rules count when a session is chosen, and not only in the list: {several(protected)}",
            "users who know the id of a profile that they are not offered: 0.0.4.3 gives them its server",
        )


PROFILE_DIFFERENCES: tuple[Callable[[Site], Iterator[Finding]], ...] = (
    _closed,
    _bad_entries,
    _any_order,
    _client_names,
    _deny_all,
    _autologin_words,
    _brackets,
    _quotes,
    _denied,
)
