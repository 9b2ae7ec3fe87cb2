"""Files of session types and scripts for tests, and the page of CEI Nexus that both are modelled on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from x2gobroker.remote.types import SessionType, parse_types

# the configuration file and the script of that page; it has lost some lines of each, and those were put back
NEXUS = Path(__file__).parents[1] / "data" / "remote"


def write_types(folder: Path, found: dict[str, Any], **scripts: str) -> Path:
    """A file of session types in a folder, and scripts beside it: name to text."""
    path = folder / "types.json"
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    for name, text in scripts.items():
        write_script(folder, name, text)
    return path


def write_script(folder: Path, name: str, text: str) -> Path:
    """A script as an administrator would put it there: nobody else can write to it."""
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return path


def one_type(folder: Path, script: str, count: int = 1, name: str = "Test", **options: Any) -> SessionType:
    """One session type with a script of that folder, or a shipped one."""
    found = parse_types(json.dumps({name: {"script": script, "count": count, "options": options}}), folder / "t.json")
    assert not found.problems
    return found.types[name]


def left(state: Path) -> list[Path]:
    """What is left of desktops in the folder of their state, but for the log of the last one of each place."""
    return [path for path in state.iterdir() if path.suffix != ".last-log"]
