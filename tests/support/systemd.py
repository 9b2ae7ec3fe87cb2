"""A real systemd on a copy of this machine, in a room of the tests: units as administrators have them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.installation import copy_checkout, installation
from tests.support.processes import Program, wait_until

BOOT = Path(__file__).with_suffix("").parent / "systemd_boot.sh"
CGROUPS = Path("/sys/fs/cgroup")
SOURCE = "/usr/src/x2gobroker"
PACKAGES = "/usr/lib/python-packages"
COMMAND_DEADLINE = 120.0
_UNSHARE = ("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
# A shell makes the group of its first argument the root of a hierarchy, and goes on outside of it, as the rest: systemd
# wants to have that root for itself.
_ROOT = """\
outside=/sys/fs/cgroup$(sed -n s,^0::,,p /proc/self/cgroup)
echo 0 >"$1/cgroup.procs"
exec unshare --cgroup bash -ec 'echo 0 >"$1/cgroup.procs"; shift; exec "$@"' root "$outside" "${@:2}"
"""
_ENTER = ("-m", "-p", "-u", "-i", "-C", "-r", "-w")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    # there is no network: dependencies are in PACKAGES
    "PIP_NO_INDEX": "1",
    "PIP_NO_BUILD_ISOLATION": "false",  # pip takes it for "without"
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PIP_QUIET": "2",
}


class Machine:
    """A booted system. Its processes have a view of their own; its network is that of the test.

    `place` is the folder in it where commands run, `variables` their environment.
    """

    def __init__(
        self, program: Program, init: int, place: str = SOURCE, variables: Mapping[str, str] = _ENVIRONMENT
    ) -> None:
        self._program = program
        self._init = init
        self._place = place
        self._variables = dict(variables)

    def console(self) -> str:
        """What systemd itself said."""
        return self._program.output()

    def call(self, *words: str, stdin: str = "", seconds: float = COMMAND_DEADLINE) -> subprocess.CompletedProcess[str]:
        """Run a command there, as root, in the folder of the project's source; it may take so many seconds."""
        return subprocess.run(
            ["nsenter", "-t", str(self._init), *_ENTER, "--", "env", "-C", self._place, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=self._variables,
        )

    def run(self, *words: str, stdin: str = "", seconds: float = COMMAND_DEADLINE) -> str:
        """The same for a command that has to work: what it prints."""
        done = self.call(*words, stdin=stdin, seconds=seconds)
        assert done.returncode == 0, (
            f"{words} gave {done.returncode}: {done.stdout}{done.stderr}\n{self.journal()[-6000:]}\n{self.failures()}"
        )
        return done.stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file there, and the folders above."""
        self.run("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path, stdin=text)

    def put(self, path: Path, place: str) -> None:
        """Copy a file into it, and make the folders above."""
        with path.open("rb") as stream:
            done = subprocess.run(
                ["nsenter", "-t", str(self._init), *_ENTER, "--", "install", "-D", "-m", "644", "/dev/stdin", place],
                stdin=stream,
                capture_output=True,
                timeout=COMMAND_DEADLINE,
                check=False,
                env=self._variables,
            )
        assert done.returncode == 0, done.stderr

    def journal(self, unit: str = "") -> str:
        """What the journal has, of one unit or of all."""
        return self.call("journalctl", "--no-pager", "-o", "short-monotonic", *(("-u", unit) if unit else ())).stdout

    def failures(self) -> str:
        """How units of ours are, and what systemd itself said."""
        return (
            self.call("systemctl", "status", "--no-pager", "--lines=0", "x2gobroker-*").stdout + self.console()[-2000:]
        )

    def state(self, unit: str) -> dict[str, str]:
        """How a unit is: ActiveState, SubState, Result, ExecMainStatus, MainPID."""
        names = "ActiveState,SubState,Result,ExecMainStatus,MainPID,NRestarts"
        lines = self.run("systemctl", "show", "-p", names, unit).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def owners(self, *folders: str) -> dict[str, str]:
        """Owner, group and mode of folders and of all that is in them."""
        lines = self.run("find", *folders, "-printf", r"%p %u:%g %m\n").splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def processes(self, *units: str) -> list[int]:
        """IDs of all processes of units, as the machine has them."""
        groups = [self.run("systemctl", "show", "-p", "ControlGroup", "--value", unit).strip() for unit in units]
        files = [f"/sys/fs/cgroup{group}/cgroup.procs" for group in groups if group]
        return [int(word) for word in self.run("cat", *files).split()]

    def memory(self, *units: str) -> float:
        """MB that the processes of units have, memory that they share counted once."""
        files = [f"/proc/{process}/smaps_rollup" for process in self.processes(*units)]
        lines = self.call("grep", "-h", "^Pss:", *files).stdout.splitlines()
        return sum(int(line.split()[1]) for line in lines) / 1024

    def follow(self, page: Path, heading: str) -> Iterator[str]:
        """Do what a page says below a heading, in its first block of commands: each of them, after it has worked."""
        text = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
        block = text.partition("```console\n")[2].partition("```")[0]
        lines = [line[2:] for line in block.splitlines() if line.startswith("# ")]
        assert lines, f"{page.name} has no commands under {heading}"
        for line in lines:
            if not line.startswith("apt-get "):  # there is no network
                self.run("bash", "-c", line)
            yield line


def _init_of(program: Program) -> int:
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children")
    assert program.process.poll() is None, program.output()
    found = children.read_text().split() if children.exists() else []
    if not found or Path(f"/proc/{found[0]}/comm").read_text().strip() != "systemd":
        return 0
    return int(found[0])


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """Boot, until everything that is to start has started; it ends with the `with` block."""
    source, root = folder / "source", folder / "machine"
    copy_checkout(source)
    root.mkdir()
    packages = next((installation("www-data").venv / "lib").glob("python3*")) / "site-packages"
    with booted(folder, ("bash", str(BOOT), str(root), str(source), str(packages))) as made:
        yield made


@contextlib.contextmanager
def booted(
    folder: Path, argv: Sequence[str], place: str = SOURCE, variables: Mapping[str, str] = _ENVIRONMENT
) -> Iterator[Machine]:
    """What `argv` boots, in namespaces and a cgroup of its own; `folder` is for its console."""
    group = CGROUPS / f"machine-{os.getpid()}"
    assert (CGROUPS / "cgroup.procs").exists(), "systemd needs cgroup v2: run this by `python -m tests.rooms`"
    group.mkdir(exist_ok=True)
    enter = ("bash", "-ec", _ROOT, "enter", str(group))
    program = Program([*enter, *_UNSHARE, *argv], folder / "console")
    try:
        wait_until(lambda: _init_of(program) > 0, "systemd being started")
        made = Machine(program, _init_of(program), place, variables)
        wait_until(
            lambda: made.call("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), "the boot"
        )
        yield made
    finally:
        program.stop(signal.SIGKILL)
        print(program.output())
