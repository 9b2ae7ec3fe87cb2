"""A private Apache with mod_ssl and mod_wsgi that runs the configuration files of apache/ as they are shipped."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.installation import CHECKOUT, installation
from tests.support.processes import Program, running, wait_until

SHIPPED = CHECKOUT / "apache"
MODULES = Path("/usr/lib/apache2/modules")
# Part of every Debian installation, with a group of the same name; mod_wsgi refuses to serve as root.
SERVER_ACCOUNT = "www-data"
COMMAND_DEADLINE = 20.0
_MODULES = (
    *("mpm_event", "authn_core", "authn_file", "auth_basic", "authz_core", "authz_user", "alias", "env", "headers"),
    *("macro", "proxy", "proxy_http", "setenvif", "socache_shmcb", "ssl", "wsgi"),
)
# mod_wsgi's own line; the title of the process is cut to the length of the path that Apache was started by.
_STARTED = re.compile(r"mod_wsgi \(pid=(\d+)\): Starting process '([^']+)'")


def _parent_and_state(entry: Path) -> tuple[int, str]:
    state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    return int(parent), state


class ApacheFolder:
    """What one Apache needs on disk; reachable for `SERVER_ACCOUNT`, which pytest's own folders are not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "apache.conf"
        self.run = path / "run"
        self.logs = path / "logs"
        self.account = SERVER_ACCOUNT if os.geteuid() == 0 else None
        path.chmod(0o755)
        self.run.mkdir()
        self.logs.mkdir()

    def file(self, name: str, text: str) -> Path:
        """Write a file that the server account can read."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(0o644)
        return target

    def state(self, name: str) -> Path:
        """A folder that belongs to the server account."""
        target = self.path / name
        target.mkdir(mode=0o700)
        if self.account is not None:
            shutil.chown(target, self.account, self.account)
        return target


@contextlib.contextmanager
def apache_folder() -> Iterator[ApacheFolder]:
    """A new folder for one Apache, gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="x2gobroker-apache-"))
    try:
        yield ApacheFolder(path)
    finally:
        shutil.rmtree(path)


class Apache:
    """A running Apache."""

    def __init__(self, program: Program, folder: ApacheFolder) -> None:
        self.program = program
        self.folder = folder

    def log(self) -> str:
        """All log files, each under its name."""
        files = sorted(self.folder.logs.iterdir())
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')}" for file in files)

    def daemons(self, group: str) -> dict[int, str]:
        """The processes that serve one process group now: process ID to account."""
        log = self.folder.logs / "error.log"
        started = _STARTED.findall(log.read_text(errors="replace")) if log.exists() else []
        found = {}
        for pid in {int(pid) for pid, name in started if name == group}:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                entry = Path("/proc") / str(pid)
                parent, state = _parent_and_state(entry)
                if parent == self.program.pid and state != "Z":
                    found[pid] = entry.owner()
        return found

    def serves(self) -> bool:
        """Whether a process of a broker is there; fails when Apache itself has ended."""
        status = self.program.process.poll()
        assert status is None, f"Apache ended with {status}:\n{self.program.output()}\n{self.log()}"
        return bool(self.all_daemons())

    def graceful(self) -> None:
        """Restart as `systemctl reload apache2` does, and wait until new processes serve."""
        before = set(self.all_daemons())
        _apache2(self.folder.config, "-k", "graceful")

        def renewed() -> bool:
            now = set(self.all_daemons())
            return bool(now) and not now & before

        wait_until(renewed, "new broker processes after a graceful restart")

    def all_daemons(self) -> set[int]:
        """Process IDs over all process groups that the shipped files name."""
        groups = ("x2gobroker", "x2gobroker-vhost", "x2gobroker-a", "x2gobroker-b")
        return {pid for group in groups for pid in self.daemons(group)}


def _apache2(config: Path, *words: str) -> str:
    argv = ["apache2", "-f", str(config), *words]
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_DEADLINE,
        check=False,
        env=_environment(),
    )
    assert done.returncode == 0, f"{' '.join(argv)} gave {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def _environment() -> dict[str, str]:
    """As an init system starts Apache: without anything of ours, least of all X2GOBROKER_*."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}


def _main_config(
    folder: ApacheFolder, ports: Sequence[int], shipped: str, defines: Mapping[str, str], extra: str
) -> str:
    """The part that Debian's apache2.conf, ports.conf and mods-enabled would be."""
    broker = installation(folder.account)
    common = {
        "X2GOBROKER_VENV": str(broker.venv),
        "X2GOBROKER_WSGI": str(broker.wsgi),
        "X2GOBROKER_LOG_DIR": str(folder.logs),
    }
    if folder.account is not None:
        common |= {"X2GOBROKER_USER": folder.account, "X2GOBROKER_GROUP": folder.account}
    else:
        common |= {"X2GOBROKER_USER": f"#{os.geteuid()}", "X2GOBROKER_GROUP": f"#{os.getegid()}"}
    lines = [
        f'ServerRoot "{folder.path}"',
        "ServerName localhost",
        f'PidFile "{folder.run}/apache.pid"',
        f'DefaultRuntimeDir "{folder.run}"',
        f'Mutex "file:{folder.run}" default',
        *(f'LoadModule {name}_module "{MODULES}/mod_{name}.so"' for name in _MODULES),
        f'WSGISocketPrefix "{folder.run}/wsgi"',
        f'SSLSessionCache "shmcb:{folder.run}/tls-sessions(512000)"',
        f'ErrorLog "{folder.logs}/error.log"',
        "LogLevel warn wsgi:info",
        "<Directory />\n    Require all denied\n</Directory>",
        *(f"Listen 127.0.0.1:{port}" for port in ports),
        # What a broker installed on this machine is told must not reach the one under test.
        f'SetEnv X2GOBROKER_DEFAULTS "{folder.path}/no-defaults.conf"',
        f'SetEnv X2GOBROKER_LOGCONFIG "{folder.path}/no-loggers.conf"',
        *(f'Define {name} "{value}"' for name, value in {**common, **defines}.items()),
        f'Include "{SHIPPED / shipped}"',
        extra,
    ]
    if folder.account is not None:
        lines[:0] = [f"User {folder.account}", f"Group {folder.account}"]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def apache(
    folder: ApacheFolder,
    shipped: str,
    ports: Sequence[int],
    defines: Mapping[str, str],
    extra: str = "",
    has_broker: bool = True,
) -> Iterator[Apache]:
    """Run Apache with the file `shipped` of apache/ for the length of a `with` block.

    `defines` are the values that an administrator would write into that file; `extra` is further configuration.
    `has_broker`: the broker runs in processes of this Apache.
    """
    folder.file("apache.conf", _main_config(folder, ports, shipped, defines, extra))
    _apache2(folder.config, "-t")
    argv = ["apache2", "-f", str(folder.config), "-DFOREGROUND"]
    with running(argv, folder.path / "apache.out", port=ports[0], env=_environment()) as program:
        server = Apache(program, folder)
        try:
            if has_broker:
                wait_until(server.serves, "the broker's processes")
            yield server
        finally:
            print(server.log())  # pytest shows it beside a failure
