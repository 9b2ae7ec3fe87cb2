"""A real X2Go Server on loopback: x2goserver with its SQLite session database, an sshd of its own, real users.

The session database, the host's name and /tmp are the machine's: all X2Go Servers of a machine share them, and one
`x2gocleansessions` serves them all. What belongs to this server's users is gone at the end.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.accounts import Account, account_with_home
from tests.support.client_home import ClientHome
from tests.support.desktop import Desktop
from tests.support.processes import Program, running, wait_until
from tests.support.sshd import Sshd, sshd

DATABASE = Path("/var/lib/x2go/x2go_sessions")
SQL_SETTINGS = Path("/etc/x2go/x2gosql/sql")
HOSTS = Path("/etc/hosts")
COMMAND_DEADLINE = 60.0
CLEANER = "x2gocleansessions"
GATE = "X2GO_CLEANER_GATE"
# The pause between two rounds of the cleaner, which lasts as long as there is a file `rest`, and otherwise six seconds
# instead of two: a round starts four programs and two more for each session, a third of what these tests would take.
GATE_MODULE = """\
package Gate;
BEGIN {
    delete @ENV{qw(PERL5OPT PERL5LIB)};
    my $folder = $ENV{X2GO_CLEANER_GATE};
    *CORE::GLOBAL::sleep = sub {
        for (my $pauses = 3 * 20 * $_[0]; $pauses > 0; $pauses--) {
            while (-e "$folder/rest") {
                open(my $told, '>', "$folder/resting");
                select(undef, undef, undef, 0.05);
            }
            unlink "$folder/resting";
            select(undef, undef, undef, 0.05);
        }
        return $_[0];
    };
}
1;
"""
PASSWORDS = ("Erstes-w0rt+1", "Zweites&w0rt=2", "Drittes:w0rt%3")  # they go through forms, too

# Notes every command and runs it unchanged, in the same place of the process tree: the shell that sshd would start.
RECORDER = """\
#!/bin/sh
[ -n "$SSH_ORIGINAL_COMMAND" ] || exec "$SHELL" -l
printf '%s\\n' "$SSH_ORIGINAL_COMMAND" >>"$HOME/.recorded-commands"
export BASH_ENV="${0%/*}/ports"
exec "$SHELL" -c "$SSH_ORIGINAL_COMMAND"
"""
# X2Go Client listens on a session's port plus 1000 and gives up when that is taken. Here client and server are one
# machine: such ports have to stay clear of those that outgoing connections take.
PORTS = """\
case "$0" in */x2gogetrandomport) echo "$((30000 + RANDOM % 900))"; exit 0 ;; esac
"""
SSHD_SETTINGS = """\
AuthorizedKeysFile .ssh/authorized_keys .x2go/authorized_keys
PasswordAuthentication yes
AllowTcpForwarding yes
PrintMotd no
MaxStartups 100
Subsystem sftp /usr/lib/openssh/sftp-server
"""


@dataclass
class RunningSession:
    """A session with a client side: the X2Go proxy, connected to the session's agent and drawing on a desktop."""

    server: X2GoServer
    user: Account
    name: str
    agent: int
    proxy: Program

    @property
    def state(self) -> str:
        """`R`, `S` or what else the session database says; empty when it has no such session."""
        return self.server.states(self.user).get(self.name, "")

    def drop_client(self) -> None:
        """End the client side, and wait until the server has noticed: the session is suspended then."""
        self.proxy.stop()
        self.server.wait_for_state(self.user, self.name, "S")

    def terminate(self) -> None:
        """End the session and wait until the session database has forgotten it."""
        self.server.run(self.user, f"x2goterminate-session {self.name}")
        self.proxy.stop()
        wait_until(lambda: not self.state, f"the end of session {self.name}")


@dataclass
class X2GoServer:
    """A running X2Go Server: `name` is what it calls itself, 127.0.0.1 and `port` where its sshd listens."""

    name: str
    sshd: Sshd
    users: list[Account]
    folder: Path
    _clients: list[Program] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port of its sshd."""
        return self.sshd.port

    def known_hosts(self, *names: str) -> str:
        """Lines of a known_hosts file: its host keys under these names, by default all that lead to it."""
        return "".join(self.sshd.host_key_lines(name) for name in names or ("127.0.0.1", "localhost", self.name))

    def ssh(self, user: Account, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a client would: by SSH, with a key of this user's."""
        options = [f"UserKnownHostsFile={self.folder / 'known_hosts'}", "BatchMode=yes", "IdentitiesOnly=yes"]
        argv = ["ssh", "-F", "none", *(word for option in options for word in ("-o", option))]
        argv += ["-i", str(self.folder / "key"), "-p", str(self.port), f"{user.name}@127.0.0.1", command]
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False
        )

    def run(self, user: Account, command: str) -> str:
        """The same for a command that has to work: what it prints."""
        done = self.ssh(user, command)
        assert done.returncode == 0, f"{command} gave {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def list_sessions(self, user: Account) -> list[str]:
        """The user's sessions as x2golistsessions prints them. It corrects the database while it reads."""
        return self.run(user, "x2golistsessions").splitlines()

    def states(self, user: Account) -> dict[str, str]:
        """The user's sessions and their states, read from the session database without changing anything."""
        with contextlib.closing(sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True, timeout=10)) as database:
            rows = database.execute("SELECT session_id, status FROM sessions WHERE uname = ?", (user.name,)).fetchall()
        return {str(name): str(status) for name, status in rows if status != "F"}

    def wait_for_state(self, user: Account, name: str, state: str) -> None:
        """Wait until the session database has this session in this state; `` for gone."""
        wait_until(lambda: self.states(user).get(name, "") == state, f"session {name} in state {state!r}")

    def wait_for_no_session(self, user: Account) -> None:
        """Wait until the session database has none of the user's. The cleaner may write down once more what it had read
        of one before its end; it takes that back in its next round.
        """
        wait_until(lambda: self.states(user) == {}, f"no session of {user.name}")

    def commands(self, user: Account) -> list[str]:
        """The commands that clients ran by SSH as this user, in order."""
        path = user.home / ".recorded-commands"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def start_session(
        self, user: Account, desktop: Desktop, home: ClientHome, command: str = "xterm"
    ) -> RunningSession:
        """Start a session with one terminal and connect the X2Go proxy of `home` to it, without a client program.

        The proxy connects to the agent's port without a tunnel: client and server are one machine. The shell in the
        terminal gives the window its title; who suspends a session before that, resumes it under another title.
        """
        title = f"{user.name}@{self.name}"

        def windows() -> int:
            return sum(title in name for name in desktop.windows().values())

        before = windows()
        words = f"800x600 lan 16m-jpeg-9 unix-kde-depth_24 us auto 0 R {command} both"
        said = self.run(user, f"x2gostartagent {words}").splitlines()
        assert len(said) >= 7, f"x2gostartagent said {said}"
        display, cookie, agent, name, port, sound = said[:6]
        proxy = self._proxy(desktop, home, f"cookie={cookie},port={port}", display)
        session = RunningSession(self, user, name, int(agent), proxy)
        wait_until(lambda: self.agent_state(user, name) == "RUNNING", f"a proxy connected to session {name}")
        quiet = "1>/dev/null 2>/dev/null"
        self.run(user, f"setsid x2goruncommand {display} {agent} {name} {sound} {command} nosnd R {quiet} & exit")
        wait_until(lambda: windows() > before, f"a window {title!r}")
        return session

    def resume_session(self, session: RunningSession, desktop: Desktop, home: ClientHome) -> None:
        """Connect another proxy to a session: takes it over when it is running."""
        line = next(line for line in self.list_sessions(session.user) if f"|{session.name}|" in line).split("|")
        with cleaner_at_rest():
            said = self.run(session.user, f"x2goresume-session {session.name} 800x600 lan 16m-jpeg-9 us auto 0 both")
        port = re.search(r"^gr_port=(\d+)$", said, re.MULTILINE)
        assert port, f"x2goresume-session said {said}"
        session.proxy = self._proxy(desktop, home, f"cookie={line[6]},port={port[1]}", line[2])
        wait_until(lambda: self.agent_state(session.user, session.name) == "RUNNING", f"{session.name} resumed")
        self.wait_for_state(session.user, session.name, "R")

    def agent_state(self, user: Account, name: str) -> str:
        """What the session's agent says of itself: STARTING RUNNING SUSPENDING SUSPENDED RESUMING TERMINATING ..."""
        path = user.home / ".x2go" / f"C-{name}" / "state"
        return path.read_text(encoding="ascii").strip() if path.exists() else ""

    def _proxy(self, desktop: Desktop, home: ClientHome, options: str, display: str) -> Program:
        folder = Path(tempfile.mkdtemp(prefix="proxy-", dir=home.path))
        if home.account is not None:
            shutil.chown(folder, home.account, home.account)
        argv = ["nxproxy", "-S", f"nx/nx,retry=5,connect=127.0.0.1,{options},errors={folder / 'errors'}:{display}"]
        environment = {**home.environment_on(desktop), "NX_ROOT": str(folder), "NX_CLIENT": "/bin/true"}
        proxy = Program(argv, self.folder / "proxy.log", env=environment, user=home.account, cwd=home.path)
        self._clients.append(proxy)
        return proxy

    def end_sessions(self, user: Account) -> None:
        """Terminate all sessions of this user and wait until the session database has forgotten them."""
        for name in self.states(user):
            self.run(user, f"x2goterminate-session {name}")
        wait_until(lambda: not self.states(user), f"the end of the sessions of {user.name}")

    def close(self) -> None:
        """End what was started through this object."""
        for proxy in self._clients:
            proxy.stop()


def while_it_waits(check: Callable[[], None], seconds: float) -> None:
    """Start a session that no client comes to, and look at it: once more where it ended by itself meanwhile.

    Its agent waits for a minute, and x2gocleansessions believes for half a minute in one that is gone. A busy machine
    may take longer for what `check` does; `seconds` is when that begins to be possible.
    """
    for _ in range(5):
        begun = time.monotonic()
        try:
            return check()
        except (AssertionError, ValueError):
            if time.monotonic() - begun < seconds:
                raise
    raise AssertionError(f"this machine does not do in {seconds:g} s what is looked at here")


@contextlib.contextmanager
def x2go_server(
    folder: Path, users: int = 1, authorized: Mapping[str, str] | None = None, config: str = ""
) -> Iterator[X2GoServer]:
    """An X2Go Server for the length of a `with` block, with so many users of its own. Needs root.

    `authorized` are key lines of further accounts, by account; `config` further lines of sshd_config.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_machine())
        accounts = [stack.enter_context(_x2go_user(password)) for password in PASSWORDS[:users]]
        key = _key(folder)
        for user in accounts:
            _owned_file(user, ".ssh/authorized_keys", key)
        names = ",".join(user.name for user in accounts)
        settings = f"{config}\n{SSHD_SETTINGS}Match User {names}\n    ForceCommand {_recorder(stack)}\n"
        daemon = stack.enter_context(sshd(folder, authorized=authorized or {}, config=settings))
        server = X2GoServer(socket.gethostname(), daemon, accounts, folder)
        (folder / "known_hosts").write_text(server.known_hosts(), encoding="ascii")
        stack.callback(server.close)
        yield server


def _recorder(stack: contextlib.ExitStack) -> Path:
    """The program that runs the users' commands, in a folder that every account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="x2go-server-"))
    stack.callback(shutil.rmtree, folder)
    folder.chmod(0o755)
    (folder / "ports").write_text(PORTS, encoding="ascii")
    recorder = folder / "recorder"
    recorder.write_text(RECORDER, encoding="ascii")
    recorder.chmod(0o755)
    return recorder


def _key(folder: Path) -> str:
    """A new key pair, for use by `X2GoServer.ssh`; its public line."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True, timeout=20)
    return (folder / "key.pub").read_text(encoding="ascii")


def _owned_file(user: Account, name: str, text: str) -> None:
    """A file in the user's home, with its folder, as sshd's StrictModes wants them."""
    path = user.home / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text, encoding="ascii")
    path.chmod(0o600)
    for made in (path, path.parent):
        shutil.chown(made, user.name, user.name)


@contextlib.contextmanager
def _x2go_user(password: str) -> Iterator[Account]:
    """An account whose sessions, and what these leave on the machine, are gone afterwards."""
    with contextlib.ExitStack() as last, account_with_home(password) as user:
        last.callback(_remove_traces, user.name, user.home.stat().st_uid)
        try:
            yield user
        finally:
            _end_agents(user)


def _remove_traces(name: str, number: int) -> None:
    """Remove what the sessions of a former user left behind: rows of the database, sockets."""
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=20)) as database, database:
        mounts = "DELETE FROM mounts WHERE session_id IN (SELECT session_id FROM sessions WHERE uname = ?)"
        database.execute(mounts, (name,))  # the database refuses to forget sessions that have any
        database.execute("DELETE FROM sessions WHERE uname = ?", (name,))
    for left in Path("/tmp/.X11-unix").iterdir():
        if left.lstat().st_uid == number:
            left.unlink()


def _end_agents(user: Account) -> None:
    """Terminate the user's sessions, so that their agents tidy up; what is left of them is killed afterwards."""
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=20)) as database:
        rows = database.execute("SELECT session_id FROM sessions WHERE uname = ?", (user.name,)).fetchall()
    for (name,) in rows:
        subprocess.run(
            ["x2goterminate-session", str(name)],
            user=user.name,
            group=user.name,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "HOME": str(user.home), "USER": user.name, "LOGNAME": user.name},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_DEADLINE,
            check=False,
        )


@contextlib.contextmanager
def _machine() -> Iterator[None]:
    """What x2goserver expects of a machine and an init system would have done."""
    name = socket.gethostname()
    assert name not in ("", "localhost", "(none)"), "x2goserver wants a host with a name: set one with hostname(1)"
    assert re.search(r"^backend\s*=\s*sqlite", SQL_SETTINGS.read_text(encoding="utf-8"), re.MULTILINE), SQL_SETTINGS
    if not DATABASE.exists():  # --createdb would empty one that is there
        subprocess.run(["x2godbadmin", "--createdb"], check=True, capture_output=True, timeout=COMMAND_DEADLINE)
    for folder in ("/tmp/.X11-unix", "/tmp/.ICE-unix"):
        Path(folder).mkdir(exist_ok=True)
        Path(folder).chmod(0o1777)
    with _resolvable(name), _cleaner():
        yield


@contextlib.contextmanager
def _resolvable(name: str) -> Iterator[None]:
    """The host knows its own name."""
    before = HOSTS.read_text(encoding="utf-8")
    known = subprocess.run(["getent", "hosts", name], capture_output=True, timeout=COMMAND_DEADLINE, check=False)
    if known.returncode == 0:
        yield
        return
    HOSTS.write_text(f"{before.rstrip()}\n127.0.0.1 {name}\n", encoding="utf-8")
    try:
        yield
    finally:
        HOSTS.write_text(before, encoding="utf-8")


def _cleaners() -> list[int]:
    """Process IDs of the x2gocleansessions that can be seen here."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended this moment
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if any(os.path.basename(word) == CLEANER.encode() for word in words[:2]):
                found.append(int(entry.name))
    return found


def _gates() -> set[Path]:
    """The folders at which the cleaners of these tests look between two rounds."""
    found = set()
    for number in _cleaners():
        with contextlib.suppress(OSError):  # it ended this moment
            words = Path(f"/proc/{number}/environ").read_bytes().decode().split("\0")
            found |= {Path(word.partition("=")[2]) for word in words if word.startswith(f"{GATE}=")}
    return found


@contextlib.contextmanager
def cleaner_at_rest() -> Iterator[None]:
    """No cleaner of these tests works for the length of a `with` block; they begin to rest between two rounds.

    One that has read of a session that it is suspended, and then finds its agent running, because a client resumed it
    this moment, suspends it again: X2Go Server's own race, in one of ten resumes.
    """
    with contextlib.ExitStack() as stack:
        for gate in _gates():
            stack.callback((gate / "rest").unlink)
            (gate / "rest").touch()
            wait_until((gate / "resting").exists, f"a pause of {CLEANER}")
        yield


@contextlib.contextmanager
def _cleaner() -> Iterator[None]:
    """x2gocleansessions, the daemon of x2goserver; of which a machine has one."""
    if _cleaners():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="x2go-cleaner-") as folder:
        (Path(folder) / "Gate.pm").write_text(GATE_MODULE, encoding="ascii")
        environment = {**os.environ, "PERL5LIB": folder, "PERL5OPT": "-MGate", GATE: folder}
        with running(["/usr/sbin/x2gocleansessions", "--debug"], Path(folder) / "log", env=environment):
            yield
