"""A real PulseAudio of a client account: with a sink that nobody hears, whose samples can be recorded."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.accounts import Account, account_with_home
from tests.support.processes import Program, wait_until

SINK = "testsink"
COMMAND_DEADLINE = 20.0
RATE = 44100


@dataclass
class SoundServer:
    """A running PulseAudio, and how programs of its user reach it."""

    account: Account
    program: Program

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the user's programs."""
        return environment(self.account)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return runtime_folder(self.account) / "pulse" / "native"

    def pactl(self, *words: str) -> str:
        """Ask it something, as its user; fails with pactl's message."""
        done = as_user(self.account, "pactl", *words, env=self.environment)
        assert done.returncode == 0, f"pactl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def loudest(self, seconds: float) -> int:
        """Record what is played for so long; the greatest sample, of 32767 at most."""
        argv = ["parec", "-d", f"{SINK}.monitor", "--format=s16le", "--channels=1", f"--rate={RATE}", "--raw"]
        wanted = int(seconds * RATE) * 2
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, env=self.environment, user=self.account.name, group=self.account.name
        ) as recorder:
            assert recorder.stdout is not None
            data = recorder.stdout.read(wanted)  # PulseAudio delivers silence as well
            recorder.terminate()
        samples = memoryview(data[: len(data) // 2 * 2]).cast("h")
        return max(abs(sample) for sample in samples)


def runtime_folder(account: Account) -> Path:
    """Where the sockets of this account's programs are."""
    return account.home / "runtime"


def environment(account: Account) -> dict[str, str]:
    """A small, fixed environment for programs of this account."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(account.home),
        "XDG_RUNTIME_DIR": str(runtime_folder(account)),
        "LC_ALL": "C.UTF-8",
    }


def as_user(account: Account, *argv: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program as this account."""
    return subprocess.run(
        argv,
        user=account.name,
        group=account.name,
        extra_groups=[],
        cwd="/",
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_DEADLINE,
        check=False,
    )


@contextlib.contextmanager
def sound_account() -> Iterator[Account]:
    """An account with a runtime folder, as a login manager would have made it. Needs root."""
    with account_with_home("no-one-logs-in-here") as account:
        folder = runtime_folder(account)
        folder.mkdir(mode=0o700)
        owner = account.home.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        yield account


@contextlib.contextmanager
def sound_server(folder: Path, account: Account, *modules: str) -> Iterator[SoundServer]:
    """PulseAudio with the null sink and `modules`, for the length of a `with` block."""
    wanted = (f"module-null-sink sink_name={SINK} rate={RATE}", *(modules or ("module-native-protocol-unix",)))
    argv = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=yes", "--exit-idle-time=-1", "--log-target=stderr"]
    argv += [word for module in wanted for word in ("-L", module)]
    program = Program(argv, folder / "pulseaudio.log", env=environment(account), cwd=account.home, user=account.name)
    server = SoundServer(account, program)
    try:
        if not modules:
            wait_until(server.socket.exists, "a socket of PulseAudio")
            assert SINK in server.pactl("list", "short", "sinks")
        yield server
    finally:
        program.stop()
