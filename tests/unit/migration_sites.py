"""Made-up sites below a folder: the files that x2gobroker migrate reads, and a runner that changes only those."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from x2gobroker.cli.admin.migrate import PACKAGED_SAMPLES
from x2gobroker.migration.reader import Reader
from x2gobroker.migration.runner import Done
from x2gobroker.migration.site import Own, Site
from x2gobroker.migration.survey import read_site

PREFIX = "/usr/lib/x2gobroker/venv"
SAMPLES = f"{PREFIX}/samples"
OF_FILES = ("install", "cp", "mv", "rm", "rmdir", "ln", "tar")
OWN = Own(PREFIX, "/usr", SAMPLES, "1.0")
DAEMON_UNIT = """\
[Unit]
Description=X2Go Session Broker Daemon
[Service]
User=root
Type=forking
ExecStart=/usr/bin/x2gobroker-daemon --drop-privileges -D --pidfile /run/x2gobroker/x2gobroker-daemon.pid
PIDFile=/run/x2gobroker/x2gobroker-daemon.pid
[Install]
WantedBy=multi-user.target
"""
SNIPPET = """\
WSGIDaemonProcess x2gobroker user=x2gobroker group=x2gobroker processes=5 threads=15
#SetEnv X2GOBROKER_DEBUG off
SetEnv X2GOBROKER_DEFAULT_BACKEND inifile
SetEnv X2GOBROKER_CONFIG /etc/x2go/site.conf
WSGIScriptAlias /x2gobroker /usr/lib/x2gobroker/wsgi/x2gobroker-wsgi
WSGIProcessGroup x2gobroker
<Directory /usr/lib/x2gobroker/wsgi>
    Require local
</Directory>
"""


def stanza(name: str, state: str = "install ok installed", version: str = "0.0.4.3-4", more: str = "") -> str:
    """A package in dpkg's status file."""
    return f"Package: {name}\nStatus: {state}\nArchitecture: all\nVersion: {version}\n{more}\n"


class MadeSite:
    """A folder with the files of a site. `active`: the units that run there."""

    def __init__(self, root: Path, systemd: bool = True) -> None:
        self.root = root
        self.active: set[str] = set()
        self.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\nx2gobroker:x:64:65::/var/lib/x2gobroker:/bin/bash\n")
        self.write("/etc/group", "root:x:0:\nx2gobroker:x:65:\n")
        for name in ("x2gobroker", "x2gobroker-testagent"):
            self.write(f"{PREFIX}/bin/{name}", "ours\n")
        for path in (PACKAGED_SAMPLES / "etc").rglob("*"):
            if path.is_file():
                self.write(f"{SAMPLES}/{path.relative_to(PACKAGED_SAMPLES)}", path.read_text(encoding="utf-8"))
        for name in ("apache/x2gobroker.conf", "wsgi/x2gobroker.wsgi"):
            self.write(f"{SAMPLES}/{name}", (PACKAGED_SAMPLES / name).read_text(encoding="utf-8"))
        for folder in ("/var/lib/x2gobroker", "/var/log/x2gobroker", "/usr/local/bin", "/etc/tmpfiles.d"):
            self.place(folder).mkdir(parents=True, exist_ok=True)
        if systemd:
            self.place("/run/systemd/system").mkdir(parents=True)

    def place(self, path: str) -> Path:
        """Where a path of the site is on this machine."""
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file, and make the folders above it."""
        place = self.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        place.chmod(mode)

    def link(self, path: str, target: str) -> None:
        """Make a link."""
        place = self.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def packages(self, *stanzas: str) -> None:
        """What dpkg knows."""
        self.write("/var/lib/dpkg/status", "\n".join(stanzas))

    def daemon(self) -> MadeSite:
        """A site with Debian's daemon and authentication service, both running."""
        conffiles = "Conffiles:\n /etc/x2go/x2gobroker.conf 0123456789abcdef0123456789abcdef\n"
        self.packages(
            stanza("bash", version="5"),
            stanza("x2gobroker-common", more=conffiles),
            stanza("x2gobroker-daemon"),
            stanza("x2gobroker-authservice"),
        )
        for name in ("daemon", "authservice"):
            text = DAEMON_UNIT.replace("x2gobroker-daemon", f"x2gobroker-{name}")
            self.write(f"/lib/systemd/system/x2gobroker-{name}.service", text)
            self.link(
                f"/etc/systemd/system/multi-user.target.wants/x2gobroker-{name}.service",
                f"/lib/systemd/system/x2gobroker-{name}.service",
            )
            self.active.add(f"x2gobroker-{name}.service")
            self.write(f"/etc/logrotate.d/x2gobroker-{name}", "/var/log/x2gobroker/broker.log {\n}\n")
        self.write("/usr/sbin/x2gobroker-testagent", "Debian's\n")
        self.write("/etc/x2go/x2gobroker.conf", "[global]\n[broker_inifile]\nenable = true\n")
        self.profiles("[desk]\nhost = ts01\nname = Desk\n")
        self.write("/etc/pam.d/x2gobroker", "auth required pam_unix.so\n")
        return self

    def profiles(self, text: str) -> None:
        """The session profiles."""
        self.write("/etc/x2go/broker/x2gobroker-sessionprofiles.conf", text)

    def reader(self) -> Reader:
        """A reader of it."""
        return Reader(self.root)

    def read(self) -> Site:
        """What is there."""
        return read_site(self.reader(), OWN, self.active)

    def tree(self) -> dict[str, str]:
        """All files and links, with what is in them, but the migration's own."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = f"/{path.relative_to(self.root)}"
            if name.startswith("/var/lib/x2gobroker-migration"):
                continue
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            elif path.is_file():
                found[name] = path.read_text(encoding="utf-8", errors="replace")
        return found


class SiteRunner:
    """Runs the commands that work on files, below the root folder, and notes all. `failing`: the beginning of one."""

    def __init__(self, site: MadeSite) -> None:
        self.site = site
        self.ran: list[tuple[str, ...]] = []
        self.failing: tuple[str, ...] = ()

    def run(self, argv: Sequence[str]) -> Done:
        """Run one, or only note it."""
        words = tuple(argv)
        if words[:2] == ("systemctl", "--quiet"):
            return Done(0 if words[-1] in self.site.active else 3)
        self.ran.append(words)
        if self.failing and words[: len(self.failing)] == self.failing:
            return Done(1, "it cannot be")
        if words[0] not in OF_FILES:
            self._note(words)
            return Done(0)
        mapped = [words[0], *(self._mapped(words, at) for at in range(1, len(words)))]
        done = subprocess.run(mapped, capture_output=True, text=True, timeout=30, check=False)
        return Done(done.returncode, done.stderr)

    def _mapped(self, words: tuple[str, ...], at: int) -> str:
        word = words[at]
        is_target_of_link = words[0] == "ln" and at == len(words) - 2
        if not word.startswith("/") or is_target_of_link or word.startswith(str(self.site.root)):
            return word
        return str(self.site.place(word))

    def _note(self, words: tuple[str, ...]) -> None:
        """What systemd would do."""
        names = [word for word in words[2:] if not word.startswith("-")]
        wants = "/etc/systemd/system/multi-user.target.wants"
        if words[:2] == ("systemctl", "start"):
            self.site.active |= set(names)
        elif words[:2] == ("systemctl", "stop"):
            self.site.active -= set(names)
        elif words[:2] == ("systemctl", "disable"):
            for name in names:
                self.site.place(f"{wants}/{name}").unlink(missing_ok=True)
        elif words[:2] == ("systemctl", "enable"):
            for name in names:
                self.site.place(f"{wants}/{name}").unlink(missing_ok=True)
                folder = "/etc" if self.site.place(f"/etc/systemd/system/{name}").exists() else "/lib"
                self.site.link(f"{wants}/{name}", f"{folder}/systemd/system/{name}")
