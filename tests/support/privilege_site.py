"""A site whose broker's account tries to lead astray the programs that root starts."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from passlib.hash import sha512_crypt

from tests.support.installation import installation

ACCOUNT = pwd.getpwnam("www-data")
HASHED = sha512_crypt.using(rounds=1000).hash("carl's")
LOGGERS = """\
[loggers]
keys = root, broker, access, error, authservice, loadchecker
[handlers]
keys = console, file
[formatters]
keys = line
[formatter_line]
format = %(name)s - %(message)s
[logger_root]
level = WARNING
handlers = console
[logger_broker]
qualname = broker
level = INFO
handlers = file
propagate = 0
[logger_access]
qualname = access
level = INFO
handlers = file
propagate = 0
[logger_error]
qualname = error
level = INFO
handlers = file
propagate = 0
[logger_authservice]
qualname = authservice
level = INFO
handlers = file
propagate = 0
[logger_loadchecker]
qualname = loadchecker
level = INFO
handlers = file
propagate = 0
[handler_console]
class = StreamHandler
formatter = line
args = (sys.stderr,)
[handler_file]
class = FileHandler
formatter = line
args = ({path!r},)
"""
# run as the broker's account: whatever appears beside the file of users is swapped for a link to a file of root. When
# such a link has been moved to the place of the file, nobody changes anything any more: the file is put back
SWAP = """
import os, sys
folder, target = sys.argv[1:]
os.chdir(folder)
users = open("htpasswd").read() if os.path.exists("htpasswd") else ""
print("ready", flush=True)
while True:
    if users and os.path.islink("htpasswd"):
        os.unlink("htpasswd")
        with open("htpasswd", "w") as file:
            file.write(users)
    for name in os.listdir("."):
        if name != "htpasswd" and not name.startswith("stolen"):
            try:
                os.rename(name, "stolen-" + name)
                os.symlink(target, name)
                print("swapped", name, flush=True)
            except OSError:
                pass
"""


class Site:
    """Files of a site: what is root's, and three folders of the broker's account."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state, self.logs, self.users = (folder / name for name in ("state", "logs", "users"))
        for path in (self.state, self.logs, self.users):
            path.mkdir(mode=0o750)
            os.chown(path, ACCOUNT.pw_uid, ACCOUNT.pw_gid)
        users = self.users / "htpasswd"
        users.write_text(f"carl:{HASHED}\n")
        os.chown(users, ACCOUNT.pw_uid, ACCOUNT.pw_gid)
        self.secret = folder / "secret"
        self.secret.write_text("root's own\n")
        self.secret.chmod(0o600)
        self.config = folder / "x2gobroker.conf"
        self.config.write_text(
            f"[global]\ndefault-auth-mech = htpasswd\npenalties = false\ncookie-directory = {self.state}\n"
            f"[authmech_htpasswd]\nfile = {self.users / 'htpasswd'}\n"
        )
        self.loggers = folder / "loggers.conf"
        self.loggers.write_text(LOGGERS.format(path=str(self.logs / "the.log")))
        self.profiles = folder / "sessionprofiles.conf"
        self.profiles.write_text("[desk]\nhost = desk.example\nuse-load-checker = true\n")
        self.env = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": "/root",
            "X2GOBROKER_CONFIG": str(self.config),
            "X2GOBROKER_DEFAULTS": str(folder / "none"),
            "X2GOBROKER_SESSIONPROFILES": str(self.profiles),
            "X2GOBROKER_WORKERS": "1",
            "X2GOBROKER_DAEMON_USER": ACCOUNT.pw_name,
            "X2GOBROKER_DAEMON_GROUP": ACCOUNT.pw_name,
            "X2GOBROKER_SSH_FOLDER": str(self.state / ".ssh"),
            **{f"X2GOBROKER_{name}LOGCONFIG": str(self.loggers) for name in ("", "AUTHSERVICE_", "LOADCHECKER_")},
        }
        self.bin = installation(ACCOUNT.pw_name).venv / "bin"

    def as_account(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program as the broker's account."""
        return subprocess.run(
            words,
            input=stdin,
            env=self.env,
            user=ACCOUNT.pw_uid,
            group=ACCOUNT.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd="/",
        )

    def as_root(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program of ours as root."""
        argv = [str(self.bin / words[0]), *words[1:]]
        return subprocess.run(
            argv, input=stdin, env=self.env, capture_output=True, text=True, timeout=60, check=False, cwd="/"
        )

    def plant(self, name: str) -> Path:
        """The account puts a link to a file in root's folder, which is not there yet, in the place of its log."""
        planted = self.folder / "planted"
        done = self.as_account("ln", "-s", str(planted), str(self.logs / name))
        assert done.returncode == 0, done.stderr
        return planted

    def root_is_untouched(self) -> None:
        """No file of root's was written, given away or made."""
        status = self.secret.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o600)
        assert self.secret.read_text() == "root's own\n"

    def owners(self, folder: Path) -> set[int]:
        """Who owns what is in a folder."""
        return {path.lstat().st_uid for path in folder.iterdir()}


@contextlib.contextmanager
def privilege_site() -> Iterator[Site]:
    """A site below /tmp that the account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="x2gt-site-"))
    folder.chmod(0o755)
    try:
        yield Site(folder)
    finally:
        shutil.rmtree(folder)
