"""Whether a directory that fails is told from a wrong password: the authentication service with pam_ldap and with SSSD.

For `in_root.sh`: it changes the system that it runs in. It prints what each PAM stack says while the directory answers,
refuses connections, hangs, cannot be reached, and answers again, and fails where a stack that is documented as one that
tells the two apart does not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.authservice import AuthService
from tests.support.processes import Program, listens, wait_until
from x2gobroker.errors import AuthMechanismError

HOST, PORT = "10.99.0.1", 389
TABLE = "7"
PASSWORD, WRONG = "right & proper", "wrong & improper"
SEEN, FRESH = "seen", "fresh"  # one has logged in before, the other not
LONGEST_ANSWER = 40.0  # the service's own deadline is 30
COMES_BACK_SECONDS = 240.0
GRANTED, REFUSED, CANNOT_CHECK = "granted", "refused", "cannot check"
SLAPD = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
database mdb
suffix dc=example
directory {folder}/data
"""
ENTRY = """\
dn: uid={name},dc=example
objectClass: account
objectClass: posixAccount
objectClass: shadowAccount
cn: {name}
uid: {name}
uidNumber: {number}
gidNumber: 100
homeDirectory: /nonexistent
userPassword: {password}

"""
NSLCD = f"uid nslcd\ngid nslcd\nuri ldap://{HOST}/\nbase dc=example\n"
SSSD = f"""\
[sssd]
services = nss, pam
domains = example
[domain/example]
id_provider = ldap
auth_provider = ldap
access_provider = permit
ldap_uri = ldap://{HOST}/
ldap_search_base = dc=example
ldap_id_use_start_tls = false
ldap_auth_disable_tls_never_use_in_production = true
cache_credentials = false
"""
ACCOUNT = "account required pam_permit.so\n"
UNIX_FIRST = "auth [success=done default=ignore] pam_unix.so\n"
DIE = "[success=done authinfo_unavail=die cred_unavail=die system_err=die default=ignore]"
DENY = "auth requisite pam_deny.so\n"
Check = Callable[[str, str, str], tuple[str, str, float]]


def common(module: str) -> str:
    """A stack as Debian's `pam-auth-update` writes it into common-auth."""
    return (
        "auth [success=2 default=ignore] pam_unix.so\n"
        f"auth [success=1 default=ignore] {module} use_first_pass\n"
        f"{DENY}auth required pam_permit.so\n{ACCOUNT}"
    )


@dataclass(frozen=True)
class Stack:
    """How users are found and checked: PAM services by their names, and the daemon that they ask."""

    nsswitch: str
    daemon: list[str]
    services: Mapping[str, str]
    apart: tuple[str, ...]  # the services that tell a failing directory from a wrong password
    config: Mapping[str, str] = field(default_factory=dict)
    strangers: bool = True  # also for users whom the daemon has never looked up
    lists_all: bool = False  # the daemon has them all


SSSD_FILE, SSSD_PROGRAM = "/etc/sssd/sssd.conf", ["/usr/sbin/sssd", "-i"]
SSS_SERVICES = {
    "sss-alone": f"auth required pam_sss.so\n{ACCOUNT}",
    "sss-common": common("pam_sss.so"),
    "sss-written-out": f"{UNIX_FIRST}auth {DIE} pam_sss.so use_first_pass\n{DENY}{ACCOUNT}",
}
SSS_APART = ("sss-alone", "sss-written-out")
STACKS = {
    "ldap": Stack(
        "ldap",
        ["/usr/sbin/nslcd", "-n"],
        {
            "ldap-alone": f"auth required pam_ldap.so\n{ACCOUNT}",
            "ldap-common": common("pam_ldap.so minimum_uid=1000"),
            "ldap-written-out": f"{UNIX_FIRST}auth {DIE} pam_ldap.so use_first_pass\n{DENY}{ACCOUNT}",
        },
        ("ldap-alone", "ldap-common", "ldap-written-out"),
        {"/etc/nslcd.conf": NSLCD},
    ),
    "sss": Stack("sss", SSSD_PROGRAM, SSS_SERVICES, SSS_APART, {SSSD_FILE: SSSD}, strangers=False),
    "sss-enumerate": Stack(
        "sss", SSSD_PROGRAM, SSS_SERVICES, SSS_APART, {SSSD_FILE: f"{SSSD}enumerate = true\n"}, lists_all=True
    ),
}


class Directory:
    """A slapd that can be stopped, held, and cut off."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data").mkdir(parents=True)
        (folder / "slapd.conf").write_text(SLAPD.format(folder=folder))
        users = "".join(
            ENTRY.format(name=name, number=3000 + number, password=PASSWORD)
            for number, name in enumerate((SEEN, FRESH))
        )
        top = "dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n\n"
        command("slapadd", "-f", str(folder / "slapd.conf"), given=top + users)
        self.program: Program | None = None

    def start(self) -> None:
        argv = ["/usr/sbin/slapd", "-d", "0", "-f", str(self.folder / "slapd.conf"), "-h", f"ldap://{HOST}/"]
        self.program = Program(argv, self.folder / "log")
        wait_until(lambda: listens(PORT, HOST), "slapd listening")

    def stop(self) -> None:
        assert self.program is not None
        self.program.stop(signal.SIGKILL)

    def signal(self, how: signal.Signals) -> None:
        assert self.program is not None
        os.kill(self.program.pid, how)


def command(*words: str, given: str = "") -> None:
    """Run a program that has to work."""
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


@contextlib.contextmanager
def stopped(directory: Directory) -> Iterator[None]:
    """Nobody listens: connections are refused."""
    directory.stop()
    yield
    directory.start()


@contextlib.contextmanager
def hanging(directory: Directory) -> Iterator[None]:
    """Connections come about, and nobody answers."""
    directory.signal(signal.SIGSTOP)
    yield
    directory.signal(signal.SIGCONT)


@contextlib.contextmanager
def without_route(_directory: Directory) -> Iterator[None]:
    """The network says at once that there is no way, also to connections that there are."""
    with routed("blackhole", HOST):
        yield


@contextlib.contextmanager
def lost(_directory: Directory) -> Iterator[None]:
    """What is sent there gets lost on the way, and nobody says so."""
    with routed(HOST, "dev", "lost"):
        yield


@contextlib.contextmanager
def routed(*way: str) -> Iterator[None]:
    """Packets to the directory go this way, and not to the address of this host that it is."""
    command("ip", "route", "add", *way, "table", TABLE)
    command("ip", "rule", "add", "pref", "0", "to", HOST, "lookup", TABLE)
    yield
    command("ip", "rule", "del", "pref", "0")
    command("ip", "route", "flush", "table", TABLE)


def make_network() -> None:
    """The address of the directory, and what `routed` needs: local addresses are looked up second."""
    command("ip", "link", "set", "lo", "up")
    command("ip", "address", "add", f"{HOST}/32", "dev", "lo")
    command("ip", "link", "add", "lost", "type", "veth", "peer", "name", "nobody")
    command("ip", "link", "set", "lost", "arp", "off", "up")
    command("ip", "link", "set", "nobody", "up")
    command("ip", "rule", "add", "pref", "1", "from", "all", "lookup", "local")
    command("ip", "rule", "del", "pref", "0")


STATES = {"refuses connections": stopped, "hangs": hanging, "has no route": without_route, "is lost": lost}


def checked(service: AuthService) -> Check:
    """Asks the authentication service: what it says, why, and after how many seconds."""

    def check(name: str, user: str, password: str) -> tuple[str, str, float]:
        began = time.monotonic()
        try:
            answer = service.client(LONGEST_ANSWER + 10).authenticate(name, user, password)
            said, why = (GRANTED if answer.granted else REFUSED), answer.reason
        except AuthMechanismError as error:
            said, why = CANNOT_CHECK, str(error)
        return said, why, time.monotonic() - began

    return check


def listed() -> str:
    """All users that the name service lists."""
    return subprocess.run(["getent", "passwd"], capture_output=True, text=True, timeout=60, check=False).stdout


def play(stack: Stack, directory: Directory, folder: Path) -> list[str]:
    """Everything with one stack; what should not be."""
    faults: list[str] = []
    for path, text in stack.config.items():
        Path(path).write_text(text)
        Path(path).chmod(0o600)
    files = Path("/etc/nsswitch.conf").read_text()
    lines = [line for line in files.splitlines() if line.partition(":")[0] not in ("passwd", "group", "shadow")]
    lines += [f"{name}: files {stack.nsswitch}" for name in ("passwd", "group", "shadow")]
    Path("/etc/nsswitch.conf").write_text("\n".join(lines) + "\n")
    for name, text in stack.services.items():
        Path("/etc/pam.d", name).write_text(text)
    for place in ("db", "mc"):  # what the daemon knows from before
        for known in Path("/var/lib/sss", place).glob("*"):
            known.unlink()
    log = folder / "daemon.log"
    daemon = Program(stack.daemon, log)
    try:
        with contextlib.redirect_stdout(sys.stderr), AuthService(*stack.services) as service:
            check = checked(service)

            def ask_all(state: str, right: str, wrong: str, users: tuple[str, ...] = (SEEN, FRESH)) -> None:
                asked = [
                    (name, user, password)
                    for name in stack.services
                    for user in users
                    for password in (PASSWORD, WRONG)
                ]
                with ThreadPoolExecutor(len(asked)) as pool:
                    answers = list(pool.map(lambda one: check(*one), asked))
                for (name, user, password), (said, why, took) in zip(asked, answers, strict=True):
                    wanted = right if password == PASSWORD else wrong
                    good = said == wanted and took < LONGEST_ANSWER
                    word = "right" if password == PASSWORD else "wrong"
                    print(
                        f"{state:20} {name:18} {user:6} {word:6} {said:13} {took:5.1f} s  {why}",
                        file=sys.__stdout__,
                        flush=True,
                    )
                    if not good and name in stack.apart and (stack.strangers or user == SEEN or state == "answers"):
                        faults.append(f"{state}: {name}, {user}, {word} password: {said}, {took:.1f} s")

            def lets_in() -> bool:
                assert daemon.process.poll() is None, daemon.output()
                time.sleep(1)
                return all(check(name, SEEN, PASSWORD)[0] == GRANTED for name in stack.services)

            wait_until(lets_in, f"logins by {stack.daemon[0]}", COMES_BACK_SECONDS)
            if stack.lists_all:
                wait_until(lambda: FRESH in listed(), "all users in the cache of the daemon", COMES_BACK_SECONDS)
            ask_all("answers", GRANTED, REFUSED, (SEEN,))
            for state, failing in STATES.items():
                with failing(directory):
                    ask_all(state, CANNOT_CHECK, CANNOT_CHECK)
                began = time.monotonic()
                wait_until(lets_in, f"logins after {state}", COMES_BACK_SECONDS)
                print(f"{'answers again':20} after {time.monotonic() - began:.0f} s", file=sys.__stdout__, flush=True)
            ask_all("answers", GRANTED, REFUSED)
            daemon.stop()
            ask_all("has no daemon", CANNOT_CHECK, CANNOT_CHECK)
    finally:
        daemon.stop()
        if faults:
            print(log.read_text(errors="replace")[-3000:])
    return faults


def main() -> int:
    """Play the stacks that the command line names, or all."""
    if os.getpid() > 200 or Path("/etc/nslcd.conf").exists() is False:
        print("run it by in_root.sh: it changes /etc", file=sys.stderr)
        return 2
    make_network()
    folder = Path("/run/trial")
    directory = Directory(folder)
    for place in ("nslcd", "sssd"):
        Path("/run", place).mkdir(exist_ok=True)
    shutil.chown("/run/nslcd", "nslcd", "nslcd")
    faults = []
    directory.start()
    try:
        for name in sys.argv[1:] or list(STACKS):
            faults += play(STACKS[name], directory, folder)
    finally:
        directory.stop()
    print("\n".join(faults) or "all as documented")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
