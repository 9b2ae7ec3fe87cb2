"""The Debian packages hold what the project has: its libraries as they are pinned, its programs, units and version."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points, requires, version
from pathlib import Path

import pytest

from x2gobroker.migration import plan, survey

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


def piece(name: str) -> str:
    """One of the maintainer scripts, as it is in the source."""
    return (DEBIAN / "pieces" / name).read_text(encoding="utf-8")


def words_of(name: str, script: str) -> list[str]:
    """The words of a variable of a script, which may go over several lines."""
    found = re.search(rf'^{name}="([^"]*)"', script, re.MULTILINE)
    assert found, name
    return found.group(1).split()


def test_the_package_guards_what_a_migration_guards() -> None:
    """Old packages that are purged later delete account and state, unless these folders are there."""
    rules = (DEBIAN / "rules").read_text(encoding="utf-8")
    names = re.search(r"for name in ([a-z ]+); do install -D \S+ \S+ debian/pieces/README\.state (\S+);", rules)
    assert names
    place = names.group(2).replace("$(D)", "")
    assert {place.replace("$$name", name) for name in names.group(1).split()} == set(plan.GUARDS)
    assert len(plan.GUARDS) == 2
    assert piece("README.state").split() == plan.README.split()


def test_the_guards_stay_when_the_package_goes() -> None:
    postrm = piece("x2gobroker.postrm")
    function = re.search(r"^guard\(\) \{\n(.*?)^\}", postrm, re.MULTILINE | re.DOTALL)
    assert function
    made = re.search(r"install -d (.*)", function.group(1))
    assert made
    assert set(made.group(1).split()) == {path.rpartition("/")[0] for path in plan.GUARDS}
    asked = re.search(r"for name in ([a-z ]+); do", function.group(1))
    assert asked
    with_scripts = {f"x2gobroker-{name}" for name in asked.group(1).split()}
    assert with_scripts <= set(FORMER)
    assert set(FORMER) - with_scripts == {
        *("python-x2gobroker-doc", "python3-x2gobroker"),
        *("x2gobroker", "x2gobroker-common"),  # neither has a script that deletes anything
    }
    for when in ("remove", "purge"):
        assert re.search(rf"^{when}\)\n\tguard$", postrm, re.MULTILINE), when


def test_the_package_takes_over_what_a_migration_takes_over() -> None:
    postinst = piece("x2gobroker.postinst")
    # the rule for sudo is of the package x2gobroker-ssh
    assert {*words_of("TAKEN", postinst), plan.SSH_RULE} == set(plan.TAKEN)
    assert plan.SSH_RULE in piece("x2gobroker-ssh.postinst")
    assert words_of("ROTATED", postinst) == list(survey.ROTATED)
    for text in (postinst, piece("x2gobroker.postrm")):
        assert f".{plan.DIVERTED_AS}" in text


def test_no_two_files_define_processes_of_one_name_that_may_be_enabled_together() -> None:
    """Apache would not start. Those of Debian's own file are called x2gobroker, as are those of what replaces it."""
    names = {
        path.name: re.findall(r"^\s*WSGIDaemonProcess (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        for path in (ROOT / "apache").iterdir()
    }
    every = [name for found in names.values() for name in found]
    assert len(every) == len(set(every)) == 4
    assert names["x2gobroker.conf"] == ["x2gobroker"]
    for name, defined in names.items():
        text = (ROOT / "apache" / name).read_text(encoding="utf-8")
        used = {*re.findall(r"process-group=([\w-]+)", text), *re.findall(r" (x2gobroker-[ab])$", text, re.MULTILINE)}
        assert used == set(defined), name


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
