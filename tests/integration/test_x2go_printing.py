"""Print jobs and MIME box files of a session, through folders that the server mounts from here.

Jobs take the whole way: lpr, a real CUPS, cups-x2go, x2goprint, sshfs, the spool folder, the print action.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cups import Cups, cups
from tests.support.desktop import Desktop
from tests.support.fuse import fuse_for_all
from tests.support.leftovers import nothing_left
from tests.support.processes import START_DEADLINE, wait_until
from tests.support.x2go_server import X2GoServer, x2go_server
from x2gobroker.x2go import X2GoClient, X2GoSession
from x2gobroker.x2go.printing.queue import X2GoPrintQueue

TITLE = "Bericht für März: $(id) `id` ../../x"
SAVED = "Bericht für März_ _(id) _id_ .._.._x"


@pytest.fixture(scope="module")
def printer() -> Iterator[Cups]:
    with cups() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    with fuse_for_all(), x2go_server(tmp_path_factory.mktemp("x2go-server")) as running:
        yield running


class Client(X2GoClient):
    """Saves what comes by the MIME box, and notes print jobs that fail."""

    def __init__(self, folder: Path) -> None:
        super().__init__(client_rootdir=str(folder / "client"), sessions_rootdir=str(folder / "sessions"))
        self.saved = folder / "saved"
        self.errors: list[str] = []

    def HOOK_open_mimebox_saveas_dialog(self, filename: str, profile_name: str = "", session_name: str = "") -> str:
        """The dialog that asks for a place."""
        return str(self.saved / os.path.basename(filename))

    def HOOK_printaction_error(
        self,
        filename: str,
        profile_name: str = "",
        session_name: str = "",
        err_msg: str = "",
        printer: str | None = None,
    ) -> None:
        """Told of a job that failed."""
        self.errors.append(err_msg)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    made = Client(tmp_path_factory.mktemp("client"))
    made.saved.mkdir()
    return made


@pytest.fixture(scope="module")
def session(server: X2GoServer, screen: Desktop, client: Client) -> Iterator[X2GoSession]:
    """A session that prints here and has a MIME box, started with the library alone."""
    with nothing_left(), pytest.MonkeyPatch.context() as patch:
        for name, value in screen.environment.items():
            patch.setenv(name, value)
        started = X2GoSession(
            "127.0.0.1",
            server.port,
            cmd="xterm",
            snd_system="none",
            printing=True,
            allow_mimebox=True,
            mimebox_extensions=["odt"],
            mimebox_action="SAVEAS",
            known_hosts=str(server.folder / "known_hosts"),
            client_rootdir=client.client_rootdir,
            sessions_rootdir=client.sessions_rootdir,
            ssh_rootdir=str(client.saved.parent / "ssh"),
            client_instance=client,
        )
        user = server.users[0]
        assert started.connect(user.name, user.password)
        assert started.start()
        yield started
        started.terminate()
        started.disconnect()


@pytest.fixture
def queue(session: X2GoSession) -> X2GoPrintQueue:
    """The session's print queue, with no job done so far."""
    assert session.terminal_session is not None
    found = session.terminal_session.print_queue
    assert found is not None
    found.job_history.clear()
    return found


def text_of(server: X2GoServer, text: str) -> Path:
    """A text file of the session's user."""
    user = server.users[0]
    path = user.home / "text.txt"
    server.run(user, f"printf '%b' '{text}' >{path}")
    return path


def put_job(queue: X2GoPrintQueue, content: bytes, title: str) -> None:
    """A job put straight into the spool folder, as x2goprint does it."""
    spool = Path(queue.spool_dir)
    (spool / "job.pdf").write_bytes(content)
    (spool / "job.pdf.notready").write_text(f"job.pdf\n{title}", encoding="utf-8")
    (spool / "job.pdf.notready").rename(spool / "job.pdf.ready")


def test_a_job_arrives_and_is_saved(
    printer: Cups, server: X2GoServer, session: X2GoSession, queue: X2GoPrintQueue, tmp_path: Path
) -> None:
    folder = tmp_path / "PDF"
    session.set_print_action("PDFSAVE", save_to_folder=str(folder))
    printer.print(server.users[0], text_of(server, r"eins\fzwei\fdrei"), TITLE)
    wait_until(lambda: len(queue.job_history) == 1, "a print job that is done")
    assert os.listdir(queue.spool_dir) == []
    assert os.listdir(folder) == [f"{SAVED}.pdf"], printer.errors()
    argv = ["pdfinfo", str(folder / f"{SAVED}.pdf")]
    about = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert re.search(r"^Pages: +3$", about.stdout, re.MULTILINE), about.stdout


def test_jobs_that_follow_each_other_do_what_the_settings_say(
    printer: Cups, server: X2GoServer, session: X2GoSession, queue: X2GoPrintQueue, client: Client, tmp_path: Path
) -> None:
    """lpr runs on the server itself, in the user's login, as programs of the session do."""
    session.set_print_action(None)
    settings = Path(client.client_rootdir) / "printing"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f"[General]\npdfview=true\n[view]\nopen=false\n[save]\nfolder={tmp_path}\n", encoding="utf-8")
    path = text_of(server, "Seite")
    for title in ("eins", "zwei"):
        command = f"CUPS_SERVER={printer.environment['CUPS_SERVER']} lpr -PX2Go -J{title} {path}"
        server.run(server.users[0], command)
    wait_until(lambda: len(queue.job_history) == 2, "two print jobs that are done")
    assert sorted(os.listdir(tmp_path)) == ["eins.pdf", "zwei.pdf"]


def test_a_job_is_printed_on_a_printer_of_the_client(
    printer: Cups, session: X2GoSession, queue: X2GoPrintQueue, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the spool folder on: the job goes to a second queue, whose printer is a socket; then to none."""
    monkeypatch.setenv("CUPS_SERVER", printer.environment["CUPS_SERVER"])
    monkeypatch.setenv("LANG", "C.UTF-8")
    with socket.create_server(("127.0.0.1", 0)) as paper:
        paper.settimeout(START_DEADLINE)
        printer.add_queue("Paper", f"socket://127.0.0.1:{paper.getsockname()[1]}")
        printer.run("cupsdisable", "Paper")
        session.set_print_action("PRINT", printer="Paper")
        put_job(queue, b"%PDF-1.4 of the session", "-r März")
        wait_until(lambda: len(queue.job_history) == 1, "the job given to lpr")
        assert "-r März" in printer.run("lpq", "-PPaper")
        printer.enable("Paper")
        connection, _ = paper.accept()
        with connection, connection.makefile("rb") as received:
            assert received.read() == b"%PDF-1.4 of the session"
    session.set_print_action("PRINT", printer="Nobody")
    put_job(queue, b"%PDF-1.4", "title")
    wait_until(lambda: bool(client.errors), "the failure told")
    assert "lpr ended with status 1" in client.errors[0]
    wait_until(lambda: os.listdir(queue.spool_dir) == [], "an empty spool folder")


def test_files_of_the_mime_box_come_to_the_client(server: X2GoServer, session: X2GoSession, client: Client) -> None:
    """A program of the session drops files; those that may be come to the client's dialog, whole."""
    assert session.terminal_session is not None
    queue = session.terminal_session.mimebox_queue
    assert queue is not None
    user = server.users[0]
    box = f".x2go/C-{session.session_name}/mimebox"
    server.run(user, f"head -c 5000000 /dev/zero >'{box}/Brief für $(id).odt'; echo x >{box}/run.sh")
    server.run(user, f"ln -s /etc/passwd {box}/passwd.odt || true")
    wait_until(lambda: len(queue.mimebox_history) == 1, "the file given to the client")
    wait_until(lambda: os.listdir(queue.mimebox_dir) == [], "an empty MIME box")
    assert [path.name for path in client.saved.iterdir()] == ["Brief für _(id).odt"]
    assert (client.saved / "Brief für _(id).odt").stat().st_size == 5_000_000


def test_nothing_is_left_of_a_session_that_ended(session: X2GoSession, queue: X2GoPrintQueue) -> None:
    """Runs last: the session's fixture checks for threads, processes and sockets afterwards."""
    assert session.terminal_session is not None
    other = session.terminal_session.mimebox_queue
    assert session.terminate()
    for ended in (queue, other):
        assert ended is not None
        ended.join(5)
        assert not ended.is_alive()
    assert not os.path.exists(queue.spool_dir)
