"""Access rules from the text of a session profile. What is not understood lets nobody in."""

from __future__ import annotations

from collections.abc import Mapping

from x2gobroker.model.acl import ALL, ALLOW_DENY, DENY_ALLOW, ORDERS, AccessRules, ClientList, parse_clients
from x2gobroker.model.name_lists import NameList, read_names
from x2gobroker.model.near_names import looks_like_a_rule
from x2gobroker.model.options import did_you_mean, parse_list
from x2gobroker.model.profile_options import ACL_PREFIX, RULE_NAMES
from x2gobroker.model.written_names import CLOSED, Hint, Report

WHAT = ("users", "groups", "clients")
NEITHER = {
    ("users", "deny"): "it denies everybody",
    ("users", "allow"): "it allows nobody",
    ("groups", "deny"): "it denies everybody",
    ("groups", "allow"): "it allows nobody",
    ("clients", "deny"): "it denies every client",
    ("clients", "allow"): "it matches no client",
}


def build_rules(texts: Mapping[str, str], report: Report, broken: tuple[str, ...] = ()) -> AccessRules:
    """The access rules of a profile's text. A misspelt rule, or a reason in `broken`, makes rules for nobody."""
    unknown = []
    for name in texts:
        if name.startswith(ACL_PREFIX) and name not in RULE_NAMES and looks_like_a_rule(name, RULE_NAMES):
            message = f"unknown access rule {name}{did_you_mean(name, RULE_NAMES)}"
            report(name, f"{message}; {CLOSED}")
            unknown.append(message)
    orders = {what: _order(what, texts, report) for what in WHAT}
    users_allow, users_deny = (_names("users", which, texts, report) for which in ("allow", "deny"))
    groups_allow, groups_deny = (_names("groups", which, texts, report) for which in ("allow", "deny"))
    clients_allow, clients_deny = (_clients(which, texts, report) for which in ("allow", "deny"))
    _check_deny_all(orders, texts, report)
    lists = {
        "users-allow": users_allow,
        "users-deny": users_deny,
        "groups-allow": groups_allow,
        "groups-deny": groups_deny,
    }
    return AccessRules(
        users_allow.names,
        users_deny.with_parts,
        orders["users"],
        groups_allow.names,
        groups_deny.with_parts,
        orders["groups"],
        clients_allow,
        clients_deny,
        orders["clients"],
        (*broken, *unknown),
        tuple((name, found.bad[0][0]) for name, found in lists.items() if found.bad),
    )


def _names(what: str, which: str, texts: Mapping[str, str], report: Report) -> NameList:
    name = f"acl-{what}-{which}"
    found = read_names(texts.get(name, ""), blanks=what == "groups")
    for entry, fault in found.bad:
        report(name, f"{name}: {entry!r} {fault}; {NEITHER[what, which]}")
    for entry in found.parted:
        report(name, Hint(f"{name}: {entry!r} counts as one name; put it in quotes, or write commas between names"))
    if name in texts and which == "allow" and not (found.names or found.bad):
        report(name, Hint(f"{name} is empty: it is no rule, and allows everybody whom no other rule keeps out"))
    return found


def _clients(which: str, texts: Mapping[str, str], report: Report) -> ClientList:
    name = f"acl-clients-{which}"
    entries = parse_list(texts.get(name, ""))
    if not entries and texts.get(name, "").strip() not in ("", "[]"):
        entries = (texts[name].strip(),)
    found = parse_clients(entries)
    for entry in found.bad:
        report(name, f"{name}: {entry!r} is no address, network or host name; {NEITHER['clients', which]}")
    if name in texts and which == "allow" and not found:
        report(name, Hint(f"{name} is empty: it is no rule, and allows every client"))
    return found


def _check_deny_all(orders: Mapping[str, str], texts: Mapping[str, str], report: Report) -> None:
    for what, order in orders.items():
        deny, allow = (parse_list(texts.get(f"acl-{what}-{which}", "")) for which in ("deny", "allow"))
        if order == DENY_ALLOW and ALL in deny and allow:
            report(
                f"acl-{what}-deny",
                f"acl-{what}-deny = ALL wins over acl-{what}-allow in this order, so that it allows nobody; "
                f"write acl-{what}-order = {ALLOW_DENY}",
            )


def _order(what: str, texts: Mapping[str, str], report: Report) -> str:
    for name in (f"acl-{what}-order", "acl-any-order"):
        order = texts.get(name, "").strip()
        if order in ORDERS:
            return order
        if order:
            report(name, f"{name}: {order!r} is neither {' nor '.join(ORDERS)}; the deny list wins")
            return DENY_ALLOW
    return DENY_ALLOW
