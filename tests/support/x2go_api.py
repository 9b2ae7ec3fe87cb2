"""The public API of Python X2Go as a table, what this project has of it, and which tests use it.

The table, tests/data/x2go_api.json, holds facts of Python X2Go's API documents: the names of classes, methods and
properties, their parameters and defaults. A default below the user's home folder is told by its last part.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests/data/x2go_api.json"

# Where tests of a class are looked for, in this order: in the real world first.
TESTS_OF = {
    "X2GoSession": ("integration/test_x2go_session_*.py", "unit/test_x2go_session.py", "unit/test_x2go_session_*.py"),
    "X2GoSessionRegistry": ("integration/test_x2go_registry_*.py", "unit/test_x2go_registry.py"),
    "X2GoControlSession": ("integration/test_x2go_*.py", "unit/test_x2go_control*.py"),
}
OTHERS = ("test_x2go_session_", "test_x2go_registry", "test_x2go_api")


@cache
def table() -> dict[str, Any]:
    """Class by class: `module` (of ours), `parameters` of the constructor, `members`."""
    found: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return found


def our_class(name: str, entry: Mapping[str, Any]) -> type:
    """Our class of this name."""
    found: type = getattr(importlib.import_module(entry["module"]), name)
    return found


def faults(function: Any, wanted: list[dict[str, Any]], bound: bool = True) -> Iterator[str]:
    """In what a function lacks something of these parameters: a name, a place, a default."""
    ours = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    if any(parameter.get("kind") == "any" for parameter in wanted) and not any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in ours
    ):
        yield "takes no further parameters by name"
    places = [parameter.name for parameter in ours if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    for place, parameter in enumerate(each for each in wanted if each.get("kind") != "any"):
        name = parameter["name"]
        if name not in places:
            yield f"has no parameter {name}"
        elif places.index(name) != place:
            yield f"has parameter {name} at place {places.index(name) + 1}, not {place + 1}"
        else:
            default = ours[[each.name for each in ours].index(name)].default
            yield from _default_faults(name, default, parameter)


def _default_faults(name: str, default: Any, parameter: Mapping[str, Any]) -> Iterator[str]:
    if "default_below_home" in parameter:
        if default != str(Path("~").expanduser() / parameter["default_below_home"]):
            yield f"has parameter {name} with another default: {default!r}"
    elif "default" in parameter:
        wanted = parameter["default"]
        same = list(default) == wanted if isinstance(wanted, list) else default == wanted
        if not same or isinstance(default, bool) != isinstance(wanted, bool):
            yield f"has parameter {name} with default {default!r}, not {wanted!r}"
    elif default is not inspect.Parameter.empty:
        return  # one that may be left out is more, not less


def members() -> Iterator[tuple[str, dict[str, Any]]]:
    """Class name and entry of every method and property."""
    for name, entry in table().items():
        for member in entry["members"]:
            yield name, member


@cache
def used_names(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The names of methods that a test file calls, and of attributes that it reads, on any object."""
    calls, reads = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            calls.add(node.func.attr)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            reads.add(node.attr)
    return frozenset(calls), frozenset(reads)


def exercised(class_name: str, member: Mapping[str, Any]) -> str:
    """The first test file that uses a method or property, below tests/; empty when none does."""
    for pattern in TESTS_OF[class_name]:
        for path in sorted((ROOT / "tests").glob(pattern)):
            if class_name == "X2GoControlSession" and path.name.startswith(OTHERS):
                continue
            calls, reads = used_names(path)
            if member["name"] in (calls if member["kind"] == "method" else reads):
                return path.relative_to(ROOT / "tests").as_posix()
    return ""
