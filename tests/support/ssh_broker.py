"""The broker over SSH as an administrator sets it up: the program, its sudo rule, a group, an account of the broker."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.accounts import Account, account, change_accounts
from tests.support.debian_broker import replace_file
from tests.support.installation import CHECKOUT, installation

SUDOERS = Path("/etc/sudoers.d")
SAMPLE = CHECKOUT / "etc/sudoers.d/x2gobroker-ssh"
PROGRAM = "/usr/bin/x2gobroker-ssh"
GROUP = "x2gobroker-users"
DEADLINE = 60.0
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
LOGGERS = """\
[loggers]
keys = root,broker,error
[handlers]
keys = file
[formatters]
keys =
[logger_root]
level = WARNING
handlers = file
[logger_broker]
level = DEBUG
handlers = file
qualname = broker
propagate = 0
[logger_error]
level = DEBUG
handlers = file
qualname = error
propagate = 0
[handler_file]
class = handlers.WatchedFileHandler
args = ({path!r},)
"""


@dataclass(frozen=True)
class Answered:
    """What a call of the program came to."""

    text: str
    errors: str
    status: int

    @property
    def authid(self) -> str:
        """The authid that was given out; empty when there is none."""
        found = re.match(r"AUTHID:(\S+)\n", self.text)
        return found[1] if found else ""


class SshBroker:
    """A broker of a test's own that is called over SSH. `program` is its command, for members of `group`."""

    def __init__(self, folder: Path, broker: Account, group: str) -> None:
        self.folder = folder
        self.account = broker.name
        self.group = group
        self.program = folder / "bin" / "x2gobroker-ssh"
        self.config = folder / "x2gobroker.conf"
        self.profiles = folder / "sessionprofiles.conf"
        self.defaults = folder / "defaults.conf"
        self.state = folder / "state"
        self.log_file = folder / "log" / "broker.log"

    def lay_out(self) -> None:
        """Make the files, those of the broker's account so that nobody else can read them."""
        for inside in (self.program.parent, self.state, self.log_file.parent):
            inside.mkdir()
        python = installation(self.account).venv / "bin/python"
        launcher = self.folder / "launcher"
        launcher.write_text(
            f"#!{python}\n"
            "import sys\nfrom pathlib import Path\nfrom x2gobroker.cli.ssh.broker import main\n"
            f"sys.exit(main(defaults=Path({str(self.defaults)!r})))\n"
        )
        launcher.chmod(0o755)
        self.program.symlink_to(launcher)  # as /usr/bin/x2gobroker-ssh is one to a virtual environment
        loggers = self.folder / "loggers.conf"
        loggers.write_text(LOGGERS.format(path=str(self.log_file)))
        self.defaults.write_text(
            f"[common]\nX2GOBROKER_DAEMON_USER = {self.account}\nX2GOBROKER_DAEMON_GROUP = {self.account}\n"
            f"X2GOBROKER_LOGCONFIG = {loggers}\n"
            f"X2GOBROKER_CONFIG = {self.config}\nX2GOBROKER_SESSIONPROFILES = {self.profiles}\n"
        )
        for private in (self.state, self.log_file.parent):
            private.chmod(0o700)
            shutil.chown(private, self.account, self.account)

    def write(self, config: str, profiles: str) -> None:
        """Make these the broker's files, which only its account can read; `{state}` is the folder of its state."""
        for path, text in ((self.config, config.replace("{state}", str(self.state))), (self.profiles, profiles)):
            replace_file(path, text)
            path.chmod(0o400)
            shutil.chown(path, self.account, self.account)

    def log(self) -> str:
        """What the broker logged so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def call(
        self,
        user: str,
        *words: str,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        program: Path | None = None,
    ) -> Answered:
        """Call the program as a user of this machine, without sshd; `env` goes on top of a bare environment."""
        record = pwd.getpwnam(user)
        done = subprocess.run(
            [str(program or self.program), *words],
            env={**ENVIRONMENT, "USER": user, "LOGNAME": user, "HOME": "/", **(env or {})},
            cwd="/",
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            user=record.pw_uid,
            group=record.pw_gid,
            extra_groups=[] if user == "root" else os.getgrouplist(user, record.pw_gid),
        )
        return Answered(done.stdout, done.stderr, done.returncode)

    def admit(self, user: str) -> None:
        """Make a user a member of the group that may call the program."""
        change_accounts("usermod", "--append", "--groups", self.group, user)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, f"{words[0]} gave {done.returncode}: {done.stdout}{done.stderr}"


def sudo_rule(program: Path, group: str, broker: str) -> str:
    """The shipped sudo rule, for a program, a group and an account of a test's own."""
    text = SAMPLE.read_text(encoding="utf-8")
    rule = text.replace(PROGRAM, str(program)).replace(GROUP, group).replace("(x2gobroker)", f"({broker})")
    assert rule.count(str(program)) == 2
    assert rule.count(f"%{group}") == 1
    return rule


@contextlib.contextmanager
def ssh_broker() -> Iterator[SshBroker]:
    """A broker to be called over SSH, for the length of a `with` block. Needs root and sudo."""
    folder = Path(tempfile.mkdtemp(prefix="ssh-broker-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        account_of_broker = stack.enter_context(account("not to be known"))
        name = f"{account_of_broker.name}-users"
        change_accounts("groupadd", name)
        stack.callback(change_accounts, "groupdel", name)
        assert grp.getgrnam(name)
        broker = SshBroker(folder, account_of_broker, name)
        broker.lay_out()
        rule = SUDOERS / name
        stack.callback(rule.unlink, missing_ok=True)
        fresh = folder / "sudoers"
        fresh.write_text(sudo_rule(broker.program, name, broker.account), encoding="utf-8")
        fresh.chmod(0o440)
        _run("visudo", "-c", "-f", str(fresh))
        shutil.copy(fresh, rule)
        rule.chmod(0o440)
        yield broker
