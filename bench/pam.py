"""A real PAM user for the length of a measurement, and the two services that check its password."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.world import PROGRAMS, THREADS, Ours, Reference, Setup, children, log_configuration
from tests.support.processes import Program, wait_until

PAM_FOLDER = Path("/etc/pam.d")
SERVICE = "x2gobroker"
DEBIAN_SERVICE = Path("/usr/sbin/x2gobroker-authservice")
DEADLINE = 120  # seconds; the reference answers one after the other
_LIKE_DEBIAN = "@include common-auth\n@include common-account\n@include common-password\n"
_PERMIT = "auth required pam_permit.so\naccount required pam_permit.so\n"


@dataclass(frozen=True)
class PamUser:
    """A user of this machine, and the PAM services that are asked about it."""

    name: str
    password: str
    permit: str  # a PAM service that lets everybody in and costs nothing

    def wrong(self, number: int) -> str:
        """A wrong password."""
        return f"{self.password[:-4]}-{number}"


@contextlib.contextmanager
def pam_user() -> Iterator[PamUser]:
    """Make a user and what is missing in PAM's folder; all of it goes again, also when the benchmark is ended."""
    mark = secrets.token_hex(4)
    user = PamUser(f"bench-{mark}", secrets.token_urlsafe(12), f"bench-permit-{mark}")
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with _pam_service(user.permit, _PERMIT), _pam_service(SERVICE, _LIKE_DEBIAN):
            _run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user.name)
            try:
                _run("chpasswd", text=f"{user.name}:{user.password}\n")
                yield user
            finally:
                _run("userdel", user.name)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(*argv: str, text: str = "") -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stderr}")


@contextlib.contextmanager
def _pam_service(name: str, text: str) -> Iterator[None]:
    """A PAM service, unless the machine has one of that name."""
    path = PAM_FOLDER / name
    if path.exists():
        yield
        return
    path.write_text(text)
    try:
        yield
    finally:
        path.unlink()


def ask_in_lines(path: Path, user: str, password: str, service: str = SERVICE) -> bool:
    """One login in the form of the reference. Waits its turn in the kernel when the queue of connections is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        deadline = struct.pack("ll", DEADLINE, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, deadline)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, deadline)
        connection.connect(str(path))
        connection.sendall(f"{user}\r{password}\r{service}\n".encode())
        answer = connection.recv(64)
    if answer not in (b"ok\n", b"fail\n"):
        raise RuntimeError(f"{path} answers {answer!r}")
    return answer == b"ok\n"


class OurService:
    """Our x2gobroker-authservice on a socket of its own; a context manager that leaves nothing behind."""

    name = "ours"

    def __init__(self, user: PamUser) -> None:
        self.user = user
        self.folder = Path(tempfile.mkdtemp(prefix="bench-auth-"))
        (self.folder / "run").mkdir()
        self.socket = self.folder / "run" / "socket"  # the reference gives the folder another mode
        self.program: Program | None = None

    def command(self) -> list[str]:
        """The command line."""
        return [str(PROGRAMS / "x2gobroker-authservice"), "-s", str(self.socket), "-g", "root"]

    def environment(self) -> Mapping[str, str]:
        """The environment; the log goes to the standard error output, which is a file here."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "X2GOBROKER_DEFAULTS": str(self.folder / "no-defaults.conf"),
            "X2GOBROKER_AUTHSERVICE_LOGCONFIG": str(self.folder / "no-loggers.conf"),
            "X2GOBROKER_AUTHSERVICE_PAM_SERVICES": f"{SERVICE}, {self.user.permit}",
        }

    def processes(self) -> list[int]:
        """The service's processes and all that they have started."""
        assert self.program is not None
        found = [self.program.pid]
        for pid in found:
            with contextlib.suppress(OSError):  # a worker process that has ended meanwhile
                found += children(pid)
        return found

    def _answers(self) -> bool:
        assert self.program is not None
        if self.program.process.poll() is not None:
            raise RuntimeError(f"{self.program.argv[0]} ended: {self.program.output()[-2000:]}")
        try:
            return ask_in_lines(self.socket, self.user.name, self.user.password)
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    def __enter__(self) -> Self:
        self.program = Program(self.command(), self.folder / "log", env=self.environment(), cwd=self.folder)
        try:
            wait_until(self._answers, f"a login by {self.program.argv[0]}")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the service and remove its files."""
        if self.program is not None:
            self.program.stop()
            self.program = None
        shutil.rmtree(self.folder)


class DebianService(OurService):
    """Debian's x2gobroker-authservice 0.0.4.3."""

    name = "reference"

    def command(self) -> list[str]:
        return ["/usr/bin/python3", str(DEBIAN_SERVICE), "-s", str(self.socket), "-o", "root", "-g", "root"]

    def environment(self) -> Mapping[str, str]:
        loggers = str(log_configuration(self.folder, ("root", "broker", "access", "error", "authservice")))
        return {
            **super().environment(),
            "LOGNAME": "root",
            "USER": "root",
            "SPHINX_API_DOCUMENTATION_BUILD": "1",
            "X2GOBROKER_LOGCONFIG": loggers,
            "X2GOBROKER_AUTHSERVICE_LOGCONFIG": loggers,
        }


class OurBroker(Ours):
    """Our daemon with the auth mechanism `pam` and this service."""

    def __init__(self, setup: Setup, service: OurService, threads: int = THREADS) -> None:
        super().__init__(setup)
        self.service = service
        self.threads = threads

    def environment(self) -> Mapping[str, str]:
        more = {"X2GOBROKER_AUTHSERVICE_SOCKET": str(self.service.socket), "X2GOBROKER_THREADS": str(self.threads)}
        return {**super().environment(), **more}


class DebianBroker(Reference):
    """Debian's daemon with the auth mechanism `pam` and this service."""

    def __init__(self, setup: Setup, service: OurService) -> None:
        super().__init__(setup)
        self.service = service

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "X2GOBROKER_AUTHSERVICE_SOCKET": str(self.service.socket)}
