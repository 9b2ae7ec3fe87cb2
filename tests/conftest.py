"""Which tests `make test` runs, and which `make test-x2go`.

Those of the X2Go library on real X2Go Servers take as long as all others together.
"""

from __future__ import annotations

from pathlib import Path

import pytest

# They start and end hundreds of real sessions, one after another: a machine has one session database.
LONG = frozenset(
    f"test_{name}.py"
    for name in (
        "user_sessions",
        "x2go_command",
        "x2go_listing",
        "x2go_printing",
        "x2go_registry_events",
        "x2go_session_life",
        "x2go_sessions",
        "x2go_sessions_bad_days",
        "x2go_shared_desktop",
        "x2go_sharing",
        "x2go_sound",
        "x2go_tutorial",
        "x2go_windows",
    )
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--x2go` takes the long tests, and only these."""
    parser.addoption("--x2go", action="store_true", help="run the X2Go library's long tests, only these")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A long file that is named on the command line is run all the same."""
    if not collection_path.name.startswith("test_") or collection_path.suffix != ".py":
        return None
    is_named = any(collection_path.name in argument for argument in config.args)
    return None if is_named or (collection_path.name in LONG) == bool(config.getoption("--x2go")) else True
