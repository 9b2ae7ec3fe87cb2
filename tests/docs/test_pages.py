"""The pages hold together: links lead somewhere, Sphinx has nothing to complain of, no page speaks of elsewhere."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")
DIRECTIVE = re.compile(r"^```\{(?:image|literalinclude)\} (\S+)$", re.MULTILINE)
# spelt in parts, so that this file does not find itself
ELSEWHERE = ("/work" + "/", "/tmp" + "/w", "x2go" + "-lab", "hel" + "per_common")
AGPL_WORDS = 5535


def pages() -> Iterator[Path]:
    """All Markdown files of the project."""
    yield from sorted(ROOT.glob("*.md"))
    for folder in ("docs", "bench", "tests"):
        yield from sorted((ROOT / folder).rglob("*.md"))


def targets(path: Path) -> Iterator[str]:
    """What a page links to or includes; code blocks hold no links."""
    text = path.read_text(encoding="utf-8")
    yield from DIRECTIVE.findall(text)
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from LINK.findall(re.sub(r"`[^`]*`", "", without_code))


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_relative_links_lead_somewhere() -> None:
    broken = []
    count = 0
    for path in pages():
        for target in targets(path):
            if re.match(r"[a-z]+:", target):
                continue
            count += 1
            name, _, fragment = target.partition("#")
            file = path.parent / name if name else path
            if not file.exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
            elif fragment:
                text = file.read_text(encoding="utf-8")
                headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
                labels = re.findall(r"^\((.+)\)=$", text, re.MULTILINE)
                if fragment not in map(slug, headings) and fragment not in labels:
                    broken.append(f"{path.relative_to(ROOT)}: {target}: no such heading")
    assert count > 40
    assert not broken


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs").with_suffix("").as_posix()
        if name != "index" and not name.startswith("_build"):
            assert f"\n{name}\n" in contents, name


def test_sphinx_has_no_complaints(tmp_path: Path) -> None:
    trees, html = tmp_path / "trees", tmp_path / "html"
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-d", str(trees), "docs", str(html)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    built = {path.relative_to(html).as_posix() for path in html.rglob("*.html")}
    assert {"index.html", "tutorial.html", "reference/options.html", "architecture.html"} <= built


def test_no_text_speaks_of_places_elsewhere() -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    names = [name for name in listing.stdout.decode().split("\0") if name]
    assert len(names) > 50
    found = []
    for name in names:
        path = ROOT / name
        if not path.is_file() or path.suffix in (".png", ".pyc"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {word}" for word in ELSEWHERE if word in text]
    assert not found


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.lstrip().startswith("GNU AFFERO GENERAL PUBLIC LICENSE")
    assert "13. Remote Network Interaction" in text
    assert len(text.split()) == AGPL_WORDS
    digest = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
    assert digest == "0a7e77a9ebe3fa59cc00696f2180ffc7e0834b7445213b59eb4232c1a1b75746"


def test_every_dependency_has_its_reason() -> None:
    table = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Dependencies")[2]
    required = requires("x2gobroker") or []
    names = {
        re.split(r"[^A-Za-z0-9-]", requirement)[0].lower() for requirement in required if "extra" not in requirement
    }
    assert len(names) >= 8
    for name in names:
        assert re.search(rf"^\| {name}\b[^|]* \| \w", table, re.MULTILINE | re.IGNORECASE), name
