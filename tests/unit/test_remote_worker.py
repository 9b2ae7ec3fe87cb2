"""The privileged half of x2gobroker-remote with a hostile service: what does not follow the grammar is refused, and
what does gets no further than the file of session types and its own notes lead.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.processes import wait_until
from tests.support.remote_folders import passable_folder
from tests.support.remote_types import write_script, write_types
from x2gobroker.privilege import MessageError, read_message
from x2gobroker.remote.crossing import FROM_WORKER, TO_SPAWNER, TO_WORKER
from x2gobroker.remote.places import Place, PlaceFile
from x2gobroker.remote.runner import fork_spawner
from x2gobroker.remote.types import SessionType, read_types_trusted
from x2gobroker.remote.worker import LARGEST_MESSAGE, Means
from x2gobroker.remote.workers import Worker, WorkerError

TOKEN = "0123456789abcdef"
OTHER_TOKEN = "f" * 16
START = {"do": "start", "token": TOKEN, "milliseconds": 1000, "username": "x2gt-anna", "size": "800x600"}
# notes each call, and has its "VNC server" where a site's script would: at a port that the test listens on
SCRIPT = """\
import asyncio
import json
from nexus_remote_service import RemoteServiceScript


class Noting(RemoteServiceScript):
    def note(self, *words):
        with open(self._common_options["notes"], "a") as stream:
            stream.write(json.dumps(words) + "\\n")

    def start(self, token, timestamp=None, options={}):
        self.note("start", token, timestamp, options)
        self.progress("a\\x1b[31mred\\nword" + "x" * 500)
        self.set_host_port("127.0.0.1", self._common_options["port"])
        self.set_password("Vnc-pw-1")
        return super().start(token, timestamp, options)

    def stop(self):
        self.note("stop")
        return super().stop()


def realize_service(name="", count=1, index=0, common_options=dict()):
    return Noting(name, count=count, index=index, common_options=common_options)
"""


@dataclass
class Half:
    """The privileged half, and the socket that a service which was taken over holds."""

    control: socket.socket
    folder: Path
    notes: Path
    vnc: socket.socket
    number: int = 0

    def worker(self, type_name: str = "Desk", index: int = 0) -> socket.socket:
        """A worker's channel."""
        self.number += 1
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            message = {"do": "worker", "id": self.number, "type": type_name, "number": index}
            socket.send_fds(self.control, [json.dumps(message).encode()], [theirs.fileno()])
        mine.settimeout(20)
        return mine

    def noted(self) -> list[list[Any]]:
        """What the script was called for, since the last time."""
        lines = self.notes.read_text(encoding="utf-8").splitlines() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


def answer_of(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next answer that is no progress; each one follows the grammar."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, LARGEST_MESSAGE, 4)
        found = read_message(data, FROM_WORKER)
        if found["do"] != "progress":
            return found, descriptors


def ask(channel: socket.socket, **message: Any) -> tuple[dict[str, Any], list[int]]:
    """The answer to a message."""
    channel.send(json.dumps(message).encode())
    return answer_of(channel)


@pytest.fixture(scope="module")
def half() -> Iterator[Half]:
    """One privileged half with a session type `Desk` of two places, and one for `x2gt-bert` only."""
    with passable_folder() as folder, socket.create_server(("127.0.0.1", 0)) as vnc:
        options = {"notes": str(folder / "notes"), "port": vnc.getsockname()[1], "sizes": ["800x600"]}
        kind = {"script": "noting.py", "count": 2, "options": options, "arguments": {"ALL": ["--of-the-file"]}}
        more = {"Berts": {**kind, "users": ["x2gt-bert"]}, "Files": {**kind, "files": "both"}}
        more["Sound"] = {**kind, "sound": "out"}
        path = write_types(folder, {"Desk": kind, **more})
        write_script(folder, "noting", SCRIPT)

        def find_type(name: str) -> SessionType:
            return read_types_trusted(path, {0}).types[name]

        (folder / "state").mkdir(mode=0o711)
        pid, control = fork_spawner(Means(find_type, folder / "state", stranger="daemon"))
        control.setblocking(True)
        try:
            yield Half(control, folder, folder / "notes", vnc)
        finally:
            control.close()
            assert os.waitpid(pid, 0)[1] == 0  # whatever was sent: it has ended in its own good time


@pytest.fixture(autouse=True)
def forgotten(half: Half) -> None:
    """Nothing is known of a test before."""
    half.notes.unlink(missing_ok=True)
    for note in (half.folder / "state").iterdir():
        note.unlink()


def values() -> st.SearchStrategy[Any]:
    words = st.sampled_from(["", TOKEN, "root", "postgres", "../x", "-e", "800x600", "99999x99999", "Desk", "a\0b"])
    simple = st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=20)
    return st.recursive(
        simple, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5
    )


def messages(kinds: list[str], fields: list[str]) -> st.SearchStrategy[bytes]:
    """Objects that are nearly right, other JSON, and bytes of any kind."""
    nearly = st.builds(
        lambda kind, rest: json.dumps({"do": kind, **rest}).encode(),
        st.sampled_from(kinds) | values(),
        st.dictionaries(st.sampled_from(fields), values(), max_size=6),
    )
    return nearly | values().map(lambda value: json.dumps(value).encode()) | st.binary(min_size=1, max_size=200)


# what the messages had until the privileged half computed all of it
OLD = ["known", "options", "arguments", "host", "port", "unix", "password", "timestamp"]
SIXTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SIXTY
@given(messages([*TO_WORKER, "worker", "end"], ["token", "milliseconds", "username", "size", *OLD]))
@example(json.dumps({"do": "connect", "known": {"unix": "/run/dbus/system_bus_socket"}, "username": "root"}).encode())
@example(json.dumps({**START, "options": {"username": "postgres", "arguments": ["-e", "evil"]}}).encode())
@example(json.dumps({**START, "username": "a/../b"}).encode())
@example(json.dumps({**START, "milliseconds": 1.5}).encode())
@example(b'{"do": "stop", "do": "start"}')
@example(b"[" * 60000)
def test_a_worker_refuses_what_is_not_in_its_grammar(half: Half, data: bytes) -> None:
    try:
        read_message(data, TO_WORKER)
    except MessageError:
        expected = True
    else:
        expected = False
    with half.worker() as channel:
        channel.send(data)
        answer, descriptors = answer_of(channel)
        if expected:
            assert (answer["do"], descriptors) == ("refused", [])
            assert half.noted() == []
    half.noted()
    PlaceFile(half.folder / "state", "Desk", 0).remove()


@SIXTY
@given(messages([*TO_SPAWNER, *TO_WORKER], ["id", "type", "number", "group", *OLD]))
@example(b"[" * 60000)
@example(json.dumps({"do": "worker", "id": 1, "type": "Desk", "number": 0}).encode())
@example(json.dumps({"do": "end", "id": 1 << 52, "group": True}).encode())
@example(json.dumps({"do": "end", "id": "1; kill -9 -1", "group": True}).encode())
def test_a_spawner_lives_on_whatever_it_is_sent(half: Half, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        half.control.send(data)
        socket.send_fds(half.control, [data], [other.fileno()])
    with half.worker() as channel:
        nothing = {"alive": False, "locked": False, "memory": False, "why": ""}
        assert ask(channel, do="poll")[0] == {"do": "polled", **nothing}


def test_a_script_gets_what_the_file_says(half: Half) -> None:
    with half.worker() as channel:
        answer, _ = ask(channel, **START)
        assert answer == {"do": "started", "host": "127.0.0.1", "port": half.vnc.getsockname()[1], "unix": ""}
        options = {"username": "x2gt-anna", "size": "800x600", "arguments": ["--of-the-file"]}
        assert half.noted() == [["start", TOKEN, 1.0, options]]
        ask(channel, do="stop")


@pytest.mark.parametrize("user", ["root", "daemon", "www-data", "nobody"])
def test_no_account_of_the_system_gets_a_session(half: Half, user: str) -> None:
    with half.worker() as channel:
        answer, _ = ask(channel, **{**START, "username": user})
        assert answer["do"] == "refused"
        assert "system account" in answer["reason"]
        assert half.noted() == []


@pytest.mark.parametrize(
    ("type_name", "index", "said"),
    [("Berts", 0, "not for x2gt-anna"), ("Desk", 2, "has 2 places"), ("Nothing", 0, "KeyError")],
)
def test_types_places_and_users_are_those_of_the_file(half: Half, type_name: str, index: int, said: str) -> None:
    with half.worker(type_name, index) as channel:
        answer, _ = ask(channel, **START)
        assert answer["do"] == "refused"
        assert said in answer["reason"]
        assert half.noted() == []


def test_a_connection_leads_where_the_script_said_for_this_use_of_the_slot(half: Half) -> None:
    with half.worker() as channel:
        assert ask(channel, do="connect", token=TOKEN)[0]["do"] == "refused"
        ask(channel, **START)
        assert ask(channel, do="connect", token=OTHER_TOKEN)[0]["do"] == "refused"
    with half.worker() as again:  # a worker that is made anew knows it by the notes of the first one
        answer, descriptors = ask(again, do="connect", token=TOKEN)
        assert answer == {"do": "connected", "asks": True, "password": "Vnc-pw-1"}
        with socket.socket(fileno=descriptors[0]) as connected:
            assert connected.getpeername() == half.vnc.getsockname()
        ask(again, do="stop")
        ask(again, do="poll")


@pytest.mark.parametrize(
    ("type_name", "user", "token", "said"),
    [
        ("Files", "x2gt-anna", OTHER_TOKEN, "no desktop runs here for that use"),
        ("Desk", "x2gt-anna", TOKEN, "lets no files in or out"),
        ("Files", "x2gt-anna", TOKEN, "there is no user 'x2gt-anna'"),
        ("Files", "root", TOKEN, "system account"),
        ("Files", "daemon", TOKEN, "system account"),
    ],
)
def test_files_are_those_of_who_has_the_desktop(half: Half, type_name: str, user: str, token: str, said: str) -> None:
    """And where the file lets them in or out; no name of an account, folder or rule comes from the service."""
    PlaceFile(half.folder / "state", type_name, 0).write(Place(TOKEN, user, "127.0.0.1", half.vnc.getsockname()[1]))
    with half.worker(type_name) as channel:
        answer, descriptors = ask(channel, do="files", token=token)
        assert answer["do"] == "refused"
        assert said in answer["reason"]
        assert descriptors == []


@pytest.mark.parametrize(
    ("type_name", "user", "token", "said"),
    [
        ("Sound", "x2gt-anna", OTHER_TOKEN, "no desktop runs here for that use"),
        ("Desk", "x2gt-anna", TOKEN, "lets no sound out"),
        ("Sound", "x2gt-anna", TOKEN, "no sound server"),  # its script starts no desktop that could have one
        ("Sound", "root", TOKEN, "system account"),
    ],
)
def test_sound_is_that_of_who_has_the_desktop(half: Half, type_name: str, user: str, token: str, said: str) -> None:
    PlaceFile(half.folder / "state", type_name, 0).write(Place(TOKEN, user, "127.0.0.1", half.vnc.getsockname()[1]))
    with half.worker(type_name) as channel:
        answer, descriptors = ask(channel, do="sound", token=token)
        assert answer["do"] == "refused"
        assert said in answer["reason"]
        assert descriptors == []


def test_a_note_of_somebody_else_counts_for_nothing(half: Half) -> None:
    notes = PlaceFile(half.folder / "state", "Desk", 1)
    notes.write(Place(TOKEN, "x2gt-anna", "127.0.0.1", half.vnc.getsockname()[1]))
    (path,) = (half.folder / "state").glob("place-*-1.json")
    with half.worker("Desk", 1) as channel:
        assert ask(channel, do="connect", token=TOKEN)[0]["do"] == "connected"
    os.chown(path, 4711, -1)
    with half.worker("Desk", 1) as channel:
        assert ask(channel, do="connect", token=TOKEN)[0]["do"] == "refused"
    path.unlink()
    path.symlink_to(half.folder / "types.json")
    with half.worker("Desk", 1) as channel:
        assert ask(channel, do="connect", token=TOKEN)[0]["do"] == "refused"
    path.unlink()


def test_descriptors_that_come_with_messages_are_dropped(half: Half) -> None:
    with half.worker() as channel, socket.socket() as other:
        assert ask(channel, do="poll")[0]["do"] == "polled"
        for _ in range(30):
            socket.send_fds(channel, [b'{"do": "poll"}'], [other.fileno()] * 10)
            assert answer_of(channel)[0]["do"] == "polled"
        # of 300 that came, a few may be open for a moment, as files are that a process is just loading
        wait_until(lambda: 0 < descriptors_of_children() < 100, "a worker without the descriptors")


def descriptors_of_children() -> int:
    """How many descriptors the processes below this one have."""
    found = 0
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text(encoding="ascii").split():
            for grandchildren in Path(f"/proc/{child}/task").glob("*/children"):
                for number in grandchildren.read_text(encoding="ascii").split():
                    found += len(os.listdir(f"/proc/{number}/fd"))
    return found


@SIXTY
@given(messages([*FROM_WORKER], ["reason", "text", "host", "port", "unix", "alive", "locked", "asks", "password"]))
@example(json.dumps({"do": "refused", "reason": "a\nsecond line of the log"}).encode())
@example(json.dumps({"do": "refused", "reason": "x" * 2000}).encode())
@example(json.dumps({"do": "polled", "alive": "yes", "locked": False, "memory": False, "why": ""}).encode())
@example(b"[" * 60000)
def test_the_service_takes_no_answer_that_is_not_in_the_grammar(data: bytes) -> None:
    """So a script that was made a fool of writes no lines into the service's log, and fills no memory."""
    try:
        expected: str | None = read_message(data, FROM_WORKER)["do"]
    except MessageError:
        expected = None
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.setblocking(False)
    worker = Worker(mine, lambda _group: None)
    with theirs:
        theirs.send(data)
        if expected == "progress":
            theirs.send(b'{"do": "done"}')
        try:
            answer = asyncio.run(worker.ask("poll", 5))
        except WorkerError as error:
            assert expected in (None, "refused")
            assert worker.lost == (expected is None)
            assert len(str(error)) <= 1100
        else:
            assert answer.values["do"] == ("done" if expected == "progress" else expected)
        worker.close(group=False)


@pytest.mark.parametrize("values", [{"username": "a/b"}, {"username": ""}, {"size": "x\n"}, {"token": "../x"}])
def test_the_service_sends_nothing_that_would_be_refused(values: dict[str, Any]) -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.setblocking(False)
    theirs.setblocking(False)
    fields: dict[str, Any] = {name: value for name, value in START.items() if name != "do"} | values
    with theirs:
        worker = Worker(mine, lambda _group: None)
        with pytest.raises(WorkerError, match="cannot be asked of a script: the field"):
            asyncio.run(worker.ask("start", 5, **fields))
        assert not worker.lost
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        worker.close(group=False)
