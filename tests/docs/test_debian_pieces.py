"""The pieces of the Debian packages, and the tests of packages, as far as they can be tried without a package."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.packages.booted.newer import MADE_UP, make_newer
from tests.rooms import WITH_NETWORK
from tests.support.unit_site import TAKE_PLACE
from x2gobroker import __version__
from x2gobroker.remote.keeper import write_state

ROOT = Path(__file__).resolve().parents[2]
PIECES = ROOT / "debian/pieces"
PACKAGES = ROOT / "tests/packages"
RULES = (ROOT / "debian/rules").read_text(encoding="utf-8")
POSTRM = (PIECES / "x2gobroker.postrm").read_text(encoding="utf-8")
UNITS = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "etc/systemd").glob("*.service"))
VENV = "/usr/lib/x2gobroker/venv"
PYTHON = "python{}.{}".format(*sys.version_info[:2])
LIBRARIES = Path(sys.prefix, "lib", PYTHON, "site-packages")
FAST = "5"  # turns instead of 150
# runs a program without what an editable installation would lend it
WITHOUT_CHECKOUT = """
import runpy, sys
sys.meta_path = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
COMPLETE = """
. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _x2gobroker "$1"; printf "%s\\n" "${COMPREPLY[@]}"
"""
LOAD = """
import inspect, json, runpy, sys
application = runpy.run_path(sys.argv[1])["application"]
import jinja2
print(json.dumps([inspect.getfile(application), jinja2.__file__, sys.path]))
"""
OPEN_STORE = """
import sys
from sqlalchemy.engine import URL
from x2gobroker.store import Store
from x2gobroker.store.schema import newest
store = Store(URL.create("sqlite", database=sys.argv[1]))
with store.begin():
    pass
print(store.standing().number, newest())
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"


def call(*argv: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program, with these variables besides its own."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)


def said(*argv: str | Path, **variables: str) -> str:
    """What a program says that must succeed."""
    done = call(*argv, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the package x2gobroker-x2go has of the project."""
    folder = tmp_path_factory.mktemp("alone")
    rooms = re.search(r"^X_ROOMS := (.*)$", RULES, re.MULTILINE)
    assert rooms
    for room in rooms[1].split():
        path, target = ROOT / "x2gobroker" / room, folder / "x2gobroker" / room
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
    return folder


def test_the_command_of_the_library_alone_runs(alone: Path) -> None:
    argv = (sys.executable, "-P", "-c", WITHOUT_CHECKOUT, PIECES / "x2gobroker-alone")
    assert said(*argv, "--version", PYTHONPATH=str(alone)) == f"x2gobroker {__version__}\n"
    assert "--accept-new-host-key" in said(*argv, "x2go", "list", "--help", PYTHONPATH=str(alone))
    other = call(*argv, "passwd", PYTHONPATH=str(alone))
    assert (other.returncode, "in the package x2gobroker" in other.stderr) == (2, True)


def test_the_library_alone_has_completion_of_its_own(tmp_path: Path) -> None:
    said(sys.executable, ROOT / "docs/completion.py", "--alone", tmp_path)
    links = (PIECES / "links.sh").read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == set(re.findall(r"\$SHARE/([\w.]+)$", links, re.MULTILINE))
    bash = ("bash", "-c", COMPLETE, "bash", tmp_path / "x2gobroker", "x2gobroker")
    assert said(*bash, "x2go", "sus").split() == ["suspend"]
    assert said(*bash, "pass").split() == []


def test_debians_apache_configuration_loads_the_broker(tmp_path: Path) -> None:
    """It names no virtual environment: what it loads has to find ours, and to prefer its libraries to Debian's."""
    piece = (PIECES / "x2gobroker-wsgi").read_text(encoding="utf-8")
    assert VENV in piece
    (tmp_path / "x2gobroker-wsgi").write_text(piece.replace(VENV, str(tmp_path)), encoding="utf-8")
    packages = tmp_path / "lib" / PYTHON / "site-packages"
    packages.mkdir(parents=True)
    (packages / "x2gobroker").symlink_to(ROOT / "x2gobroker")
    (packages / "libraries.pth").write_text(f"{LIBRARIES}\n", encoding="utf-8")
    apaches = Path(sys.base_prefix, "bin", PYTHON)  # it has no environment
    broker, library, path = json.loads(said(apaches, "-I", "-B", "-c", LOAD, tmp_path / "x2gobroker-wsgi"))
    assert broker == f"{packages}/x2gobroker/wsgi.py"
    assert Path(library).is_relative_to(LIBRARIES)
    assert path[:2] == [str(packages), str(LIBRARIES)]


@pytest.mark.parametrize(
    "path",
    sorted({*(ROOT / "tests").rglob("*.sh"), *PIECES.glob("*.sh"), ROOT / "scripts/debian-packages"}),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_shell_scripts_are_right(path: Path) -> None:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    usual = "sh" if path.is_relative_to(ROOT / "debian") else "bash"  # of what others read
    assert said(*(first[2:].split() if first.startswith("#!") else [usual]), "-n", path) == ""


def test_all_tests_of_packages_are_called() -> None:
    checks = (PACKAGES / "check.sh").read_text(encoding="utf-8")
    roots = (PACKAGES / "in_roots.sh").read_text(encoding="utf-8")
    called = " ".join(re.findall(r'scenarios="(.*)"$', roots, re.MULTILINE)).split()
    assert {name for name in called if name != "$scenarios"} == set(
        re.findall(r"^scenario_(\w+)", checks, re.MULTILINE)
    )
    files = {path.name for path in (PACKAGES / "booted").glob("test_*.py")}
    everything = (PACKAGES / "all.sh").read_text(encoding="utf-8")
    names = " ".join(re.findall(r"\bpart \S+ booted (.*)$", everything, re.MULTILINE)).split()
    assert {f"test_booted_{name}.py" for name in names} == files
    assert files <= WITH_NETWORK


def test_a_next_version_has_the_next_schema(tmp_path: Path) -> None:
    newer, store = tmp_path / "newer", tmp_path / "folder/store.sqlite"
    leave = shutil.ignore_patterns("static", "samples", "templates", "__pycache__")
    shutil.copytree(ROOT / "x2gobroker", newer / "x2gobroker", ignore=leave)
    argv = (sys.executable, "-P", "-c", OPEN_STORE, store)
    now, known = said(*argv, PYTHONPATH=str(ROOT)).split()
    assert now == known
    number = make_newer(newer)
    assert number == int(now) + 1
    assert said(*argv, PYTHONPATH=str(newer)).split() == [str(number)] * 2
    with closing(sqlite3.connect(store)) as found:
        columns = {row[1] for row in found.execute("PRAGMA table_info(authids)")}
        tables = {row[0] for row in found.execute("SELECT name FROM sqlite_master")}
    assert MADE_UP in columns
    assert MADE_UP in tables
    assert said(*argv, PYTHONPATH=str(ROOT)).split() == [str(number), known], "the version of before goes on"


def test_places_are_taken_for_booted_tests(tmp_path: Path) -> None:
    folder = "/var/lib/x2gobroker/cookies"
    assert folder in TAKE_PLACE
    argv = (sys.executable, "-c", TAKE_PLACE.replace(folder, str(tmp_path / "store")))
    tokens = [said(*argv, name, "Shell", "1", "2").strip() for name in ("u0", "u1", "u0")]
    assert len({*tokens, ""}) == 4
    assert call(*argv, "u2", "Shell", "1", "2").returncode != 0, "there were two places"
    assert said(*argv, "u2", "Shell", "1", "3").strip()


def removed(when: str) -> set[str]:
    """The folders that x2gobroker.postrm deletes when it is called with this word."""
    branch = re.search(rf"^{when}\)\n(.*?)^\t;;$", POSTRM, re.MULTILINE | re.DOTALL)
    assert branch
    names = dict(re.findall(r"^([A-Z]+)=(/\S+)", POSTRM, re.MULTILINE))
    words = " ".join(re.findall(r"^\trm -rf ([^#\n]*)", branch[1], re.MULTILINE)).split()
    return {names.get(word.removeprefix("$"), word) for word in words}


def test_a_purge_leaves_nothing_in_run() -> None:
    kept = {f"/run/{name}" for name in re.findall(r"^RuntimeDirectory=(\S+)$", UNITS, re.MULTILINE)}
    assert kept == {"/run/x2gobroker-tickets", "/run/x2gobroker-remote"}
    folders = re.findall(r"^d +(/run/\S+)", (ROOT / "etc/tmpfiles.d/x2gobroker.conf").read_text(), re.MULTILINE)
    assert {*kept, *folders} <= removed("purge")
    assert "/run/x2gobroker-tickets" in removed("remove")
    assert "/run/x2gobroker-remote" not in removed("remove"), "desktops go on, and the next installation finds them"


def end_desktops(folder: Path) -> str:
    """What x2gobroker.postrm does at a purge with the desktops of a folder."""
    functions = re.findall(r"^(?:lives|end_desktops)\(\) \{\n.*?^\}$", POSTRM, re.MULTILINE | re.DOTALL)
    assert len(functions) == 2
    text = "\n".join(functions)
    assert " 150 " in text
    return said("sh", "-euc", text.replace(" 150 ", f" {FAST} ") + '\nend_desktops "$1"', "sh", folder)


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    """Processes that end with the test."""
    with ExitStack() as stack:
        yield stack


def started(processes: ExitStack, *argv: str) -> subprocess.Popen[bytes]:
    """A process that stands for one that keeps a desktop, when it has said something."""
    process = processes.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE))
    processes.callback(process.kill)
    assert process.stdout
    assert process.stdout.readline()
    return process


def noted(folder: Path, process: subprocess.Popen[bytes], began: int = 0) -> None:
    """Have a state file of it, as the real ones write it; one of another process if that had `began` some time else."""
    folder.mkdir(parents=True)
    stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8")
    fields = stat.split()
    fields[21] = str(int(fields[21]) + began)
    write_state({"folder": str(folder), "socket": f"{folder}/vnc"}, " ".join(fields), None)


def test_a_purge_ends_desktops(tmp_path: Path, processes: ExitStack) -> None:
    usual = started(processes, "sh", "-c", "echo; exec sleep 600")
    stubborn = started(processes, sys.executable, "-c", STUBBORN)
    foreign = started(processes, "sh", "-c", "echo; exec sleep 600")
    noted(tmp_path / "a.1", usual)
    noted(tmp_path / "b.1", stubborn)
    noted(tmp_path / "c.1", foreign, began=1)  # its number was that of a desktop's once
    assert end_desktops(tmp_path) == ""
    assert (usual.wait(30), stubborn.wait(30)) == (-signal.SIGTERM, -signal.SIGKILL)
    assert foreign.poll() is None


def test_a_purge_ends_nothing_where_no_desktop_is_known(tmp_path: Path) -> None:
    assert end_desktops(tmp_path) == end_desktops(tmp_path / "none") == ""


def test_what_the_rules_delete_is_there() -> None:
    lines = [line for line in RULES.splitlines() if line.startswith("\trm -rf ")]
    found = re.findall(r"\$\(D\)/\$\(SITE\)/(\S+)", " ".join(lines))
    assert found
    assert [name for name in found if not (LIBRARIES / name).exists()] == []


def test_the_manual_is_whole_and_has_nothing_in_vain() -> None:
    docs = ROOT / "docs"
    copied = re.search(r"^\tcp -r docs/\*\.md (docs/.*) \$\(D\)/usr/share/doc/x2gobroker/docs/$", RULES, re.MULTILINE)
    assert copied
    assert "\tcp README.md $(D)/usr/share/doc/x2gobroker/\n" in RULES, "its links go to docs/"
    folders = {path.parent.relative_to(ROOT).as_posix() for path in docs.glob("*/*.md")} - {"docs/_build"}
    assert set(copied[1].split()) == {*folders, "docs/images"}
    pages = [
        ROOT / "README.md",
        *docs.glob("*.md"),
        *(path for name in folders for path in (ROOT / name).rglob("*.md")),
    ]
    texts = "".join(path.read_text(encoding="utf-8") for path in pages)
    assert [path.name for path in (docs / "images").iterdir() if f"images/{path.name}" not in texts] == []


def test_sizes_stand_in_one_place() -> None:
    table = (
        (ROOT / "docs/reference/packages.md").read_text(encoding="utf-8").partition("## Sizes")[2].partition("\n## ")[0]
    )
    control = (ROOT / "debian/control").read_text(encoding="utf-8")
    sections = [section for section in control.split("\n\n") if section.startswith("Package: ")]
    real = {section.split()[1] for section in sections if "oldlibs" not in section}
    assert set(re.findall(r"^\| `(\S+)` \| \d", table, re.MULTILINE)) == real
    assert re.findall(r"\d [kM]B\b", (ROOT / "docs/how-to/install.md").read_text(encoding="utf-8")) == []
