"""The broker as other accounts can run it: this checkout, or an installation of it where they cannot read that."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"
READY = "ROOMS_INSTALLATION"  # a folder that `install_into` has filled, made before: rooms have no network
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the broker, and the folder of its WSGI entry."""

    venv: Path
    wsgi: Path

    def fault_for(self, account: str | None) -> str:
        """Why an account cannot run the broker from here; empty when it can."""
        check = f"import x2gobroker.wsgi; open({str(self.wsgi / 'x2gobroker.wsgi')!r}).close()"
        done = subprocess.run(
            [str(self.venv / "bin/python"), "-c", check],
            cwd="/",
            env=ENVIRONMENT,
            user=account,
            group=account,
            extra_groups=[] if account else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return "" if done.returncode == 0 else done.stderr or f"status {done.returncode}"


@functools.cache
def installation(account: str | None) -> Installation:
    """What `account` can run: the checkout in its virtual environment, else a copy below /tmp, gone at the end."""
    if not checkout_fault(account):
        return _checkout()
    ready = os.environ.get(READY)
    if ready:
        made = _within(Path(ready))
    else:
        folder = Path(tempfile.mkdtemp(prefix="x2gobroker-installed-"))
        atexit.register(shutil.rmtree, folder)
        made = install_into(folder)
    fault = made.fault_for(account)
    assert not fault, f"the account {account} cannot run the broker from {made.venv}:\n{fault}"
    return made


def checkout_fault(account: str | None) -> str:
    """Why an account cannot run the broker from the checkout; empty when it can."""
    try:
        return _checkout().fault_for(account)
    except PermissionError:  # not even the interpreter can be reached
        return "permission denied"


def install_into(folder: Path) -> Installation:
    """Install the checkout as an administrator would, into a new virtual environment that everybody can read.

    With setuptools and `wheel`, so that it can be installed from there once more, without a network.
    """
    folder.chmod(0o755)
    source = folder / "source"
    copy_checkout(source)
    constraints = ["--constraint", str(source / "constraints.txt")]
    run = functools.partial(subprocess.run, check=True, timeout=300, umask=0o022, env={**os.environ})
    run([SYSTEM_PYTHON, "-m", "venv", str(folder / "venv")])
    what = [*constraints, str(source), "setuptools", "wheel"]
    run([str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", *what])
    return _within(folder)


def copy_checkout(target: Path) -> None:
    """Copy the project's own files, for everybody to read: a checkout may be its owner's alone, by an umask of 077."""
    ignored = shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", "run", "build")
    shutil.copytree(CHECKOUT, target, ignore=ignored, symlinks=True)
    for place in (target, *target.rglob("*")):
        if not place.is_symlink():
            place.chmod(place.stat().st_mode | (0o755 if place.is_dir() else 0o644))


def _checkout() -> Installation:
    return Installation(Path(sys.prefix), CHECKOUT / "wsgi")


def _within(folder: Path) -> Installation:
    return Installation(folder / "venv", folder / "source" / "wsgi")
