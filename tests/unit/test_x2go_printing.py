"""The print queue: the files of a job, whom it trusts, and that nothing of it stays."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.processes import wait_until
from tests.unit.properties import SOME
from x2gobroker.x2go.errors import X2GoBackendException, X2GoPrintActionException
from x2gobroker.x2go.local import spool_queue
from x2gobroker.x2go.local.spool_files import plain_name
from x2gobroker.x2go.printing.actions import X2GoPrintAction, X2GoPrintActionPDFSAVE
from x2gobroker.x2go.printing.queue import MAX_READY_BYTES, X2GoPrintQueue, parse_ready

Started = Callable[..., X2GoPrintQueue]


class Noted(X2GoPrintAction):
    """Notes its jobs; those with the title `fail` fail, and for `wait` it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[tuple[str, str, str]] = []
        self.go_on = threading.Event()

    def _do_print(self, pdf_file: str, job_title: str, spool_dir: str) -> None:
        self.jobs.append((os.path.relpath(pdf_file, spool_dir), job_title, self.session_name))
        if job_title == "wait":
            assert self.go_on.wait(20)
        if job_title == "fail":
            raise X2GoPrintActionException("no ink")


class Client:
    """A client with a folder of its own and the hook for errors."""

    def __init__(self, root: Path, broken: bool = False) -> None:
        self.root = root
        self.broken = broken
        self.errors: list[tuple[str, str]] = []

    def get_client_rootdir(self) -> str:
        """Where its settings are."""
        return str(self.root)

    def HOOK_printaction_error(self, filename: str, err_msg: str = "", **_: Any) -> None:
        """Told of a job that failed."""
        self.errors.append((filename, err_msg))
        if self.broken:
            raise RuntimeError("no window")


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(spool_queue, "SCAN_SECONDS", 0.05)
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


@pytest.fixture
def queue(spool: Path) -> Iterator[Started]:
    """Starts print queues on the spool folder, and ends them."""
    started: list[X2GoPrintQueue] = []

    def start(**values: Any) -> X2GoPrintQueue:
        started.append(X2GoPrintQueue(session_name="session", spool_dir=str(spool), **values))
        started[-1].start()
        return started[-1]

    yield start
    for running in started:
        running.stop_thread()
        running.join(5)
        assert not running.is_alive()
    wait_until(lambda: not library_threads(), "the end of all threads")


def library_threads() -> list[str]:
    """Names of the threads of print queues."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("x2go-print")]


def put(spool: Path, name: str, title: str | None = "Title", content: bytes = b"%PDF") -> None:
    """A job as x2goprint puts it there."""
    (spool / name).write_bytes(content)
    (spool / f"{name}.notready").write_text(name if title is None else f"{name}\n{title}", encoding="utf-8")
    (spool / f"{name}.notready").rename(spool / f"{name}.ready")


@pytest.mark.parametrize(
    ("content", "job"),
    [
        (b"a.pdf\nTitle", ("a.pdf", "Title")),
        (b"a.pdf\r\nTitle\r\nmore", ("a.pdf", "Title")),
        (b"a.pdf", ("a.pdf", "X2Go Print Job")),
        (b"a.pdf\n\n", ("a.pdf", "X2Go Print Job")),
        ("ä b.pdf\nGrüße \x1b[2J".encode(), ("ä b.pdf", "Grüße [2J")),
        (b"a.pdf\n\xff\xfe", ("a.pdf", "\ufffd\ufffd")),
    ],
)
def test_ready_files(content: bytes, job: tuple[str, str]) -> None:
    assert parse_ready(content) == job


@pytest.mark.parametrize(
    "content", [b"", b"\nTitle", b"../a.pdf\nT", b"/etc/passwd\nT", b".x\nT", b"a\0\nT", b"a.ready"]
)
def test_ready_files_with_paths(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_ready(content)


@SOME
@given(st.binary(max_size=200))
def test_any_ready_file_names_a_file_of_the_folder_or_none(content: bytes) -> None:
    try:
        name, title = parse_ready(content)
    except ValueError:
        return
    assert plain_name(name)
    assert title.isprintable()


def test_jobs_are_done_and_their_files_removed(spool: Path, queue: Started) -> None:
    action = Noted()
    put(spool, "before.pdf", None)
    (spool / "other.pdf").write_bytes(b"no .ready")
    running = queue(print_action=action)
    put(spool, "later.pdf", "Bericht: März")
    wait_until(lambda: len(running.job_history) == 2, "two jobs done")
    assert sorted(action.jobs) == [
        ("before.pdf", "X2Go Print Job", "session"),
        ("later.pdf", "Bericht: März", "session"),
    ]
    assert os.listdir(spool) == ["other.pdf"]
    assert not running.active_jobs


def test_bad_ready_files_are_dropped(spool: Path, queue: Started, caplog: pytest.LogCaptureFixture) -> None:
    secret = spool.parent / "secret"
    secret.write_bytes(b"secret")
    (spool / "path.ready").write_text(f"../{secret.name}\nT", encoding="ascii")
    (spool / "link.ready").symlink_to(secret)
    (spool / "long.ready").write_bytes(b"x" * (MAX_READY_BYTES + 1))
    action = Noted()
    queue(print_action=action)
    wait_until(lambda: not os.listdir(spool), "the bad files removed")
    assert secret.read_bytes() == b"secret"
    assert [name for name, _, _ in action.jobs if set(name) != {"x"}] == []
    assert "path.ready is dropped: it does not name a file of this folder" in caplog.text


def test_a_job_that_is_a_link_is_not_followed(spool: Path, queue: Started) -> None:
    secret = spool.parent / "secret"
    secret.write_bytes(b"secret")
    (spool / "job.pdf").symlink_to(secret)
    (spool / "job.pdf.ready").write_text("job.pdf\nT", encoding="ascii")
    folder = spool.parent / "PDF"
    client = Client(spool.parent)
    running = queue(print_action=X2GoPrintActionPDFSAVE(client, str(folder)))
    wait_until(lambda: bool(running.job_history), "the job over")
    assert os.listdir(folder) == []
    assert os.listdir(spool) == []
    assert secret.read_bytes() == b"secret"
    assert [name for name, _ in client.errors] == ["job.pdf"]


@pytest.mark.parametrize("broken", [False, True])
def test_a_job_that_fails_is_told_and_dropped(
    spool: Path, queue: Started, broken: bool, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(spool.parent, broken)
    action = Noted()
    action.client_instance = client
    running = queue(print_action=action)
    put(spool, "a.pdf", "fail")
    wait_until(lambda: bool(running.job_history), "the job over")
    assert client.errors == [("a.pdf", "no ink")]
    assert os.listdir(spool) == []
    assert ("no window" in caplog.text) == broken
    put(spool, "b.pdf", "works")
    wait_until(lambda: len(running.job_history) == 2, "the next job over")


def test_not_more_than_four_at_a_time(spool: Path, queue: Started) -> None:
    action = Noted()
    for number in range(6):
        put(spool, f"{number}.pdf", "wait")
    running = queue(print_action=action)
    wait_until(lambda: running.busy, "four jobs")
    running.scan()
    assert len(action.jobs) == 4
    action.go_on.set()
    wait_until(lambda: len(running.job_history) == 6, "all jobs done")
    assert os.listdir(spool) == []


def test_pause_and_resume(spool: Path, queue: Started) -> None:
    action = Noted()
    running = queue(print_action=action)
    running.pause()
    put(spool, "a.pdf")
    running.join(0.3)
    assert not action.jobs
    running.resume()
    wait_until(lambda: bool(running.job_history), "the job done")


def test_the_settings_of_the_client_are_read_for_each_job(spool: Path, queue: Started) -> None:
    root = spool.parent
    client = Client(root)
    running = queue(client_instance=client)
    for name in ("one", "two"):
        (root / "printing").write_text(f"[view]\nopen=false\n[save]\nfolder={root / name}\n", encoding="ascii")
        put(spool, f"{name}.pdf", name)
        wait_until((root / name / f"{name}.pdf").exists, f"the job {name} saved")
    wait_until(lambda: len(running.job_history) == 2, "both jobs over")
    (root / "printing").write_text("[General]\npdfview=perhaps\n", encoding="ascii")
    put(spool, "three.pdf")
    wait_until(lambda: len(running.job_history) == 3, "the third job over")
    assert client.errors == [("three.pdf", "General/pdfview is 'perhaps'; it has to be true or false.")]


def test_another_action_for_the_next_job(spool: Path, queue: Started) -> None:
    first, second = Noted(), Noted()
    running = queue(print_action=first)
    running.set_print_action(second)
    put(spool, "a.pdf")
    wait_until(lambda: bool(running.job_history), "the job done")
    assert (len(first.jobs), len(second.jobs)) == (0, 1)
    with pytest.raises(X2GoPrintActionException, match="there are PDFVIEW"):
        running.set_print_action("NOTHING")
    assert running.print_action is second


def test_unknown_backends() -> None:
    with pytest.raises(X2GoBackendException, match="there is FILE"):
        X2GoPrintQueue(printing_backend="GCONF")


def test_a_folder_that_is_missing_may_come(spool: Path, queue: Started) -> None:
    spool.rmdir()
    action = Noted()
    running = queue(print_action=action)
    running.join(0.2)
    spool.mkdir()
    put(spool, "a.pdf")
    wait_until(lambda: bool(running.job_history), "the job done")


def test_a_folder_that_cannot_be_read_is_told_once(
    spool: Path, queue: Started, caplog: pytest.LogCaptureFixture
) -> None:
    spool.rmdir()
    spool.touch()
    running = queue(print_action=Noted())
    wait_until(lambda: "cannot be read: Not a directory" in caplog.text, "the message")
    running.scan()
    assert caplog.text.count("cannot be read") == 1


def test_the_thread_ends_at_once(spool: Path, queue: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_queue, "SCAN_SECONDS", 60.0)
    running = queue(print_action=Noted())
    running.stop_thread()
    running.join(5)
    assert not running.is_alive()
    assert not library_threads()
