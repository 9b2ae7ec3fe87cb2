"""How the suite is shared out between two processes (`make test`): by file, but all X2Go Servers in one.

What x2goserver keeps on a machine (its session database, displays, its one cleaning daemon) exists once: tests that
run real X2Go Servers take turns in one process; everything else runs beside them in the other.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TESTS = Path(__file__).parent
MACHINE = "the machine"
ALONE = ("tests.support.x2go_server", "tests.support.x2go_farm")
_IMPORT = re.compile(r"^\s*from (tests\.[\w.]+) import", re.MULTILINE)


@functools.cache
def _needs_the_machine(path: Path) -> bool:
    """Whether this file, or one that it imports from the tests, starts an X2Go Server."""
    text = path.read_text(encoding="utf-8")
    for module in set(_IMPORT.findall(text)):
        target = TESTS.parent / (module.replace(".", "/") + ".py")
        if module in ALONE or (target.exists() and _needs_the_machine(target)):
            return True
    return False


class Turns(LoadScopeScheduling):  # type: ignore[misc]  # no types come with it
    """Hands out whole files; all that need the machine's X2Go Server to one process, one after another."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return MACHINE if _needs_the_machine(TESTS.parent / file) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Turns:
    """The scheduler of `make test`."""
    return Turns(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: not _needs_the_machine(item.path))
