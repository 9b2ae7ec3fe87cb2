"""A Debian of another release than this machine's, in a folder: made by debootstrap, gone with the room that it is in.

It gets packages and wheels from where this machine has them. Needs root, and a mount namespace of its own.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.support.installation import CHECKOUT, copy_checkout

FURNISH = '. "$1/tests/room/system.sh" && furnish "$2"'
SOURCE = "/root/src"
VENV = f"{SOURCE}/.venv"
PYTHON = f"{VENV}/bin/python"
# no test reads these, and they are half of the files; nothing of it has to survive a power cut
DPKG = """\
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
"""
VARIABLES = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LOGNAME": "root",
    "USER": "root",
}
CERTIFICATES = re.compile(r"SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|\w+_proxy", re.IGNORECASE)


@dataclass(frozen=True)
class OtherDebian:
    """The system below `root`."""

    root: Path

    def run(self, *words: str, seconds: float, variables: dict[str, str] | None = None, network: bool = False) -> str:
        """What a program in there says. Raises AssertionError with all of it when the program fails."""
        argv = ["chroot", str(self.root), "env", f"--chdir={SOURCE}", *words]
        if not network:
            argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *argv]
        return said(argv, seconds, {**VARIABLES, **(variables or {})})

    def install(self, extras: str, seconds: float) -> None:
        """What its unit tests need: Debian packages, and the checkout in a virtual environment as `make` makes it."""
        copy_checkout(self.root / SOURCE.lstrip("/"))
        shutil.copyfile("/etc/resolv.conf", self.root / "etc/resolv.conf")
        settings = said(["apt-config", "dump", "Acquire"], 60)
        (self.root / "etc/apt/apt.conf.d/99machine").write_text(settings, encoding="utf-8")
        self.run("scripts/debian-packages", "unit", seconds=seconds, network=True)
        self.run("bash", f"{SOURCE}/tests/room/etc.sh", seconds=seconds, variables={"ROOM_NETWORK": "yes"})
        self.run("python3", "-m", "venv", VENV, seconds=seconds)
        variables = pip_settings()
        for place in sorted(set(places(variables.values()))):
            self._show(place)
        argv = [PYTHON, "-m", "pip", "install", "--quiet", "--no-compile", "--constraint", "constraints.txt"]
        self.run(*argv, "--editable", f".[{extras}]", seconds=seconds, variables=variables, network=True)

    def _show(self, place: Path) -> None:
        there = self.root / str(place).lstrip("/")
        if place.is_dir():
            there.mkdir(parents=True, exist_ok=True)
        elif not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            there.touch()
        said(["mount", "-o", "bind,ro", str(place), str(there)], 20)


def other_debian(root: Path, release: str, seconds: float) -> OtherDebian:
    """Make one at `root`, a folder that does not exist yet."""
    assert socket.gethostname() == "room", "what is mounted here has to go with a room: python -m tests.rooms PATH"
    settings = root / "etc/dpkg/dpkg.cfg.d"
    settings.mkdir(parents=True)
    (settings / "tests").write_text(DPKG, encoding="ascii")
    argv = ["debootstrap", "--variant=minbase", "--include=ca-certificates", release, str(root), *mirror()]
    said(argv, seconds, {**os.environ, **proxies()})
    said(["bash", "-c", FURNISH, "furnish", str(CHECKOUT), str(root)], 20)
    return OtherDebian(root)


def mirror() -> list[str]:
    """Where this machine has Debian's packages from: an address, or none, and debootstrap takes its own."""
    argv = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    for line in said(argv, 60).splitlines():
        if line.startswith("Debian main http") and line.rstrip("/").endswith("/debian"):
            return [line.split()[2].rstrip("/")]
    return []


def proxies() -> dict[str, str]:
    """The proxy that apt uses, as the variable that debootstrap's wget reads."""
    name = said(["sh", "-c", 'eval "$(apt-config shell proxy Acquire::http::Proxy)"; echo "${proxy:-}"'], 60).strip()
    return {"http_proxy": name} if name and name != "DIRECT" else {}


def pip_settings() -> dict[str, str]:
    """How this machine reaches the package index, whatever file says so: as variables for pip."""
    found = {name: value for name, value in os.environ.items() if CERTIFICATES.fullmatch(name)}
    for line in said([sys.executable, "-m", "pip", "config", "list"], 60).splitlines():
        key, _, value = line.partition("=")
        name = f"PIP_{key.rpartition('.')[2].replace('-', '_').upper()}"
        found[name] = str(ast.literal_eval(value))
    return found


def places(values: Iterable[str]) -> Iterator[Path]:
    """The files and folders of this machine that settings name, by paths and by addresses of files."""
    for word in {word for value in values for word in value.split()}:
        path = Path(unquote(urlsplit(word).path) if word.startswith("file:") else word)
        if path.is_absolute() and path.exists():
            yield path.parent if path.name == "simple" else path  # an index, whose pages name files beside it


def said(argv: list[str], seconds: float, variables: dict[str, str] | None = None) -> str:
    """What a program says. Raises AssertionError with all of it when it fails or takes longer."""
    try:
        done = subprocess.run(
            argv,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        output = error.output.decode(errors="replace") if error.output else ""
        raise AssertionError(f"{' '.join(argv)}: not ready after {seconds:g} s\n{output}") from error
    assert done.returncode == 0, f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}"
    return done.stdout
