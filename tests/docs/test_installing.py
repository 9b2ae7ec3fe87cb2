"""What sites install is what was tested: pinned versions in every how-to, and no lower bound below what we import."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INSTALLS = re.compile(r"pip install\b(?P<words>[^\n`]*)")
# what came late to a package that we have it from: a module or an attribute
CAME_WITH = {
    ("cryptography", "43"): "cryptography.hazmat.decrepit",
    ("sqlalchemy", "2.0.4"): "table.autoincrement_column",
    ("websockets", "13"): "websockets.asyncio",
}


def requirements() -> dict[str, str]:
    """Names and bounds of install_requires and the extras in setup.py."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    found = (re.fullmatch(r"([a-z][a-z0-9-]*)(?:\[\w+\])?(>=[\d.]+(?:,<[\d.]+)?)", text) for text in texts)
    return {match[1]: match[2] for match in found if match}


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in lines)}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_page_installs_what_was_tested(page: Path) -> None:
    for found in INSTALLS.finditer(page.read_text(encoding="utf-8")):
        words = found["words"].split()
        if "--no-deps" not in words:
            assert "-c constraints.txt" in found["words"], found[0]


def test_what_was_tested_is_within_the_bounds() -> None:
    versions = pinned()
    for name, bounds in requirements().items():
        if name in ("setuptools", "wheel"):  # pip does not list the tools that it installs with
            continue
        least = bounds.removeprefix(">=").partition(",")[0]
        assert name in versions, f"{name} is not pinned in constraints.txt"
        assert numbers(versions[name]) >= numbers(least), name


@pytest.mark.parametrize(("package", "least"), CAME_WITH)
def test_no_lower_bound_is_below_what_is_used(package: str, least: str) -> None:
    name = CAME_WITH[package, least]
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "x2gobroker").rglob("*.py"))
    assert name in sources, "nobody uses it any more: take it off the list"
    assert numbers(requirements()[package].removeprefix(">=").partition(",")[0]) >= numbers(least)


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
