"""A real sshd of a test's own: OpenSSH with private host keys on a free loopback port, and keys given by the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.processes import Program, free_port, wait_until

SSHD = Path("/usr/sbin/sshd")
KINDS = {"ed25519": "256", "ecdsa": "256", "rsa": "2048"}
SEPARATION_FOLDER = Path("/run/sshd")


def make_key(path: Path, kind: str = "ed25519", comment: str = "test") -> str:
    """Make the key pair `path` and `path`.pub with ssh-keygen; the line of the public key."""
    argv = ["ssh-keygen", "-q", "-t", kind, "-b", KINDS[kind], "-N", "", "-C", comment, "-f", str(path)]
    subprocess.run(argv, check=True, timeout=60, stdin=subprocess.DEVNULL)
    return Path(f"{path}.pub").read_text(encoding="ascii").strip()


def children_of(pid: int) -> list[int]:
    """The processes that descend from `pid`, the nearest first."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


class Sshd:
    """One sshd. `folder` has its files; `port` is where it listens. It may be stopped and started again."""

    def __init__(self, folder: Path, listen: str, port: int, kinds: tuple[str, ...]) -> None:
        self.folder = folder
        self.listen = listen
        self.port = port
        self.kinds = kinds
        self._program: Program | None = None
        self._log_before = 0

    @property
    def pid(self) -> int:
        """Process ID of the listening sshd."""
        assert self._program is not None, "this sshd is stopped"
        return self._program.pid

    def log_text(self) -> str:
        """What this sshd logged so far."""
        log = self.folder / "sshd.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def host_key_lines(self, name: str, *kinds: str) -> str:
        """Lines of known_hosts for this sshd under `name`; only those of `kinds` where some are given."""
        shown = name if self.port == 22 else f"[{name}]:{self.port}"
        lines = []
        for kind in kinds or self.kinds:
            words = (self.folder / f"host_{kind}.pub").read_text(encoding="ascii").split()
            lines.append(f"{shown} {words[0]} {words[1]}\n")
        return "".join(lines)

    def authorize(self, user: str, lines: str) -> None:
        """The authorized_keys of a user from now on, as text."""
        (self.folder / "authorized" / user).write_text(lines.rstrip("\n") + "\n", encoding="utf-8")

    def connections(self) -> list[int]:
        """The processes that serve connections, without those that these started."""
        own = self.pid
        return [pid for pid in children_of(own) if _parent_of(pid) == own]

    def end_connections(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End whatever serves a connection, and what it runs."""
        for pid in children_of(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)

    def start(self) -> None:
        """Start it; returns once it listens."""
        argv = [str(SSHD), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        self._log_before = len(self.log_text())
        program = Program(argv, self.folder / "sshd.log")
        self._program = program
        wait_until(lambda: self._is_ready(program), f"sshd listening on port {self.port}")

    def stop(self) -> None:
        """Stop it with all its connections."""
        program, self._program = self._program, None
        if program is None:
            return
        os.kill(program.pid, signal.SIGSTOP)  # takes no connection any more
        for pid in children_of(program.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        program.stop(signal.SIGKILL)

    def _is_ready(self, program: Program) -> bool:
        if program.process.poll() is not None:
            raise AssertionError(f"sshd ended with {program.process.returncode}:\n{self.log_text()}")
        return f"port {self.port}." in self.log_text()[self._log_before :]


def _parent_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _configuration(server: Sshd, config: str) -> str:
    """sshd_config(5): the first value counts, so that the test's lines come first; Match blocks have to be last."""
    lines = config.strip().splitlines()
    first_match = next((at for at, line in enumerate(lines) if line.lower().startswith("match ")), len(lines))
    own = [
        f"Port {server.port}",
        f"ListenAddress {server.listen}",
        *(f"HostKey {server.folder}/host_{kind}" for kind in server.kinds),
        "PidFile none",
        "UsePAM yes",
        "PasswordAuthentication yes",
        "KbdInteractiveAuthentication no",
        "AuthorizedKeysFile .ssh/authorized_keys .x2go/authorized_keys",
        # a command, because a file below /tmp outside the user's home is refused (StrictModes)
        f"AuthorizedKeysCommand /usr/bin/cat {server.folder}/authorized/%u",
        "AuthorizedKeysCommandUser root",
        "PrintMotd no",
        "UseDNS no",
        "MaxStartups 200",
        "LogLevel VERBOSE",
    ]
    return "\n".join([*lines[:first_match], *own, *lines[first_match:]]) + "\n"


@contextlib.contextmanager
def sshd(
    folder: Path,
    *,
    authorized: Mapping[str, str] | None = None,
    config: str = "",
    listen: str = "127.0.0.1",
    port: int | None = None,
    kinds: tuple[str, ...] = tuple(KINDS),
) -> Iterator[Sshd]:
    """A running sshd for the length of a `with` block. Needs root.

    `folder` is a folder of its own (made if missing). `authorized` has authorized_keys text by user name; keys in the
    home folders of users count as well. `config` is more sshd_config, stronger than what stands here. `kinds` are the
    kinds of its host keys.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "authorized").mkdir()
    SEPARATION_FOLDER.mkdir(mode=0o755, exist_ok=True)
    server = Sshd(folder, listen, port or free_port(), kinds)
    for kind in kinds:
        make_key(folder / f"host_{kind}", kind)
    for user, lines in (authorized or {}).items():
        server.authorize(user, lines)
    (folder / "sshd_config").write_text(_configuration(server, config), encoding="utf-8")
    try:
        server.start()
        yield server
    finally:
        server.stop()
