"""x2gobroker-agent behind a forced command of a real sshd and sudo, asked by Debian's broker code and by attackers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.our_agent import BROKER_ACCOUNT, INSTALLED, SOURCE, forced_key, our_agent
from tests.support.sshd import Sshd, make_key, sshd
from x2gobroker.agents import server as agent_module

DEBIAN_CALL = """\
import json, sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
import x2gobroker.defaults
command, remote, calls = json.loads(sys.argv[1])
x2gobroker.defaults.X2GOBROKER_AGENT_CMD = command
x2gobroker.defaults.X2GOBROKER_AGENT_USER = "x2gobroker"
import x2gobroker.agent
functions = vars(x2gobroker.agent) | x2gobroker.agent.tasks
print("ANSWERS" + json.dumps([functions[name](remote_agent=remote, **words) for name, words in calls]))
"""


@dataclass
class Host:
    """An sshd whose account x2gobroker leads to our agent; `folder` has the broker's key."""

    agent: Path
    sshd: Sshd
    folder: Path
    broker: Account

    @property
    def connection(self) -> list[str]:
        """Options of ssh and sftp: one connection serves all."""
        options = [f"UserKnownHostsFile={self.folder / 'known_hosts'}", "BatchMode=yes", "IdentitiesOnly=yes"]
        options += [f"ControlPath={self.folder / 'control'}", "ControlMaster=auto", "ControlPersist=60"]
        flags = [word for option in options for word in ("-o", option)]
        return ["-F", "none", *flags, "-i", str(self.folder / "id_rsa")]

    def ssh(self, command: str | bytes) -> subprocess.CompletedProcess[bytes]:
        """What a client says to sshd as the broker."""
        return subprocess.run(
            ["ssh", *self.connection, "-p", str(self.sshd.port), f"{BROKER_ACCOUNT}@127.0.0.1", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def answer(self, *words: str) -> list[str]:
        """The data of an answer to a task that has to work."""
        done = self.ssh(shlex.join([INSTALLED, *words]))
        assert (done.returncode, done.stderr) == (0, b"")
        first, *data = done.stdout.decode().splitlines()
        assert first == "OK"
        return data

    def debian(self, remote: bool, *calls: tuple[str, dict[str, str]]) -> list[object]:
        """What functions of Debian's x2gobroker.agent return, in SSH or LOCAL mode."""
        where = {
            "hostname": "127.0.0.1",
            "hostaddr": "127.0.0.1",
            "port": self.sshd.port,
            "host_key_policy": "RejectPolicy",
        }
        command = INSTALLED if remote else str(self.agent)
        argument = json.dumps([command, where if remote else None, calls])
        account = self.broker.name if remote else BROKER_ACCOUNT
        done = subprocess.run(
            ["/usr/bin/python3", "-W", "ignore", "-c", DEBIAN_CALL, argument],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            cwd="/",
            user=account,
            group=account,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.broker.home), "LOGNAME": account, "LANG": "C.UTF-8"},
        )
        answers = re.search("^ANSWERS(.*)", done.stdout, re.MULTILINE)
        assert answers, done.stdout + done.stderr
        found: list[object] = json.loads(answers[1])
        return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The agent, installed, behind an sshd."""
    folder = tmp_path_factory.mktemp("agent")
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(our_agent())
        broker = stack.enter_context(account_with_home(secrets.token_hex(8)))
        line = forced_key(agent, make_key(folder / "id_rsa", "rsa"))
        daemon = stack.enter_context(sshd(folder / "sshd", authorized={BROKER_ACCOUNT: line}))
        (folder / "known_hosts").write_text(daemon.host_key_lines("127.0.0.1"), encoding="ascii")
        settings = broker.home / ".ssh"
        settings.mkdir(mode=0o700)
        for name in ("id_rsa", "known_hosts"):
            shutil.copy(folder / name, settings / name)
        subprocess.run(["chown", "-R", broker.name, str(settings)], check=True, timeout=20)
        found = Host(agent, daemon, folder, broker)
        yield found
        end = ["ssh", *found.connection, "-p", str(daemon.port), "-O", "exit", f"{BROKER_ACCOUNT}@127.0.0.1"]
        subprocess.run(end, capture_output=True, timeout=20, check=False)


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    """A user of the X2Go Server."""
    with account_with_home(secrets.token_hex(8)) as made:
        yield made


def test_tasks_that_change_nothing(host: Host, user: Account) -> None:
    assert host.answer("nobody", "ping") == []
    assert host.answer("nobody", "availabletasks") == [
        "availabletasks",
        "addauthkey",
        "delauthkey",
        "listsessions",
        "findbusyservers",
        "findbusyservers_by_sessionstats",
        "checkload",
        "getservers",
        "suspendsession",
        "terminatesession",
        "report",
        "watch",
    ]
    assert host.answer(user.name, "listsessions") == []
    figures = dict(line.split(":") for line in host.answer("nobody", "checkload"))
    assert list(figures) == ["loadavgXX", "memAvail", "myMemAvail", "numCPU", "typeCPU", "numSessions"]
    for line in host.answer(user.name, "getservers"):
        assert re.fullmatch(r"\S+ \d+", line)


@pytest.mark.reference
def test_load_figures_are_those_of_debians_agent(host: Host) -> None:
    said = subprocess.run([INSTALLED, "nobody", "checkload"], capture_output=True, text=True, timeout=30, check=True)
    theirs = dict(line.split(":") for line in said.stdout.splitlines()[1:])
    ours = dict(line.split(":") for line in host.answer("nobody", "checkload"))
    assert (ours["numCPU"], ours["typeCPU"]) == (theirs["numCPU"], theirs["typeCPU"])
    for name in ("memAvail", "myMemAvail"):
        assert int(ours[name]) == pytest.approx(int(theirs[name]), rel=0.1, abs=100)


@pytest.mark.reference
@pytest.mark.parametrize("remote", [True, False], ids=["ssh", "local"])
def test_debians_broker_gets_along_with_it(host: Host, user: Account, remote: bool, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "rsa")
    line = f"no-X11-forwarding,no-pty,no-user-rc {key}"
    name = {"username": user.name}
    pinged, tasks, listed, added = host.debian(
        remote,
        ("ping", {}),
        ("availabletasks", name),
        ("listsessions", name),
        ("add_authorized_key", {**name, "pubkey_hash": line}),
    )
    assert pinged is True
    assert isinstance(tasks, list)
    assert "suspendsession" in tasks[1]
    assert listed == [True, []]
    assert added == [True, []]
    file = user.home / ".x2go/authorized_keys"
    assert key.split()[1] in file.read_text()
    removed, refused = host.debian(
        remote,
        ("delete_authorized_key", {**name, "pubkey_hash": line}),
        ("add_authorized_key", {**name, "pubkey_hash": "ssh-rsa AAAA"}),
    )
    assert removed == [True, []]
    assert refused == [False, []]
    assert file.read_bytes() == b""


@pytest.mark.reference
def test_debians_broker_reckons_with_its_load(host: Host) -> None:
    (factor,) = host.debian(True, ("checkload", {}))
    assert isinstance(factor, int)
    assert factor > 0


@pytest.mark.parametrize(
    "command",
    [
        "ping' && touch MARK",
        "ping | touch MARK",
        "ping; touch MARK",
        "ping `touch MARK`",
        "ping $(touch MARK)",
        "ping & touch MARK",
        "ping\ntouch MARK",
        "ping > MARK",
        'addauthkey "$(touch MARK)" MARK',
        "addauthkey 'ssh-rsa AAAA' '%h/$(touch MARK)'",
        "suspendsession '$(touch MARK)'",
        "suspendsession '|touch MARK'",
        "suspendsession -x",
        "listsessions --all-servers",
        "report --all-servers",
        "watch",
        "watch 0",
        "watch 3601",
        "watch 1e2",
        "watch 5 5",
        "x" * 60000,
    ],
)
@pytest.mark.parametrize("form", ["{agent} {user} {command}", "sh -c '{agent} {user} {command}'"], ids=["plain", "sh"])
def test_attacks_do_nothing_but_fail(host: Host, user: Account, form: str, command: str) -> None:
    mark = Path("/tmp") / f"mark-{secrets.token_hex(8)}"
    text = form.format(agent=INSTALLED, user=user.name, command=command).replace("MARK", str(mark))
    done = host.ssh(text)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"x2gobroker-agent: ")
    assert done.stderr.count(b"\n") == 1
    assert not mark.exists()


@pytest.mark.parametrize(
    "command",
    [
        b"id",
        b"/bin/sh",
        b"sh -c id",
        b"scp -f /etc/passwd",
        INSTALLED.encode() + b" root listsessions",
        INSTALLED.encode() + b" x2gobroker listsessions",
        INSTALLED.encode() + b" no-such-user listsessions",
        INSTALLED.encode() + b" ../anna ping",
        INSTALLED.encode() + b" \xff\xfe ping",
        INSTALLED.encode() + b" anna addauthkey \xff\xfe x",
        INSTALLED.encode() + b" anna addauthkey ssh-rsa",
        INSTALLED.encode() + b" anna",
        INSTALLED.encode(),
    ],
)
def test_other_commands_fail(host: Host, command: bytes) -> None:
    done = host.ssh(command)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.count(b"\n") == 1


def test_the_account_has_no_shell_and_no_files(host: Host) -> None:
    argv = host.connection
    there = f"{BROKER_ACCOUNT}@127.0.0.1"
    shell = subprocess.run(
        ["ssh", *argv, "-p", str(host.sshd.port), there],
        input=b"id\n",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (shell.returncode, shell.stdout) == (1, b"")
    files = subprocess.run(
        ["sftp", *argv, "-P", str(host.sshd.port), there], input=b"ls\n", capture_output=True, timeout=30, check=False
    )
    assert files.returncode == 255
    assert files.stdout == b""


def test_words_under_sudo_come_from_the_command_alone(host: Host) -> None:
    """Even where sudo lets this variable through."""
    environment = {"PATH": "/usr/bin:/bin", "SUDO_UID": "102", "SSH_ORIGINAL_COMMAND": f"{INSTALLED} nobody ping"}
    done = subprocess.run([host.agent], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    # as root by a key of root's own, without sudo, they are taken, and checked in the same way
    del environment["SUDO_UID"]
    done = subprocess.run([host.agent], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "OK\n")
    environment["SSH_ORIGINAL_COMMAND"] = "/bin/sh -c id"
    done = subprocess.run([host.agent], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_without_the_rule_it_says_what_is_missing(user: Account) -> None:
    with our_agent(sudo=False) as agent:
        done = as_broker(agent, user.name, "listsessions")
        assert (done.returncode, done.stdout) == (1, "")
        assert "sudo does not let this account run" in done.stderr
        assert done.stderr.count("\n") == 1
        assert as_broker(agent, user.name, "ping").stdout == "OK\n"


def as_broker(agent: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it as the broker's account does in mode LOCAL."""
    return subprocess.run(
        [agent, *words],
        user=BROKER_ACCOUNT,
        group=BROKER_ACCOUNT,
        extra_groups=[],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_others_may_not_use_it(host: Host, user: Account) -> None:
    done = subprocess.run(
        [host.agent, user.name, "listsessions"],
        user=user.name,
        group=user.name,
        extra_groups=[],
        env={},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_a_host_without_x2goserver_takes_keys_and_tells_its_load(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], user: Account, tmp_path: Path
) -> None:
    """In this process, as root: only where the programs are looked for is changed."""
    monkeypatch.setitem(agent_module.ENVIRONMENT, "PATH", str(tmp_path))

    def said(*words: str) -> tuple[int, str, str]:
        return agent_module.main(words), *capfd.readouterr()

    assert said("nobody", "availabletasks") == (0, "OK\navailabletasks\naddauthkey\ndelauthkey\ncheckload\n", "")
    assert said("nobody", "ping") == (0, "OK\n", "")
    assert said(user.name, "addauthkey", make_key(tmp_path / "key"), ".x2go/authorized_keys_proxy") == (0, "OK\n", "")
    assert (user.home / ".x2go/authorized_keys_proxy").exists()
    status, output, _ = said("nobody", "checkload")
    assert (status, "numSessions" in output) == (0, False)
    status, output, errors = said(user.name, "listsessions")
    assert (status, output) == (1, "")
    assert "x2goserver is not installed" in errors


def test_a_hanging_program_has_a_deadline(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], user: Account, tmp_path: Path
) -> None:
    """x2golistsessions that waits for ever, for example for its database, which cannot be read without it."""
    folder = Path("/tmp") / f"slow-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o755)
    try:
        slow = folder / "x2golistsessions"
        slow.write_text(f"#!/bin/sh\nid -un; id -Gn\n[ -e {folder}/quick ] || exec sleep 60\n", encoding="ascii")
        slow.chmod(0o755)
        monkeypatch.setitem(agent_module.ENVIRONMENT, "PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.setattr(agent_module, "LIST_SECONDS", 0.5)
        monkeypatch.setattr(agent_module, "database_backend", lambda: "other")
        assert agent_module.main([user.name, "listsessions"]) == 1
        trouble = "x2golistsessions took longer than 0.5 s; and without it: "
        why = "a session database of the kind 'other' is not known"
        assert capfd.readouterr() == ("", f"x2gobroker-agent: {trouble}{why}\n")
        (folder / "quick").touch()
        assert agent_module.main([user.name, "listsessions"]) == 0
        assert capfd.readouterr().out == f"OK\n{user.name}\n{user.name}\n"
    finally:
        shutil.rmtree(folder)
    assert os.geteuid() == 0


def test_the_rule_is_right_in_the_eyes_of_sudo(host: Host) -> None:
    rule = SOURCE.parents[2] / "etc/sudoers.d/x2gobroker-agent"
    checked = subprocess.run(["visudo", "-c", "-f", rule], capture_output=True, text=True, timeout=20, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    listed = subprocess.run(
        ["sudo", "-l", "-U", BROKER_ACCOUNT], capture_output=True, text=True, timeout=20, check=True
    ).stdout
    assert f"(root) NOPASSWD: {host.agent}\n" in listed
    assert sys.executable not in listed
    assert socket.gethostname() in listed
