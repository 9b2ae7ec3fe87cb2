"""The reference page of the X2Go library's public API: what each method does, and which test uses it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from generators.common import cell, notice

PAGE = """\
# The X2Go library

`x2gobroker.x2go` controls sessions on X2Go Servers: `from x2gobroker.x2go import X2GoSession`. It has the public API of
Python X2Go. This page lists what Python X2Go's documentation lists for three classes. The library has all of it, under
the same names and with the same parameters and defaults; a test compares them. Python X2Go's backends are names here,
and each kind has only one. Threads replace gevent: a `progress_event` is an `Event` of `threading`.

HOOK methods are called in threads of the library, not in the one that your program waits in. A program that uses gevent
has to call `gevent.monkey.patch_all()` before it imports anything else. Otherwise its greenlets stand still while the
library waits.

The last column names a test, below `tests/`, that uses the method; tests in `integration/` do so with a real X2Go
Server.
"""


def first_sentence(thing: object) -> str:
    """The first sentence of a docstring, on one line."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    sentence, mark, _ = text.partition(". ")
    return sentence + "." if mark else text


def signature(member: Mapping[str, Any]) -> str:
    """A method as its table has it."""
    if member["kind"] == "property":
        return f"`{member['name']}`"
    names = ["**" + each["name"] if each.get("kind") == "any" else each["name"] for each in member["parameters"]]
    return f"`{member['name']}({', '.join(names)})`"


def x2go_api_page() -> str:
    """`reference/x2go-api.md`."""
    from tests.support.x2go_api import exercised, our_class, table

    lines = [notice("tests/data/x2go_api.json and the classes of x2gobroker/x2go"), PAGE]
    for name, entry in table().items():
        ours = our_class(name, entry)
        lines += [f"## {name}", "", f"In `{entry['module']}`. {first_sentence(ours)}", ""]
        lines += ["| Method or property | What it does | Test |", "| --- | --- | --- |"]
        for member in entry["members"]:
            about = cell(first_sentence(inspect.getattr_static(ours, member["name"])))
            lines.append(f"| {signature(member)} | {about} | `{exercised(name, member)}` |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
