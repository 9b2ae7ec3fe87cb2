"""The Debian packages hold what the project has: its libraries as they are pinned, its programs, units and version."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points, requires, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = ROOT / "debian"
LOCKS = sorted((DEBIAN / "wheels").glob("*.lock"))
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
HASHED = re.compile(r"^\S+==\S+(?: \\\n    --hash=sha256:[0-9a-f]{64})+$", re.MULTILINE)
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)")
EXTRAS = ('extra == "postgresql"', 'extra == "x2go"')  # those of debian/rules
FORMER = (  # Debian's binary packages of 0.0.4.3
    "python-x2gobroker-doc python3-x2gobroker x2gobroker x2gobroker-agent x2gobroker-authservice x2gobroker-common "
    "x2gobroker-daemon x2gobroker-loadchecker x2gobroker-ssh x2gobroker-wsgi"
).split()

# imports every module of the package, and prints the distributions that this has brought in;
# an editable installation would lend its modules
IMPORT_ALL = """
import importlib, importlib.metadata, pkgutil, sys
sys.meta_path = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]
before = set(sys.modules)
import x2gobroker
for module in pkgutil.walk_packages(x2gobroker.__path__, "x2gobroker."):
    importlib.import_module(module.name)
owners = importlib.metadata.packages_distributions()
print(*{owner for name in set(sys.modules) - before for owner in owners.get(name.partition(".")[0], ())})
"""


def normal(name: str) -> str:
    """The name of a distribution in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    """Distributions and their versions."""
    return {normal(name): number for name, number in PIN.findall(path.read_text(encoding="utf-8"))}


def test_there_is_a_lock_for_each_release() -> None:
    assert [path.stem for path in LOCKS] == ["bookworm", "trixie"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_wheels_are_those_of_constraints(lock: Path) -> None:
    constraints = pins(ROOT / "constraints.txt")
    assert {name: constraints.get(name) for name in pins(lock)} == pins(lock)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_wheel_has_a_hash(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert len(HASHED.findall(text)) == len(PIN.findall(text)) > 20


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_what_the_project_requires_is_in_the_lock(lock: Path) -> None:
    needed = [text for text in requires("x2gobroker") or () if "extra ==" not in text or text.endswith(EXTRAS)]
    names = {normal(match.group(1)) for text in needed if (match := REQUIREMENT.match(text))}
    assert names - pins(lock).keys() == set()


def test_the_version_is_that_of_the_project() -> None:
    changelog = (DEBIAN / "changelog").read_text(encoding="utf-8")
    found = re.match(r"x2gobroker \(([^)]+)\)", changelog)
    assert found
    assert found.group(1).replace("~", "") == version("x2gobroker")


def test_every_program_is_linked() -> None:
    rules = (DEBIAN / "rules").read_text(encoding="utf-8")
    linked = set(re.search(r"for name in (x2gobroker x2.*?);", rules).group(1).split())  # type: ignore[union-attr]
    linked |= {f"x2gobroker-{name}" for name in re.search(r"for name in (auth.*?);", rules).group(1).split()}  # type: ignore[union-attr]
    programs = {point.name for point in entry_points(group="console_scripts") if point.value.startswith("x2gobroker.")}
    assert programs - linked == {"x2gobroker-agent"}, "the agent is a package of its own"


def test_every_package_of_debian_has_a_successor() -> None:
    control = (DEBIAN / "control").read_text(encoding="utf-8")
    ours = sorted(re.findall(r"^Package: (\S+)$", control, re.MULTILINE))
    assert ours == sorted([*FORMER, "x2gobroker-x2go"])


def test_every_unit_is_switched_off_by_a_purge() -> None:
    postrm = (DEBIAN / "pieces/x2gobroker.postrm").read_text(encoding="utf-8")
    units = re.search(r"for unit in (auth.*?);", postrm)
    assert units
    assert {f"x2gobroker-{name}" for name in units.group(1).split()} == {
        path.name for path in (ROOT / "etc/systemd").iterdir()
    }


def test_the_library_alone_has_all_that_it_imports(tmp_path: Path) -> None:
    rules = (DEBIAN / "rules").read_text(encoding="utf-8")
    rooms, libraries = (re.search(rf"^{name} := (.*)$", rules, re.MULTILINE) for name in ("X_ROOMS", "X_LIBRARIES"))
    assert rooms
    assert libraries
    for room in rooms.group(1).split():
        for path in (ROOT / "x2gobroker").glob(room):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    imported = {normal(name) for name in done.stdout.split()} & pins(LOCKS[0]).keys()  # libraries take more where it is
    assert "paramiko" in imported
    assert imported <= set(libraries.group(1).split()) <= pins(LOCKS[0]).keys()


@pytest.mark.parametrize(
    "path",
    [
        *sorted(path for name in ("postinst", "postrm", "preinst", "prerm") for path in DEBIAN.rglob(f"*.{name}")),
        *sorted((ROOT / "tests/packages").glob("*.sh")),
        ROOT / "scripts/deb",
    ],
    ids=lambda path: path.name,
)
def test_scripts_are_right(path: Path) -> None:
    shell = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#!").split()
    done = subprocess.run([*shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
