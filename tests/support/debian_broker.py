"""Debian's x2gobroker 0.0.4.3, started so that it behaves as its documentation says."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from tests.support.processes import Program, free_port

PYTHON = "/usr/bin/python3"
PROGRAM = "/usr/bin/x2gobroker"
LIBRARY = Path("/usr/lib/python3/dist-packages/x2gobroker")
ACCOUNT = "x2gobroker"  # made by the Debian package, used when the tests run as root


def replace_file(path: Path, text: str) -> None:
    """Replace the content of `path` in one step, so that a reader sees the old or the new text, never a part."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).chmod(0o644)
    Path(name).replace(path)


class DebianBroker:
    """One running reference broker; it reads both of its files anew for every request.

    Two things are needed to make it keep to its own documentation: the variable of its documentation
    build (without it, it never recognises its daemon account, forces debug mode on and ignores
    `cookie-directory`), and a log configuration that does not exist, so that it logs to stderr.
    """

    def __init__(self, debug: bool = False, default_backend: str = "inifile") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix="debian-broker-"))
        self.folder.chmod(0o755)
        self.config = self.folder / "x2gobroker.conf"
        self.profiles = self.folder / "sessionprofiles.conf"
        self.cookies = self.folder / "cookies"
        self.account = ACCOUNT if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.debug = debug
        self.default_backend = default_backend
        self.program: Program | None = None

    def environment(self) -> dict[str, str]:
        """A complete environment: nothing of the test runner's own (its PATH, its virtual environment) gets in."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "LOGNAME": self.account,
            "USER": self.account,
            "SPHINX_API_DOCUMENTATION_BUILD": "1",
            "X2GOBROKER_DAEMON_USER": self.account,
            "X2GOBROKER_DEBUG": "1" if self.debug else "0",
            "X2GOBROKER_DEFAULT_BACKEND": self.default_backend,
            "X2GOBROKER_SESSIONPROFILES": str(self.profiles),
            "X2GOBROKER_LOGCONFIG": str(self.folder / "no-such-file"),
        }

    def write_config(self, text: str) -> None:
        """Make `text` the broker's configuration from the next request on; `{state}` is its cookie directory."""
        replace_file(self.config, text.replace("{state}", str(self.cookies)))

    def write_profiles(self, text: str) -> None:
        """Make `text` the session profiles from the next request on."""
        replace_file(self.profiles, text)

    def __enter__(self) -> DebianBroker:
        self.cookies.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self.cookies, self.account)
        if not self.config.exists():
            self.write_config("")
        if not self.profiles.exists():
            self.write_profiles("")
        self.program = Program(
            [PYTHON, PROGRAM, "-M", "HTTP", "-C", str(self.config), "-b", f"127.0.0.1:{self.port}"],
            self.folder / "log",
            env=self.environment(),
            cwd=self.folder,
            user=self.account if os.geteuid() == 0 else None,
        )
        try:
            self.program.wait_for_port(self.port)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the broker and remove its files."""
        if self.program is not None:
            self.program.stop()
            self.program = None
        shutil.rmtree(self.folder)
