"""A bare Debian with a real systemd, and the packages to install there."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.systemd import Machine, booted
from tests.support.unit_site import log_in

BOOT = Path(__file__).parent / "boot.sh"
NEWER = [Path(__file__).parent / name for name in ("newer.sh", "newer.py")]
# folders that the tests are told of: in each, one by the name of a release; of minimal systems and of packages
BASES = "X2GOBROKER_TEST_BASES"
DEBS = "X2GOBROKER_TEST_DEBS"
APT_SECONDS = 600.0
PRESSURE = Path("/sys/fs/cgroup/cpu.pressure")  # of all that runs in this room
PYTHON = "/usr/lib/x2gobroker/venv/bin/python"
RELEASES = sorted(path.name for path in Path(os.environ.get(DEBS, "/nonexistent")).glob("*")) or ["bookworm", "trixie"]
_VARIABLES = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


@dataclass(frozen=True)
class Took:
    """Seconds that something took, and in how many of them all of this room waited, as others had the processors."""

    clock: float
    waited: float

    @property
    def own(self) -> float:
        """What it takes at most on a machine that does nothing else."""
        return self.clock - self.waited

    def __str__(self) -> str:
        return f"{self.clock:.1f} s" + (f" ({self.own:.1f} s of its own)" if self.waited >= 1 else "")


class Stopwatch:
    """Runs from its making."""

    def __init__(self) -> None:
        self._began, self._waited = time.monotonic(), _waited()

    def took(self) -> Took:
        """What it shows; it goes on."""
        return Took(time.monotonic() - self._began, _waited() - self._waited)


def _waited() -> float:
    """The seconds in which a process of this room could run, and none did; 0 where the kernel does not count them."""
    found = re.search(r"^full .*total=(\d+)$", PRESSURE.read_text(), re.MULTILINE) if PRESSURE.exists() else None
    return int(found[1]) / 1e6 if found else 0.0


@dataclass(frozen=True)
class Bare:
    """A booted Debian of a release; `debs` is the folder there with our packages."""

    machine: Machine
    release: str
    debs: str = "/root/debs"

    def deb(self, name: str) -> str:
        """The file of a package of ours."""
        (path,) = self.machine.run("sh", "-c", 'ls "$1/$2"_*.deb', "ls", self.debs, name).split()
        return path

    def apt(self, *words: str) -> Took:
        """Call apt-get, as nobody is there to answer questions; what it took."""
        watch = Stopwatch()
        self.machine.run("apt-get", "-qy", "--no-install-recommends", *words, seconds=APT_SECONDS)
        return watch.took()

    def make_user(self, name: str, password: str) -> None:
        """An account with a password."""
        self.machine.run("useradd", "--create-home", "--shell", "/bin/bash", name)
        self.machine.run("chpasswd", stdin=f"{name}:{password}\n")

    def is_system(self) -> str:
        """What systemd says of the whole."""
        return self.machine.call("systemctl", "is-system-running").stdout.strip()

    def failed_units(self) -> set[str]:
        """The units that failed."""
        lines = self.machine.run("systemctl", "--failed", "--no-legend", "--plain").splitlines()
        return {line.split()[0] for line in lines}

    def newer(self) -> Bare:
        """The packages of a made-up next version, whose store has another schema."""
        self.machine.run("bash", "/root/newer.sh", self.debs, "/root/newer", PYTHON, seconds=APT_SECONDS)
        return replace(self, debs="/root/newer")


def release_folders(variable: str, release: str) -> Path:
    """The folder of a release. Fails where the tests were not told of it."""
    folder = Path(os.environ.get(variable, "/nonexistent"), release)
    assert folder.is_dir(), f"{variable} has to name a folder with one for {release}: tests/packages/booted/README.md"
    return folder


@contextlib.contextmanager
def bare(folder: Path, release: str) -> Iterator[Bare]:
    """Boot one, with our packages below /root/debs."""
    debs = release_folders(DEBS, release)
    with without_packages(folder, release) as site:
        for path in (*debs.glob("*.deb"), *NEWER):
            place = f"/root/debs/{path.name}" if path.suffix == ".deb" else f"/root/{path.name}"
            site.machine.put(path, place)
        yield site


@contextlib.contextmanager
def without_packages(folder: Path, release: str, variables: Mapping[str, str] | None = None) -> Iterator[Bare]:
    """Boot one that has nothing of ours; its commands have these variables besides the usual ones."""
    base = release_folders(BASES, release)
    root = folder / "machine"
    root.mkdir()
    with booted(
        folder, ("bash", str(BOOT), str(root), str(base)), "/root", {**_VARIABLES, **(variables or {})}
    ) as machine:
        machine.run("apt-get", "-qq", "update", seconds=APT_SECONDS)
        yield Bare(machine, release)


def figure(text: str) -> None:
    """Keep what was measured: in the folder that X2GOBROKER_TEST_ARTIFACTS names, and in what the test prints."""
    print(text)
    if folder := os.environ.get("X2GOBROKER_TEST_ARTIFACTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with Path(folder, "packages.txt").open("a") as file:
            file.write(f"{text}\n")


def gets_in(name: str, password: str) -> bool:
    """Whether a user is let in at the daemon's own address."""
    with contextlib.suppress(OSError):
        status, text = log_in(name, password)
        return status == 200 and "Access granted" in text
    return False


def names_in(listing: str) -> list[str]:
    """The names of the session profiles in a plain listing."""
    return re.findall(r"^name=(.*)$", listing, re.MULTILINE)


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Each release that we make packages for."""
    return str(request.param)
