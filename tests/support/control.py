"""Control sessions over private sshds: accounts, keys that are locked, and who is asked about host keys."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.processes import running, wait_until
from tests.support.sshd import Sshd, make_key
from x2gobroker.x2go.control import X2GoControlSession

PASSPHRASE = "Passphrase of-a-key 1"


def lock_key(path: Path, passphrase: str = PASSPHRASE) -> Path:
    """Lock a private key with a passphrase."""
    argv = ["ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-a", "4", "-f", str(path)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    return path


def new_key(folder: Path, name: str, *, locked: bool = False, kind: str = "ed25519") -> tuple[Path, str]:
    """A key pair: the path of the private key, and the line of the public one."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    line = make_key(path, kind)
    return (lock_key(path) if locked else path), line


def _listens(path: Path) -> bool:
    """Whether somebody takes connections at this Unix socket; it is there a moment before."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as attempt:
        attempt.connect(str(path))
        return True
    return False


@contextlib.contextmanager
def ssh_agent(folder: Path, monkeypatch: pytest.MonkeyPatch, *keys: Path) -> Iterator[None]:
    """A real ssh-agent with these keys, which this process sees, for the length of a `with` block."""
    socket_path = folder / "agent.socket"
    with running(["ssh-agent", "-D", "-a", str(socket_path)], folder / "agent.log"), monkeypatch.context() as patch:
        wait_until(lambda: _listens(socket_path), "ssh-agent")
        patch.setenv("SSH_AUTH_SOCK", str(socket_path))
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True, timeout=20, env=os.environ)
        yield


class Asked:
    """A session that answers for its user when a host key is not known; notes what it was asked."""

    def __init__(self, answer: bool, profile: str = "20261121-profile") -> None:
        self.answer = answer
        self.profile = profile
        self.questions: list[tuple[str, int, str, str]] = []

    def get_profile_id(self) -> str:
        """The profile of this session."""
        return self.profile

    def HOOK_check_host_dialog(
        self, host: str, port: int, fingerprint: str = "no fingerprint", fingerprint_type: str = "UNKNOWN"
    ) -> bool:
        """Called in the middle of `connect`."""
        self.questions.append((host, port, fingerprint, fingerprint_type))
        return self.answer


def control(known_hosts: Path | None, folder: Path, **more: object) -> X2GoControlSession:
    """A control session whose folders are below `folder`."""
    options: dict[str, object] = {
        "known_hosts": None if known_hosts is None else str(known_hosts),
        "client_rootdir": str(folder / "x2goclient"),
        "sessions_rootdir": str(folder / "x2go"),
        "ssh_rootdir": str(folder / "ssh"),
        **more,
    }
    return X2GoControlSession(**options)  # type: ignore[arg-type]


def known(folder: Path, *servers: Sshd, name: str = "127.0.0.1") -> Path:
    """A known_hosts file with these servers."""
    path = folder / "known_hosts"
    path.write_text("".join(server.host_key_lines(name) for server in servers), encoding="ascii")
    return path


def logins(server: Sshd, user: Account, since: int = 0) -> list[str]:
    """How somebody logged in, and what was refused, in order: `publickey`, `password` and so on."""
    found = []
    for line in server.log_text()[since:].splitlines():
        words = line.split()
        if words[:1] in (["Accepted"], ["Failed"]) and user.name in words:
            found.append(f"{words[0].lower()} {words[1]}")
    return found
