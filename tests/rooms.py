"""Run the whole suite in rooms: each file of integration tests in namespaces of its own, several at a time.

A machine has one session database of X2Go, one list of accounts, one /tmp, one loopback interface. A room has its own:
mounts, processes, network, devices, host name, cgroups. What one file of tests does to accounts, displays or ports,
no other one sees. What this machine has in its environment, and in /etc about accounts, names and logins, no test sees:
tests/room/ has what it finds instead.

Usage: python -m tests.rooms [-j ROOMS] [PATH ...]   (as root; paths as for pytest, by default all tests)
       python -m tests.rooms --module MODULE [ARGUMENT ...]   (something else in a room, such as a benchmark)

A batch that fails is run once more when nothing else runs any more, its failed tests alone: these start hundreds of
real programs on machines of any speed. What passes then is named in the summary as unsteady.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.room.cgroups import group, in_private_mounts, mount_hierarchy, processor_seconds
from tests.room.environment import room_environment
from tests.support.installation import READY, checkout_fault, install_into

TESTS = Path(__file__).parent
SCRIPT = TESTS / "room" / "room.sh"
BATCH_DEADLINE = 1800.0
# These install packages, as a site would: they have the machine's network.
WITH_NETWORK = frozenset(
    {
        "debian13",
        "test_third_party_backend.py",
        "test_ssh_paramiko_versions.py",
        "test_booted_install.py",
        "test_booted_pages.py",
        "test_booted_release.py",
        "test_booted_upgrade.py",
        "test_booted_swap.py",
        "test_booted_tutorial.py",
    }
)
OTHER_ACCOUNT = "www-data"  # programs run as other accounts as well: where these cannot read the checkout, a copy
IN_PARTS = {"unit": 2}  # folders that would be the last to be ready
# The longest come first, so that none of them is left over at the end.
LONGEST_FIRST = (
    "debian13",
    "unit-1",
    "unit-2",
    "lint",
    "test_portal_accessibility.py",
    "test_systemd_units.py",
    "test_x2go_command.py",
    "test_agent_server_inventory.py",
    "test_inventory_watch.py",
    "test_portal_sound.py",
    "test_x2go_tutorial.py",
    "test_sessions_x2goclient.py",
    "test_brokers_killed.py",
    "test_x2go_session_life.py",
    "test_portal_desktop.py",
    "test_daemon_slow_clients.py",
    "test_portal_apache.py",
    "test_portal_files.py",
    "test_portal_input.py",
    "test_failures_seen_by_users.py",
    "test_portal_words.py",
    "test_x2go_sessions_bad_days.py",
    "test_portal_looks.py",
    "test_x2go_hostile_server.py",
    "test_user_sessions.py",
    "test_x2go_listing.py",
    "web",
    "test_privilege_commands.py",
    "test_real_clients_x2goclient.py",
    "test_real_clients_pyhoca.py",
    "test_portal_touchpad.py",
    "test_authservice_bad_days.py",
    "compat",
    "test_portal_x2go.py",
    "docs",
)
_COUNTS = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)\b")
RUNNING: list[subprocess.Popen[str]] = []  # what Ctrl-C does not reach
_UNSHARE = ("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass
class Batch:
    """Some tests that run in one process, in a room. Times are in seconds; `processor` is that of all processes."""

    name: str
    paths: list[str]
    network: bool = False
    seconds: float = 0.0
    processor: float = 0.0
    status: int = -1
    outputs: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> bool:
        """Whether its last run failed."""
        return self.status != 0


def batches(paths: Sequence[str]) -> list[Batch]:
    """The batches for these paths: a file of integration tests is one, every other folder is one."""
    found: list[Batch] = []
    for text in paths or [str(TESTS)]:
        path = Path(text.partition("::")[0]).resolve()
        if "::" in text or path.is_file():
            found.append(Batch(path.name, [text]))
        elif path == TESTS:
            found += batches([str(folder) for folder in sorted(TESTS.iterdir()) if any(folder.glob("test_*.py"))])
        elif path.name == "integration":
            found += batches([str(file) for file in sorted(path.glob("test_*.py"))])
        elif path.name in IN_PARTS:
            files = [str(file) for file in sorted(path.glob("test_*.py"))]
            parts = IN_PARTS[path.name]
            found += [Batch(f"{path.name}-{part + 1}", files[part::parts]) for part in range(parts)]
        else:
            found.append(Batch(path.name, [str(path)]))
    for batch in found:
        batch.network = batch.name in WITH_NETWORK
    order = {name: number for number, name in enumerate(LONGEST_FIRST)}
    return sorted(found, key=lambda batch: order.get(batch.name, len(order)))


def run(batch: Batch, folder: Path, cgroup: Path | None, again: bool = False) -> None:
    """Run a batch in a new room below `folder` and `cgroup`; `again`: only what failed in its last run."""
    room = Path(tempfile.mkdtemp(prefix=f"{batch.name.removesuffix('.py')}-", dir=folder))
    room.chmod(0o755)
    began = time.monotonic()
    with group(cgroup, room.name) as (enter, variables):
        argv = [*enter, *_into_room(room, batch.network), *_pytest(batch, folder, again)]
        output = _output_of(batch, argv, variables)
        batch.processor += processor_seconds(cgroup, room.name)
    batch.seconds += time.monotonic() - began
    batch.outputs.append(output)
    last = output.rstrip().rpartition("\n")[2]
    counts = Counter({word.removesuffix("s"): int(number) for number, word in _COUNTS.findall(last)})
    batch.counts = batch.counts - Counter(failed=batch.counts["failed"], error=batch.counts["error"]) + counts
    shutil.rmtree(room, ignore_errors=True)


def _into_room(room: Path, network: bool) -> list[str]:
    """The words before a command that runs in a new room, in a folder of its own."""
    argv = ["env", "--default-signal", *_UNSHARE]  # a shell that starts things in the background ignores SIGINT
    argv += [] if network else ["--net"]
    return [*argv, "bash", str(SCRIPT), str(room), sys.executable]


def _pytest(batch: Batch, folder: Path, again: bool) -> list[str]:
    argv = ["-m", "pytest", "-q", "-o", f"cache_dir={folder / 'cache' / batch.name}"]
    # looking for plug-ins takes half a second for each room; none of these tests has properties
    argv += ["--disable-plugin-autoload"] if all("integration" in Path(path).parts for path in batch.paths) else []
    argv += ["--last-failed", "--last-failed-no-failures=all"] if again else []
    return [*argv, *batch.paths]


def run_module(words: Sequence[str], folder: Path, cgroup: Path | None) -> int:
    """Run `python -m WORDS...` in a room, without tests around it; its exit status."""
    room = folder / "room"
    room.mkdir()
    with group(cgroup, room.name) as (enter, variables):
        argv = [*enter, *_into_room(room, network=False), "-m", *words]
        return subprocess.run(
            argv, cwd=TESTS.parent, env=room_environment(os.environ, network=False) | variables, check=False
        ).returncode


def _output_of(batch: Batch, argv: list[str], variables: dict[str, str]) -> str:
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=TESTS.parent,
        env=room_environment(os.environ, batch.network) | variables,
        start_new_session=True,  # the kernel gives each session its share; else all rooms share that of this process
    )
    RUNNING.append(process)
    try:
        output, _ = process.communicate(timeout=BATCH_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        output = f"{process.communicate()[0]}\nnot ready after {BATCH_DEADLINE:g} s: ended\n"
    finally:
        RUNNING.remove(process)
    batch.status = process.returncode
    return output


class Progress:
    """Lines for whoever waits."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def tell(self, batch: Batch) -> None:
        """A batch has ended."""
        with self._lock:
            self._done += 1
            result = "FAILED" if batch.failed else "ok"
            counts = ", ".join(f"{number} {word}" for word, number in sorted(batch.counts.items()))
            since = time.monotonic() - self._began
            print(
                f"[{since:4.0f} s] {self._done:3}/{self._total} {result:6} {batch.name}: {counts}"
                f" in {batch.seconds:.0f} s, {batch.processor:.0f} s of processor",
                flush=True,
            )
            if batch.failed:
                print(batch.outputs[-1], flush=True)


def _prepare(folder: Path) -> None:
    """Make the folder fit for rooms, with an installation for other accounts where they need one."""
    folder.chmod(0o755)
    if checkout_fault(OTHER_ACCOUNT):
        (folder / "installed").mkdir()
        install_into(folder / "installed")
        os.environ[READY] = str(folder / "installed")


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 when no test failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.rooms", description="Run the tests, each file in a room.")
    parser.add_argument("-j", "--rooms", type=int, default=(os.cpu_count() or 1) + 3, help="how many at a time")
    parser.add_argument("paths", nargs="*", help="files and folders of tests; by default all")
    parser.add_argument(
        "--module", nargs=argparse.REMAINDER, help="a module and its arguments, to be run in a room instead"
    )
    options = parser.parse_args(argv)
    if os.geteuid() != 0:
        print("The tests make accounts and start real servers: run them as root.", file=sys.stderr)
        return 2
    in_private_mounts(sys.argv[1:] if argv is None else argv)
    os.umask(0o022)
    todo = batches(options.paths)
    cgroup = mount_hierarchy()
    progress = Progress(len(todo))
    folder = Path(tempfile.mkdtemp(prefix="x2gobroker-rooms-", dir="/var/tmp"))

    def work(batch: Batch) -> None:
        run(batch, folder, cgroup)
        progress.tell(batch)

    began = time.monotonic()
    try:
        _prepare(folder)
        if options.module:
            return run_module(options.module, folder, cgroup)
        with ThreadPoolExecutor(options.rooms) as pool:
            try:
                list(pool.map(work, todo))
            except BaseException:  # Ctrl-C
                pool.shutdown(wait=False, cancel_futures=True)
                for process in RUNNING:
                    process.kill()
                raise
        second = [batch for batch in todo if batch.failed]
        for batch in second:
            print(f"once more, alone: {batch.name}", flush=True)
            run(batch, folder, cgroup, again=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _summary(todo, second, time.monotonic() - began)


def _summary(todo: list[Batch], second: list[Batch], seconds: float) -> int:
    failed = [batch for batch in second if batch.failed]
    for batch in failed:
        print(batch.outputs[-1])
    for batch in second:
        if not batch.failed:
            print(f"unsteady, passed only when run alone: {batch.name}")
    for batch in failed:
        print(f"FAILED twice: {batch.name}")
    counts: Counter[str] = sum((batch.counts for batch in todo), Counter())
    told = ", ".join(f"{number} {word}" for word, number in sorted(counts.items(), reverse=True))
    processor = sum(batch.processor for batch in todo)
    print(f"{told} in {len(todo)} rooms, {seconds:.0f} s, {processor:.0f} s of processor")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
