"""Option names with a slip in them: is this meant to be an access rule, or a known option?

Whoever writes `ACL_Users_Allow`, `allow-users` or `acl-user-alow` means a rule; taken for an option that a newer
client may know, it would open the profile and be sent to every client, names and all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
CAPITAL_INSIDE = re.compile(r"(?<=[a-z])(?=[A-Z])")
RULE_WORDS = ("allow", "deny", "denied", "permit", "forbid", "disallow", "acl")
RULE_NOUNS = frozenset(("users", "groups", "group", "clients", "access"))
FUZZY_WORDS = ("allow", "deny")
FAR = 99


def squeezed(name: str) -> str:
    """The letters and digits of a name, in lower case: the same for all spellings of one name."""
    return NOT_ALPHANUMERIC.sub("", unicodedata.normalize("NFKC", name)).casefold()


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name, in lower case, whatever stands between them."""
    apart = CAPITAL_INSIDE.sub("-", unicodedata.normalize("NFKC", name))
    return tuple(word for word in NOT_ALPHANUMERIC.split(apart.casefold()) if word)


def distance(one: str, other: str, most: int) -> int:
    """How many letters to change, add, leave out or swap with the next; more than `most` are not counted."""
    if abs(len(one) - len(other)) > most:
        return FAR
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, wanted in enumerate(other, 1):
            cost = min(last[column] + 1, now[-1] + 1, last[column - 1] + (letter != wanted))
            swapped = row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == wanted
            now.append(min(cost, before[column - 2] + 1) if swapped else cost)
        before, last = last, now
    return last[-1]


def looks_like_a_rule(name: str, rules: Iterable[str]) -> bool:
    """Whether a name that is not one of `rules` is meant to be one."""
    words, letters = words_of(name), squeezed(name)
    if letters.startswith("acl") or any(word.startswith(RULE_WORDS) or word in RULE_NOUNS for word in words):
        return True
    if any(distance(word, wanted, 1) <= 1 for word in words for wanted in FUZZY_WORDS):
        return True
    return any(distance(letters, squeezed(rule), 3) <= 3 for rule in rules)


def same_but_for_spelling(name: str, known: Iterable[str]) -> str:
    """The known name that this is but for case, `-`, `_` and blanks; empty where there is none."""
    letters = squeezed(name)
    return next((other for other in known if squeezed(other) == letters), "")


def one_slip_from(name: str, known: Iterable[str]) -> str:
    """The known name that is one letter away (two in long names), or has the same words; empty where there is none."""
    letters, words = squeezed(name), sorted(words_of(name))
    most = 2 if len(letters) > 9 else 1
    for other in known:
        if len(other) > 3 and distance(letters, squeezed(other), most) <= most:
            return other
        if len(words) > 1 and sorted(words_of(other)) == words:
            return other
    return ""
