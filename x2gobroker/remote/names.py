"""Names of users and groups in a session type: whom a list names, and which entries are a slip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from x2gobroker.model.name_lists import read_items
from x2gobroker.remote.keys import GROUP_SIGN
from x2gobroker.remote.positions import Path as Place

SEPARATORS = "/+"  # which names may hold, and which some write between names
Complain = Callable[[Place, str, bool], None]  # where in the session type, what is wrong, and whether it is an error


def read_access_names(key: str, entries: Iterable[str], complain: Complain) -> frozenset[str]:
    """The names that an access key, or the option `group`, stands for.

    What is no name is an error. What may be several names counts in a deny list as each of them, too.
    """
    place: Place = ("options", key) if key == "group" else (key,)
    denies = key.endswith("-deny")
    found = read_items(entries, blanks=key.startswith("group"))
    for entry, fault in found.bad:
        complain(place, f"{key}: {entry!r} {fault}", True)
    for entry in found.parted:
        if denies:
            complain(place, f"{key}: {entry!r} may be several names, which are all denied; {_apart(entry)}", False)
        elif _is_joined(entry):  # a group with blanks in its name, if that is a slip, lets nobody in
            complain(place, f"{key}: {entry!r} counts as one name; {_apart(entry)}", False)
    return found.with_parts if denies else found.names


def read_arguments(lists: Mapping[str, Iterable[str]], complain: Complain) -> dict[str, tuple[str, ...]]:
    """The lists of `arguments` by the name of a user, or of a group behind its sign.

    What is no name is an error, and so is what may be several: there is no list that suits both readings.
    """
    made: dict[str, tuple[str, ...]] = {}
    for key, texts in lists.items():
        sign = GROUP_SIGN if key.startswith(GROUP_SIGN) else ""
        found = read_items((key.removeprefix(sign),), blanks=bool(sign))
        name = sign + next(iter(found.names), "")
        if found.bad:
            fault = found.bad[0][1]
        elif any(map(_is_joined, found.parted)):
            fault = f"may be several names; {_apart(key)}"
        elif name.startswith(GROUP_SIGN) and not sign:
            fault = f"is no user: {GROUP_SIGN} stands before groups"
        elif name in made:
            fault = "stands twice; delete one"
        else:
            made[name] = tuple(texts)
            continue
        complain(("arguments", key), f"arguments: {key!r} {fault}", True)
    return made


def _is_joined(entry: str) -> bool:
    return any(separator in entry for separator in SEPARATORS)


def _apart(entry: str) -> str:
    """What to do about an entry that may be several names."""
    sign = GROUP_SIGN if entry.startswith(GROUP_SIGN) else ""
    return f"give each an item of its own, or write \"{sign}'{entry.removeprefix(sign)}'\" if it is one"
