"""The sound of desktops, with a real PulseAudio for each: from a user's program to what goes to a browser."""

from __future__ import annotations

import array
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account, account_with_home, processes_of
from tests.support.files_page import ClosedError, FilesPage
from tests.support.processes import wait_until
from tests.support.remote_types import left, one_type
from tests.support.tones import RATE, strength, write_tone
from x2gobroker.privilege import account_named, read_message
from x2gobroker.remote import kept
from x2gobroker.remote.crossing import FROM_SOUND
from x2gobroker.remote.hold import NAMESPACE
from x2gobroker.remote.kept import KeptDesktop
from x2gobroker.remote.loader import realize
from x2gobroker.remote.sound.messages import FULL
from x2gobroker.remote.sound.process import fork_sound

SECONDS = 30
Start = Callable[..., KeptDesktop]
LOOK = """env > ~/found.new; mv ~/found.new ~/found; exec sleep 600"""


@pytest.fixture
def user() -> Iterator[Account]:
    with account_with_home("Remote-sound-1") as made:
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of the service, for its state and for tones."""
    made = Path(tempfile.mkdtemp(prefix="x2gt-sound-"))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture
def start(folder: Path, user: Account) -> Iterator[Start]:
    """Start desktops of the user. At the end nothing is left of them."""
    made: list[KeptDesktop] = []
    state = folder / "state"

    def one(*command: str, sound: bool = True) -> KeptDesktop:
        kind = one_type(folder, "tigervnc.py", name=f"Desk {len(made)}", command=list(command))
        script = realize(kind, 0, state)
        assert isinstance(script, KeptDesktop)
        script._wants_sound = sound
        script._pam_service = ""
        made.append(script)
        started = script.start("token", options={"username": user.name, "size": "640x480", "arguments": []})
        assert started, [path.read_text() for path in state.glob("*.last-log")]
        return script

    try:
        yield one
    finally:
        for script in made:
            assert script.stop()
        wait_until(lambda: not processes_of(user.name), "the end of all desktops")
        assert left(state) == []


class Ear:
    """A page that hears a desktop."""

    def __init__(self, script: KeptDesktop, user: Account) -> None:
        source = script.sound_source()
        assert source is not None
        self.forked = fork_sound(account_named(user.name), source)
        self.page = FilesPage(self.forked.connection)
        self._chunks = 0

    def hear(self, seconds: float) -> list[int]:
        """So much of what is played, as samples of one channel."""
        found: list[int] = []
        while len(found) < RATE * seconds:
            chunk = self.page.hear()
            if isinstance(chunk, dict):
                assert chunk == {"do": "quiet"}
                continue
            self._chunks += 1
            self.page.say("taken", chunks=self._chunks)
            samples = array.array("h", chunk[1:])
            # this machine may be busy: then less is sent
            found += samples[::2] if chunk[0] == FULL else [value for one in samples for value in (one, one)]
        return found

    def close(self) -> None:
        """Go away; the process ends well."""
        self.page.close()
        self.forked.reports.close()
        assert os.waitpid(self.forked.pid, 0)[1] == 0


def clearest(samples: list[int], *frequencies: float) -> float:
    """Which of these tones is the loudest by far."""
    found = sorted((strength(samples, frequency), frequency) for frequency in frequencies)
    assert found[-1][0] > 1000, found
    assert found[-1][0] > 10 * found[-2][0], found
    return found[-1][1]


def test_what_a_program_plays_comes_out_of_its_desktop_alone(start: Start, user: Account, folder: Path) -> None:
    low, high = (write_tone(folder / f"{hertz}.raw", hertz, SECONDS) for hertz in (440, 1000))
    first, second = start(*low), start(*high)
    one, other = Ear(first, user), Ear(second, user)
    assert clearest(one.hear(0.5), 440, 1000, 3000) == 440
    assert clearest(other.hear(0.5), 440, 1000, 3000) == 1000
    one.close()
    other.close()


def test_its_programs_know_where_it_is_and_start_none_of_their_own(start: Start, user: Account) -> None:
    script = start("bash", "-c", f"pulseaudio --start > ~/said 2>&1; pactl info >> ~/said 2>&1; {LOOK}")
    path = user.home / "found"
    wait_until(path.exists, "the desktop having looked")
    lines = path.read_text().splitlines()
    source = script.sound_source()
    assert source is not None
    assert f"PULSE_SERVER={source['server']}" in lines
    socket = Path(source["server"].removeprefix("unix:"))
    assert (socket.owner(), socket.stat().st_mode & 0o777) == (user.name, 0o600)
    said = (user.home / "said").read_text()
    assert "refusing to start" in said
    assert "Default Sink: browser" in said
    assert len([number for number in processes_of(user.name) if name_of(number) == "pulseaudio"]) == 1


def test_without_sound_there_is_no_server(start: Start, user: Account) -> None:
    script = start("bash", "-c", LOOK, sound=False)
    path = user.home / "found"
    wait_until(path.exists, "the desktop having looked")
    assert "PULSE_SERVER" not in path.read_text()
    assert script.sound_source() is None
    assert not [number for number in processes_of(user.name) if name_of(number) == "pulseaudio"]


def test_in_a_namespace_of_processes(
    start: Start, user: Account, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no control groups, the recorder sees other numbers of processes than the server."""
    monkeypatch.setattr(kept, "HOLDS", (NAMESPACE,))
    ear = Ear(start(*write_tone(folder / "tone.raw", 440, SECONDS)), user)
    assert clearest(ear.hear(0.5), 440, 1000) == 440
    ear.close()


def test_silence_costs_nothing_and_a_sound_comes_soon(start: Start, user: Account, folder: Path) -> None:
    script = start("sleep", "600")
    ear = Ear(script, user)
    ear.page.channel.settimeout(2)
    with pytest.raises(TimeoutError):
        ear.page.hear()
    ear.page.channel.settimeout(60)
    source = script.sound_source()
    assert source is not None
    words = write_tone(folder / "tone.raw", 440, SECONDS)
    environment = {"PULSE_SERVER": source["server"], "HOME": str(user.home), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(words, env=environment, user=user.name, group=user.name) as playing:
        assert clearest(ear.hear(0.3), 440, 1000) == 440
        playing.terminate()
    ear.close()


@pytest.mark.parametrize("end", ["server", "desktop"])
def test_the_end_of_the_server(start: Start, user: Account, folder: Path, end: str) -> None:
    script = start(*write_tone(folder / "tone.raw", 440, SECONDS))
    ear = Ear(script, user)
    ear.hear(0.1)
    if end == "server":
        for number in processes_of(user.name):
            if name_of(number) == "pulseaudio":
                os.kill(number, signal.SIGKILL)
    else:
        assert script.stop()
    with pytest.raises(ClosedError):
        while (found := ear.page.hear()) != {"do": "none"}:
            assert isinstance(found, bytes) or found == {"do": "quiet"}
        ear.page.hear()
    assert read_message(ear.forked.reports.recv(1 << 13), FROM_SOUND) == {"do": "ended"}
    ear.close()
    if end == "server":  # and whoever comes then is told at once
        again = Ear(script, user)
        assert again.page.hear() == {"do": "none"}
        reason = read_message(again.forked.reports.recv(1 << 13), FROM_SOUND)["reason"]
        assert "nothing can be recorded from unix:" in reason
        assert "refused" in reason
        again.close()


def test_the_process_is_the_user_and_leaves_no_recorder(start: Start, user: Account) -> None:
    ear = Ear(start("sleep", "600"), user)
    wait_until(lambda: "parec" in [name_of(number) for number in processes_of(user.name)], "a recorder")
    status = Path(f"/proc/{ear.forked.pid}/status").read_text()
    assert status.split("Uid:")[1].split()[:4] == [str(account_named(user.name).uid)] * 4
    assert int(status.split("CapEff:")[1].split()[0], 16) == 0
    assert os.stat(f"/proc/{ear.forked.pid}/mem").st_uid == 0  # no debugger of its user gets at it
    (number,) = (number for number in processes_of(user.name) if name_of(number) == "parec")
    os.kill(ear.forked.pid, signal.SIGKILL)
    os.waitpid(ear.forked.pid, 0)
    wait_until(lambda: not Path(f"/proc/{number}").exists(), "the end of the recorder")
    ear.page.close()
    ear.forked.reports.close()


def name_of(number: int) -> str:
    """The name of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{number}/comm").read_text().strip()
    except OSError:
        return ""
