"""The option names of a session profile as they were written: what is a slip is named, and opens nothing.

A name that is meant to be an access rule and is none closes the profile. A known option whose name is written with
another case, `_` or blanks counts as that option; one with a letter wrong is dropped. Both are errors for
`check-config`, and neither is sent to clients. All other names are passed on: a newer client may know them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from x2gobroker.model.near_names import looks_like_a_rule, one_slip_from, same_but_for_spelling, squeezed
from x2gobroker.model.options import did_you_mean
from x2gobroker.model.profile_options import ACL_PREFIX, BROKER_NAMES, BROKER_PREFIX, BY_NAME, CLIENT_NAMES, RULE_NAMES

Report = Callable[[str, str], None]
INTERNAL = ("host=", "sshport=")
CLOSED = "nobody is offered this profile until it is mended"
# an option on an indented line, which went into the value above; `ts2:22` is a server in a list
GONE_ON = re.compile(r"\n\s*(?P<name>[^\W\d_][\w .-]*?)\s*:(?!\s*\d{1,5}\s*(?:[,)\n]|\Z))")
RULE_INSIDE = re.compile(r"(?<![\w-])acl[-_ ]?(?:users|groups|clients|any)[-_ ]?(?:allow|deny|order)\b", re.IGNORECASE)


class Hint(str):
    """A message about what works, and should be looked at all the same: a warning."""

    __slots__ = ()


@dataclass(frozen=True)
class WrittenNames:
    """The texts of a section by the names that they are meant for; `broken` says what may be a rule and is none."""

    texts: Mapping[str, str]
    broken: tuple[str, ...] = ()
    lost: frozenset[str] = frozenset()
    """Known options that may be meant by a name that was dropped."""


@dataclass(frozen=True)
class _Meaning:
    known: str = ""
    message: str = ""
    is_rule: bool = False
    is_known: bool = True
    near: str = ""


@lru_cache(maxsize=4096)
def _meaning(name: str) -> _Meaning:
    """What a name stands for: a known option, a slip, or an option of a client that is not known here."""
    if name in BY_NAME or name in CLIENT_NAMES or name.startswith(INTERNAL) or name == "default":
        return _Meaning(name)
    if looks_like_a_rule(name, RULE_NAMES):
        kind = "unknown access rule" if name.startswith(ACL_PREFIX) else "looks like an access rule, and is none:"
        return _Meaning(message=f"{kind} {name}{did_you_mean(name, RULE_NAMES)}", is_rule=True)
    if squeezed(name).startswith(squeezed(BROKER_PREFIX)):
        return _Meaning(message=f"unknown option {name}{did_you_mean(name, BROKER_NAMES)}")
    if known := same_but_for_spelling(name, sorted(CLIENT_NAMES)):
        return _Meaning(known, f"{name}: write {known}; names are taken to the letter")
    if near := one_slip_from(name, sorted(CLIENT_NAMES)):
        return _Meaning(message=f'unknown option {name}; did you mean "{near}"? It is left out', near=near)
    return _Meaning(name)


def written_names(texts: Mapping[str, str], report: Report) -> WrittenNames:
    """The options of a section, with the slips in their names told to `report(option, message)`."""
    meant: dict[str, str] = {}
    broken: list[str] = []
    lost: set[str] = set()
    for name, text in texts.items():
        meaning = _meaning(name)
        if meaning.is_rule:
            broken.append(meaning.message)
            report(name, f"{meaning.message}; {CLOSED}")
        elif meaning.message:
            report(name, meaning.message)
            lost.add(meaning.near)
        if meaning.known == name or (meaning.known and meaning.known not in texts):
            meant[meaning.known] = text
        if inside := _rule_inside(text):
            message = f"{name}: {inside!r} stands inside the value; write it on a line of its own"
            broken.append(message)
            report(name, f"{message}; {CLOSED}")
    return WrittenNames(meant, tuple(broken), frozenset(lost))


def _rule_inside(text: str) -> str:
    """What may be meant as an access rule within a value; empty where there is nothing of it."""
    if inside := RULE_INSIDE.search(text):
        return inside[0]
    names = (found["name"] for found in GONE_ON.finditer(text))
    return next((name for name in names if looks_like_a_rule(name, RULE_NAMES)), "")
