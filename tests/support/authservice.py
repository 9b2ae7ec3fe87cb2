"""The authentication service as a program, ours or Debian's, on a socket of the test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.support.debian_broker import PYTHON, DebianBroker
from tests.support.installation import installation
from tests.support.our_broker import OurBroker
from tests.support.processes import Program, wait_until
from x2gobroker.authservice.client import AuthServiceClient
from x2gobroker.authservice.protocol import HELLO, decode_body, encode_frame

OUR_PROGRAM = str(Path(sys.executable).parent / "x2gobroker-authservice")
DEBIAN_PROGRAM = "/usr/sbin/x2gobroker-authservice"
# Part of every Debian installation, each with a group of the same name: who may ask, and who may not.
ASKING_ACCOUNT = "www-data"
OTHER_ACCOUNT = "games"
ANSWER_DEADLINE = 15.0
DEBIAN_LOGGERS = """\
[loggers]
keys = root,authservice
[handlers]
keys = out
[formatters]
keys =
[logger_root]
level = WARNING
handlers = out
[logger_authservice]
level = DEBUG
handlers = out
qualname = authservice
propagate = 0
[handler_out]
class = StreamHandler
args = (sys.stderr,)
"""

# connects as the account it runs as, sends one request, and says what came back
ASK = """\
import socket, sys
raw = socket.socket(socket.AF_UNIX)
raw.settimeout(10)
try:
    raw.connect(sys.argv[1])
    raw.sendall(sys.argv[2].encode().decode("unicode_escape").encode())
    print(raw.recv(100))
except OSError as error:
    print(type(error).__name__)
"""


class Wire:
    """One raw connection to the service. All reading has a deadline."""

    def __init__(self, path: Path, deadline: float = ANSWER_DEADLINE) -> None:
        self.raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.raw.settimeout(deadline)
        self.raw.connect(str(path))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_error: object) -> None:
        self.raw.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.raw.sendall(data)

    def receive(self, count: int) -> bytes:
        """So many bytes, or fewer when the service ends the connection first."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while len(data) < count:
                piece = self.raw.recv(count - len(data))
                if not piece:
                    break
                data += piece
        return data

    def line(self) -> bytes:
        """The next line with its end, or what there is of it at the end of the connection."""
        line = b""
        while not line.endswith(b"\n"):
            piece = self.receive(1)
            if not piece:
                break
            line += piece
        return line

    def ask_line(self, user: str, password: str, service: str) -> bytes:
        """One request in the line form."""
        self.send("\r".join((user, password, service)).encode() + b"\n")
        return self.line()

    def greet(self) -> None:
        """Agree on frames."""
        self.send(HELLO)
        assert self.line() == HELLO

    def frame(self) -> dict[str, object]:
        """The next frame."""
        (length,) = struct.unpack("!I", self.receive(4))
        return decode_body(self.receive(length))

    def ask(self, **request: object) -> dict[str, object]:
        """One request in a frame; what came of it."""
        self.send(encode_frame(request))
        return self.frame()

    def is_ended(self) -> bool:
        """Whether the service ends the connection, before the deadline, without another byte."""
        try:
            return self.receive(1) == b""
        except BrokenPipeError:
            return True


class AuthService:
    """A running authentication service. What was typed as a password must never be in its log: closing checks that."""

    def __init__(
        self,
        *pam_services: str,
        debian: bool = False,
        group: str = ASKING_ACCOUNT,
        env: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="authservice-"))
        self.folder.chmod(0o755)
        self.socket = self.folder / "run" / "socket"
        self.services = pam_services
        self.secrets: set[str] = set()
        self.program: Program | None = None
        self.arguments = [str(self.socket), "-g", group, "-d"]
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        loggers = self.folder / "loggers.conf"
        if debian:
            loggers.write_text(DEBIAN_LOGGERS)
            self.argv = [PYTHON, DEBIAN_PROGRAM, "-s", *self.arguments]
        else:
            self.argv = [*launcher, OUR_PROGRAM, "-s", *self.arguments]
        self.env |= {
            "X2GOBROKER_AUTHSERVICE_LOGCONFIG": str(loggers),  # ours goes to stderr when there is no such file
            "X2GOBROKER_AUTHSERVICE_PAM_SERVICES": ",".join(pam_services),
            "X2GOBROKER_DEFAULTS": str(self.folder / "no-defaults.conf"),
            **(env or {}),
        }

    @property
    def pid(self) -> int:
        """Process ID of the service."""
        assert self.program is not None
        return self.program.pid

    def start(self) -> None:
        """Start the program and wait until it listens."""
        self.program = program = Program(self.argv, self.folder / "log", env=self.env, cwd=self.folder)

        def listening() -> bool:
            assert program.process.poll() is None, program.output()
            with contextlib.suppress(OSError), Wire(self.socket, 1):
                return True
            return False

        wait_until(listening, "the authentication service listening")

    def log(self) -> str:
        """What the service wrote so far."""
        return (self.folder / "log").read_text(errors="replace")

    def wait_for_log(self, text: str) -> None:
        """Wait until the log holds this."""
        wait_until(lambda: text in self.log(), f"{text!r} in the service's log")

    def keep_secret(self, *secrets: str) -> None:
        """Remember what must not be in the log at the end."""
        self.secrets.update(secret for secret in secrets if secret)

    def client(self, deadline: float = ANSWER_DEADLINE) -> AuthServiceClient:
        """The broker's client."""
        return AuthServiceClient(self.socket, deadline)

    def wire(self, deadline: float = ANSWER_DEADLINE) -> Wire:
        """A raw connection."""
        return Wire(self.socket, deadline)

    def descendants(self) -> list[int]:
        """Process IDs of all processes below the service: the spawner and its workers."""
        found: list[int] = []
        left = [self.pid]
        while left:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                pid = left.pop()
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                found += [int(child) for child in children]
                left += [int(child) for child in children]
        return found

    def workers(self) -> list[int]:
        """Process IDs of the worker processes."""
        return [pid for pid in self.descendants() if _parent(pid) != self.pid]

    def close(self) -> None:
        """Stop the service; no secret may be in its log."""
        try:
            if self.program is not None:
                self.program.stop()
                log = self.log()
                print(log)  # pytest shows it beside a failure
                assert_no_secret(log, self.secrets)
                assert "Traceback" not in log
        finally:
            shutil.rmtree(self.folder)

    def __enter__(self) -> AuthService:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _parent(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def assert_no_secret(log: str, secrets: set[str]) -> None:
    """No password in a log, neither as it is nor escaped."""
    for secret in secrets:
        for form in (secret, repr(secret)[1:-1], secret.encode("unicode_escape").decode()):
            assert form not in log, "a password is in the log"


class UnprivilegedBroker(OurBroker):
    """Our daemon as an account that cannot read /etc/shadow, and whose passwords the authentication service checks."""

    def __init__(self, config: str, profiles: str, socket_path: Path) -> None:
        super().__init__(config, profiles, env={"X2GOBROKER_AUTHSERVICE_SOCKET": str(socket_path)})
        self.secrets: set[str] = set()
        self.account = ASKING_ACCOUNT if os.geteuid() == 0 else None
        self.folder.chmod(0o755)
        if self.account is not None:
            shutil.chown(self.state, self.account, self.account)

    def start(self) -> None:
        """Start the daemon, as its account, and wait until it listens."""
        program = installation(self.account).venv / "bin/x2gobroker-daemon"
        self.program = Program(
            [str(program), "-C", str(self.config), "-b", f"127.0.0.1:{self.port}"],
            self.folder / "log",
            env=self.env,
            cwd=self.folder,
            user=self.account,
        )
        self.program.wait_for_port(self.port)

    def __enter__(self) -> UnprivilegedBroker:
        super().__enter__()
        return self

    def close(self) -> None:
        """Stop the broker; no password may be in its log."""
        log = self.log()
        super().close()
        print(log)  # pytest shows it beside a failure
        assert_no_secret(log, self.secrets)


class DebianBrokerWithPam(DebianBroker):
    """Debian's broker, asking the authentication service behind this socket."""

    def __init__(self, socket_path: Path) -> None:
        super().__init__()
        self.socket_path = socket_path

    def environment(self) -> dict[str, str]:
        """As the reference's, and where the service is."""
        return {**super().environment(), "X2GOBROKER_AUTHSERVICE_SOCKET": str(self.socket_path)}


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block must not take longer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"took {took:.1f} s, more than {seconds:g}"


def ask_as(name: str, service: AuthService, request: str) -> str:
    """What an account gets that sends one request."""
    done = subprocess.run(
        [PYTHON, "-c", ASK, str(service.socket), request.encode("unicode_escape").decode()],
        user=name,
        group=name,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()
