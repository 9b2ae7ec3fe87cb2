"""Lists of users and groups: which entries are names, and which are a slip.

Names hold what Unix and Active Directory allow. A name with anything else in it stands in quotes; what stands without
is a slip: another separator, a remark, a quote that is not closed, `all`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from x2gobroker.model.options import split_list

ALL = "ALL"
INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
NEVER_IN_A_NAME = re.compile(r"""[;|&#"<>=?*()\[\]{},:`]""")
NEVER_FIRST = "@%!-+~^$"
MAY_SEPARATE = re.compile(r"[\s/+]+")


@dataclass(frozen=True)
class NameList:
    """The names of one list; `bad` are entries that mean nothing, with the reason; `parted` may be several names."""

    names: frozenset[str] = frozenset()
    bad: tuple[tuple[str, str], ...] = ()
    parted: tuple[str, ...] = ()

    @property
    def with_parts(self) -> frozenset[str]:
        """The names, and those that an entry of several words may stand for: who a deny list denies."""
        return self.names.union(*map(parts_of, self.parted))


def read_names(text: str, blanks: bool) -> NameList:
    """The names of a list as it stands in a file; `blanks` says whether a name may hold blanks without quotes."""
    names: set[str] = set()
    bad: list[tuple[str, str]] = []
    parted: list[str] = []
    items = split_list(text)
    if not items and text.strip() and text.strip() != "[]":
        bad.append((text.strip(), "is no name"))
    for item in items:
        fault = fault_of_name(item.text) if item.quoted else fault_of_entry(item.text, blanks)
        if fault:
            bad.append((item.text, fault))
            continue
        names.add(item.text)
        if not item.quoted and MAY_SEPARATE.search(item.text):
            parted.append(item.text)
    return NameList(frozenset(names), tuple(bad), tuple(parted))


def parts_of(entry: str) -> list[str]:
    """The names that an entry stands for, if what stands between them was meant to separate them."""
    return MAY_SEPARATE.split(entry)


def read_items(texts: Iterable[str], blanks: bool) -> NameList:
    """The same for a list in which each name is a text of its own, as in JSON: `anna`, or `'a,b'` in quotes."""
    names: set[str] = set()
    bad: list[tuple[str, str]] = []
    parted: list[str] = []
    for text in texts:
        items = split_list(text)
        if len(items) != 1 or not (items[0].quoted or items[0].text == text.strip()):
            fault = "is not one name; give each name an item of its own, and a name that holds a comma quotes"
        else:
            fault = fault_of_name(items[0].text) if items[0].quoted else fault_of_entry(text, blanks)
        if fault:
            bad.append((text, fault))
            continue
        names.add(items[0].text)
        if not items[0].quoted and MAY_SEPARATE.search(text):
            parted.append(text)
    return NameList(frozenset(names), tuple(bad), tuple(parted))


def fault_of_name(name: str) -> str:
    """Why this cannot be anybody's name; empty where it can."""
    if "\n" in name or "\r" in name:
        return "goes over the end of a line; write commas between names"
    if any(unicodedata.category(letter) in INVISIBLE for letter in name):
        return "holds a character that cannot be seen"
    if name != name.strip() or not name:
        return "is empty or has blanks around the name"
    return ""


def fault_of_entry(entry: str, blanks: bool = True) -> str:
    """Why this is a slip and no name, where no quotes stand around it; empty where it is one."""
    if fault := fault_of_name(entry):
        return fault
    if entry != ALL and entry.casefold() == ALL.casefold():
        return f"write {ALL} for everybody"
    if mark := NEVER_IN_A_NAME.search(entry):
        return f"holds {mark[0]}; write commas between names, and a name that holds it in quotes"
    if entry[0] == "'" or entry[-1] == "'":
        return "has a quote that is not closed"
    if entry[0] in NEVER_FIRST:
        return f"begins with {entry[0]}; a name that does stands in quotes"
    if any(unicodedata.category(letter) == "Zs" and letter != " " for letter in entry):
        return "holds a blank that is none of the space bar"
    if " " in entry and not blanks:
        return "holds blanks; write commas between names, and a name that holds blanks in quotes"
    return ""
