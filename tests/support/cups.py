"""A CUPS server of its own on loopback, with a queue that prints to X2Go clients: cups-x2go and x2goserver-printing."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.accounts import Account
from tests.support.processes import Program, free_port, running, wait_until

QUEUE = "X2Go"
PPD = Path("/usr/share/ppd/cups-x2go/CUPS-X2GO.ppd")
COMMAND_DEADLINE = 60.0
BACKEND_SETTINGS = Path("/etc/cups/cups-x2go.conf")
# The backend's own setting calls an operator, .setpdfwrite, that Ghostscript has no more: no job would come through.
# No blank may stand after the equals sign.
PS2PDF = 'ps2pdf=/usr/bin/gs -q -dNOPAUSE -dBATCH -dSAFER -sDEVICE=pdfwrite -sOutputFile=- -f "%s"\n'
FILES = """\
ServerRoot {folder}
StateDir {folder}/state
CacheDir {folder}/cache
RequestRoot {folder}/requests
TempDir {folder}/requests/tmp
ServerBin /usr/lib/cups
DataDir /usr/share/cups
DocumentRoot /usr/share/cups/doc-root
AccessLog {folder}/access
ErrorLog {folder}/errors
PageLog {folder}/pages
Printcap {folder}/printcap
SystemGroup root
User lp
Group lp
"""
SERVER = """\
Listen 127.0.0.1:{port}
Browsing Off
DefaultAuthType None
WebInterface No
LogLevel info
JobRetryInterval 1
<Location />
  Order allow,deny
  Allow 127.0.0.1
</Location>
<Policy default>
  <Limit All>
    Order allow,deny
    Allow 127.0.0.1
  </Limit>
</Policy>
"""


@dataclass(frozen=True)
class Cups:
    """A running CUPS server and its folder."""

    port: int
    folder: Path
    program: Program

    @property
    def environment(self) -> dict[str, str]:
        """What makes lpr and the others use this server."""
        return {"CUPS_SERVER": f"127.0.0.1:{self.port}"}

    def errors(self) -> str:
        """What it and its filters and backends said."""
        log = self.folder / "errors"
        return log.read_text(errors="replace") if log.exists() else self.program.output()

    def add_queue(self, name: str, device: str, ppd: Path | None = None) -> None:
        """A queue that accepts jobs."""
        with_ppd = ["-P", str(ppd)] if ppd else []
        self.run("lpadmin", "-p", name, "-v", device, *with_ppd, "-E")
        wait_until(lambda: f"printer {name} is idle" in self.run("lpstat", "-p", name), f"the print queue {name}")

    def enable(self, name: str) -> None:
        """Let a queue print. A server with much to do answers with an internal error now and then."""

        def is_done() -> bool:
            try:
                self.run("cupsenable", name)
            except AssertionError:
                return False
            return True

        wait_until(is_done, f"the print queue {name} being enabled")

    def run(self, *argv: str) -> str:
        """Run a CUPS command as root; what it prints. Fails with its message."""
        return self._run(argv, None)

    def print(self, user: Account, path: Path, title: str, queue: str = QUEUE) -> None:
        """Print a file as this user, as programs of his session do."""
        self._run(("lpr", f"-P{queue}", f"-J{title}", str(path)), user)

    def _run(self, argv: tuple[str, ...], user: Account | None) -> str:
        who = {} if user is None else {"HOME": str(user.home), "USER": user.name, "LOGNAME": user.name}
        done = subprocess.run(
            argv,
            user=None if user is None else user.name,
            group=None if user is None else user.name,
            extra_groups=None if user is None else [],
            cwd="/",
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **who, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE,
            check=False,
        )
        assert done.returncode == 0, f"{argv[0]} gave {done.returncode}: {done.stderr}\n{self.errors()}"
        return done.stdout


@contextlib.contextmanager
def cups() -> Iterator[Cups]:
    """CUPS for the length of a `with` block, with the queue `X2Go`. Needs root, as its backends run as root."""
    folder = Path(tempfile.mkdtemp(prefix="x2gt-cups-"))
    folder.chmod(0o755)
    port = free_port()
    for name in ("state", "cache", "requests", "requests/tmp", "ppd"):
        (folder / name).mkdir()
        shutil.chown(folder / name, group="lp")
        (folder / name).chmod(0o775 if name != "requests/tmp" else 0o1770)
    (folder / "cups-files.conf").write_text(FILES.format(folder=folder), encoding="ascii")
    (folder / "cupsd.conf").write_text(SERVER.format(port=port), encoding="ascii")
    argv = ["/usr/sbin/cupsd", "-f", "-c", str(folder / "cupsd.conf"), "-s", str(folder / "cups-files.conf")]
    try:
        with _backend_settings(), running(argv, folder / "output", port) as program:
            server = Cups(port, folder, program)
            server.add_queue(QUEUE, "cups-x2go:/", PPD)
            yield server
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _backend_settings() -> Iterator[None]:
    """The backend reads one file of the machine: with a conversion that works here."""
    before = BACKEND_SETTINGS.read_text(encoding="utf-8")
    BACKEND_SETTINGS.write_text(f"{before.rstrip()}\n{PS2PDF}", encoding="utf-8")
    try:
        yield
    finally:
        BACKEND_SETTINGS.write_text(before, encoding="utf-8")
