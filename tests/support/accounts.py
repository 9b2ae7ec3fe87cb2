"""Real accounts of this machine, made for a test and removed by it, and PAM services of the test's own."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from passlib.hash import sha512_crypt

from tests.support.processes import wait_until

LOCK = Path("/run/x2gt-accounts.lock")
PAM_FOLDER = Path("/etc/pam.d")
COMMAND_DEADLINE = 30.0
HASH_ROUNDS = 1000  # the least that the format allows: these tests are not about hashing
_NUMBERS = itertools.count(1)


def change_accounts(*words: str, stdin: str | None = None) -> None:
    """Run a program that changes accounts or groups, which has to work; one at a time on this machine."""
    done = try_to_change_accounts(*words, stdin=stdin)
    assert done.returncode == 0, f"{words[0]} gave {done.returncode}: {done.stderr}"


def try_to_change_accounts(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """The same for one that may fail. Two of them at a time would fail, because the other one has the files locked."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False)


class Account:
    """One user of this machine; its `home` does not exist unless one was asked for."""

    def __init__(self, password: str) -> None:
        self.name = f"x2gt-{os.getpid()}-{next(_NUMBERS)}"
        self.password = password
        self.home = Path("/nonexistent", self.name)  # rooms share what is below /: what one makes is not another's

    def set_password(self, password: str) -> None:
        """Set it as an administrator does. Its hash is made here: chpasswd reads lines, and passwords may hold any."""
        self.password = password
        hashed = sha512_crypt.using(rounds=HASH_ROUNDS).hash(password)
        change_accounts("chpasswd", "--encrypted", stdin=f"{self.name}:{hashed}\n")

    def expire(self) -> None:
        """The account may no longer be used, whatever the password."""
        change_accounts("chage", "--expiredate", "0", self.name)

    def lock(self) -> None:
        """Lock the password."""
        change_accounts("usermod", "--lock", self.name)

    def demand_new_password(self) -> None:
        """The password has to be changed at the next login."""
        change_accounts("chage", "--lastday", "0", self.name)

    def shadow(self) -> str:
        """The stored hash of the password."""
        lines = Path("/etc/shadow").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1] for line in lines if line.startswith(f"{self.name}:"))


@contextlib.contextmanager
def account(password: str) -> Iterator[Account]:
    """A new account for the length of a `with` block. Needs root."""
    made = Account(password)
    change_accounts(
        "useradd", "--no-create-home", "--home-dir", str(made.home), "--shell", "/usr/sbin/nologin", made.name
    )
    try:
        made.set_password(password)
        yield made
    finally:
        change_accounts("userdel", made.name)


def _remove(name: str) -> None:
    """Remove an account, as soon as the kernel has forgotten the last process of it."""

    def removed() -> bool:
        return try_to_change_accounts("userdel", name).returncode == 0

    wait_until(removed, f"the account {name} being removed")


@contextlib.contextmanager
def account_with_home(password: str, shell: str = "/bin/bash", below: str = "/tmp") -> Iterator[Account]:
    """A new account that can log in, with a home folder somewhere `below`. What it started ends with it. Needs root."""
    made = Account(password)
    folder = Path(tempfile.mkdtemp(prefix="x2gt-home-", dir=below))
    folder.chmod(0o755)
    made.home = folder / made.name
    try:
        change_accounts("useradd", "--create-home", "--home-dir", str(made.home), "--shell", shell, made.name)
        try:
            made.set_password(password)
            yield made
        finally:
            end_processes_of(made.name)
            _clear_temporary_folder(made.name)
            _remove(made.name)
    finally:
        shutil.rmtree(folder)


def _clear_temporary_folder(user: str) -> None:
    """Remove what this user left in /tmp itself, as programs do that are killed."""
    number = pwd.getpwnam(user).pw_uid
    for left in Path("/tmp").iterdir():
        with contextlib.suppress(FileNotFoundError):  # somebody else's, gone this moment
            if left.lstat().st_uid != number:
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()


def processes_of(user: str) -> list[int]:
    """Process IDs of what runs as this user."""
    number = pwd.getpwnam(user).pw_uid
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended this moment
            if entry.name.isdigit() and entry.stat().st_uid == number and (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def end_processes_of(user: str) -> None:
    """Kill what runs as this user, until nothing does."""

    def ended() -> bool:
        for number in processes_of(user):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        return not processes_of(user)

    wait_until(ended, f"the end of all processes of {user}")


@contextlib.contextmanager
def pam_service(label: str, lines: str) -> Iterator[str]:
    """A PAM service for the length of a `with` block; its name."""
    path = PAM_FOLDER / f"x2gobroker-test-{label}-{os.getpid()}-{next(_NUMBERS)}"
    path.write_text(lines, encoding="utf-8")
    try:
        yield path.name
    finally:
        path.unlink()
