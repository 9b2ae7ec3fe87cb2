"""The MIME box: which files are opened, and that nothing else is."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.processes import wait_until
from tests.unit.properties import SOME
from x2gobroker.x2go.errors import X2GoMIMEboxActionException
from x2gobroker.x2go.local import programs as local_commands
from x2gobroker.x2go.local import spool_queue
from x2gobroker.x2go.mimebox.actions import (
    MIMEBOX_ACTIONS,
    X2GoMIMEboxAction,
    X2GoMIMEboxActionOPEN,
    X2GoMIMEboxActionSAVEAS,
    mimebox_action_of,
)
from x2gobroker.x2go.mimebox.kinds import DOCUMENTS, is_plain_text
from x2gobroker.x2go.mimebox.queue import BLOCKED_EXTENSIONS, X2GoMIMEboxQueue, extension_allowed

Started = Callable[..., X2GoMIMEboxQueue]


class Client:
    """A client with the hooks of the MIME box."""

    def __init__(self, target: Path | None = None) -> None:
        self.target = target
        self.saved: list[tuple[str, bytes]] = []
        self.errors: list[tuple[str, str]] = []

    def HOOK_open_mimebox_saveas_dialog(self, filename: str, **_: str) -> str | None:
        """The dialog that saves a file."""
        self.saved.append((os.path.basename(filename), Path(filename).read_bytes()))
        return str(self.target) if self.target else None

    def HOOK_mimeboxaction_error(self, filename: str, err_msg: str = "", **_: str) -> None:
        """Told of a file that failed."""
        self.errors.append((filename, err_msg))


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder; programs of the test's own come before all others."""
    monkeypatch.setattr(spool_queue, "SCAN_SECONDS", 0.05)
    monkeypatch.setattr(local_commands, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    for name in ("box", "bin", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path / "box"


@pytest.fixture
def queue(box: Path) -> Iterator[Started]:
    """Starts queues on the folder, and ends them."""
    started: list[X2GoMIMEboxQueue] = []

    def start(**values: Any) -> X2GoMIMEboxQueue:
        started.append(X2GoMIMEboxQueue(mimebox_dir=str(box), **values))
        started[-1].start()
        return started[-1]

    yield start
    for running in started:
        running.stop_thread()
        running.join(5)
        assert not running.is_alive()
    wait_until(lambda: not library_threads(), "the end of all threads")


def library_threads() -> list[str]:
    """Names of the threads of the MIME box."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("x2go-mimebox")]


def opener(box: Path, then: str = "exit 0") -> Path:
    """An xdg-open that notes what it was given; the file of its notes."""
    notes = box.parent / "notes"
    program = box.parent / "bin" / "xdg-open"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{notes}\n{then}\n', encoding="ascii")
    program.chmod(0o755)
    return notes


@pytest.mark.parametrize(
    ("name", "allowed", "yes"),
    [
        ("a.pdf", ["pdf"], True),
        ("a.PDF", [".Pdf"], True),
        ("a.tar.gz", ["TAR.GZ"], True),
        ("a.gz", ["tar.gz"], False),
        ("apdf", ["pdf"], False),
        ("a.pdf.txt", ["pdf"], False),
        ("pdf", ["pdf"], False),
        ("a.odt", [], True),
        ("README", [], True),
        ("sh", [], True),
        ("a.odt", [""], False),
        ("a.desktop", [], False),
        ("a.sh", ["sh"], False),
        ("a.EXE", [], False),
        ("a.desktop ", [], False),
        ("a.bat. .", [], False),
        ("a.unknown", [], False),
        ("a.unknown", ["unknown"], True),
        *((f"a.{kind}", [kind], False) for kind in "pyw command scpt xhtml docm x2go html svg iso xlsb PHAR".split()),
    ],
)
def test_extensions(name: str, allowed: list[str], yes: bool) -> None:
    assert extension_allowed(name, allowed) == yes


# of freedesktop.org's types, those that are programs, start them, or set them up
ACTIVE = re.compile(
    r"application/(x-)?(.*(executable|sharedlib|shellscript|javascript|ecmascript|java|jnlp|perl|python|php|ruby|csh|awk|"
    r"desktop|ms-shortcut|mswinurl|msdownload|bat|powershell|msi|installer|redhat-package|rpm|deb|snap|flatpak|appimage|"
    r"macroenabled|xhtml|wasm|shockwave|hta|html-help|theme|apple-diskimage|cd-image|raw-disk-image|elc).*)"
    r"|text/(html|x-(python.*|lua|ruby|tcl|csh|elisp|dsrc|makefile|scheme|groovy))|image/svg.*|application/xml"
)
NAMESPACE = "{http://www.freedesktop.org/standards/shared-mime-info}"


def test_what_the_desktop_takes_for_programs_is_never_opened() -> None:
    tree = ElementTree.parse("/usr/share/mime/packages/freedesktop.org.xml").getroot()  # noqa: S314 - the system's own
    types: dict[str, list[str]] = {}
    for kind in tree.iter(f"{NAMESPACE}mime-type"):
        globs = [glob.get("pattern", "") for glob in kind.iter(f"{NAMESPACE}glob")]
        types[kind.get("type", "")] = [each[2:].lower() for each in globs if re.fullmatch(r"\*\.[A-Za-z0-9+-]+", each)]
    active = {name: globs for name, globs in types.items() if ACTIVE.fullmatch(name)}
    assert len(active) > 40
    missing = {
        name: [each for each in globs if extension_allowed(f"a.{each}", [each])] for name, globs in active.items()
    }
    assert {name: globs for name, globs in missing.items() if globs} == {}
    assert not DOCUMENTS & BLOCKED_EXTENSIONS


@pytest.mark.parametrize(
    ("start", "yes"),
    [
        (b"Dear Anna", True),
        (b"", True),
        ("Grüße".encode(), True),
        (b"#!/bin/sh", False),
        (b"\n [Desktop Entry]", False),
        (b"\xef\xbb\xbf[Desktop Entry]", False),
        (b"# a remark\n[Desktop Entry]", False),
        (b"# Config File", False),
        (b"# a remark", True),
        (b"<html>", False),
        (b"\x7fELF\x02", False),
        (b"MZ\x90", False),
        (b"PK\x03\x04", False),
        (b"a\0b", False),
    ],
)
def test_a_file_without_an_extension_is_opened_if_it_is_text(
    box: Path, queue: Started, start: bytes, yes: bool
) -> None:
    assert is_plain_text(start) == yes
    if start[:2] in (b"De", b"#!"):
        notes = opener(box)
        (box / "README").write_bytes(start)
        queue()
        wait_until(lambda: not (box / "README").exists(), "the file opened or removed")
        assert notes.exists() == yes


@pytest.mark.parametrize("name", ["README", "README.txt.", "README.txt "])
def test_a_file_that_is_exchanged_after_the_look_at_it_is_not_opened(
    box: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A copy without an extension is opened by what is in it, so what is in the copy counts."""
    notes, client = opener(box), Client()
    (box / name).write_bytes(b"Dear Anna")
    running = X2GoMIMEboxQueue(mimebox_dir=str(box), client_instance=client)
    real = running._is_allowed

    def look(file: str) -> bool:
        answer = real(file)
        (box / name).write_bytes(b"[Desktop Entry]\nExec=xterm\n")
        return answer

    monkeypatch.setattr(running, "_is_allowed", look)
    running.scan()
    running.scan()
    wait_until(lambda: bool(running.mimebox_history), "the file over")
    assert not notes.exists()
    assert client.errors == [(name, f"The kind of the MIME box file {name.strip()} is not allowed.")]
    assert os.listdir(box) == os.listdir(box.parent / "tmp") == []


@SOME
@given(
    st.text(max_size=20), st.sampled_from(sorted(BLOCKED_EXTENSIONS)), st.sampled_from(["", " ", ".", "~", ".~~", "\n"])
)
def test_no_copy_has_a_blocked_extension(stem: str, extension: str, after: str) -> None:
    """Whatever stands after it: a file that is let through gets a name that starts no program."""
    name = f"{stem}.{extension}{after}".replace("/", "_").replace("\0", "_")
    if not extension_allowed(name):
        return
    noted: list[str] = []

    class Noted(X2GoMIMEboxAction):
        def _do_process(self, mimebox_file: str, mimebox_dir: str) -> None:
            copy = self._copy(mimebox_file, mimebox_dir)
            noted.append(os.path.basename(copy.path))
            copy.remove()

    folder = tempfile.mkdtemp()
    try:
        Path(folder, name).write_bytes(b"x")
        Noted().do_process(name, folder)
    finally:
        Path(folder, name).unlink()
        os.rmdir(folder)
    assert extension_allowed(noted[0])


def test_files_are_opened_and_removed(box: Path, queue: Started) -> None:
    notes = opener(box)
    (box / "Brief $(id).odt").write_bytes(b"text")
    running = queue(mimebox_extensions="odt, pdf")
    wait_until(lambda: bool(running.mimebox_history), "the file opened")
    opened = notes.read_text(encoding="ascii").strip()
    assert os.path.basename(opened) == "Brief _(id).odt"
    assert not opened.startswith(str(box))
    assert os.listdir(box) == []
    wait_until(lambda: not os.path.exists(opened), "the copy removed")


def test_what_is_not_opened(box: Path, queue: Started, caplog: pytest.LogCaptureFixture) -> None:
    notes = opener(box)
    secret = box.parent / "secret.pdf"
    secret.write_bytes(b"secret")
    (box / "link.pdf").symlink_to(secret)
    (box / "evil.sh").write_bytes(b"x")
    (box / "other.txt").write_bytes(b"x")
    (box / ".hidden.pdf").write_bytes(b"x")
    os.mkfifo(box / "pipe.pdf")
    (box / "folder.pdf").mkdir()
    running = queue(mimebox_extensions=["pdf", "sh"])
    wait_until(lambda: sorted(os.listdir(box)) == [".hidden.pdf", "folder.pdf"], "the others removed")
    assert not running.mimebox_history
    assert not notes.exists()
    assert secret.exists()
    assert "evil.sh is removed: its kind is not allowed" in caplog.text


def test_a_file_that_still_grows_is_left_alone(box: Path, queue: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_queue, "SCAN_SECONDS", 60.0)
    client = Client()
    running = X2GoMIMEboxQueue(mimebox_dir=str(box), mimebox_action="SAVEAS", client_instance=client)
    for part in (b"a", b"b", b"c"):
        with (box / "a.txt").open("ab") as file:
            file.write(part)
        running.scan()
        assert not running.active_jobs
    running.scan()
    wait_until(lambda: bool(running.mimebox_history), "the file given to the client")
    assert client.saved == [("a.txt", b"abc")]
    local_commands._remove_all()
    local_commands._shown.clear()


def test_a_file_is_saved_where_the_dialog_says(box: Path) -> None:
    (box / "a.txt").write_bytes(b"text")
    X2GoMIMEboxActionSAVEAS(Client(box.parent / "saved")).do_process("a.txt", str(box))
    assert (box.parent / "saved").read_bytes() == b"text"
    with pytest.raises(X2GoMIMEboxActionException, match="cannot be used: Is a directory"):
        X2GoMIMEboxActionSAVEAS(Client(box)).do_process("a.txt", str(box))
    local_commands._remove_all()
    local_commands._shown.clear()


def test_a_file_that_cannot_be_opened_is_told(box: Path, queue: Started) -> None:
    opener(box, "exit 3")
    client = Client()
    running = queue(client_instance=client)
    (box / "a.txt").write_bytes(b"x")
    wait_until(lambda: bool(running.mimebox_history), "the file over")
    assert client.errors == [("a.txt", "xdg-open ended with status 3.")]
    assert os.listdir(box) == []
    assert os.listdir(box.parent / "tmp") == []


def test_open_with_opens(box: Path, queue: Started) -> None:
    notes = opener(box)
    queue(mimebox_action="OPENWITH")
    (box / "a.txt").write_bytes(b"x")
    wait_until(notes.exists, "the file opened")


def test_no_path_leads_out_of_the_box(box: Path) -> None:
    (box.parent / "secret.txt").write_bytes(b"secret")
    action = X2GoMIMEboxActionOPEN()
    for name in ("../secret.txt", str(box.parent / "secret.txt")):
        with pytest.raises(X2GoMIMEboxActionException, match=r"secret\.txt cannot be used: No such file"):
            action.do_process(name, str(box))


def test_actions_by_name_class_and_instance() -> None:
    action = X2GoMIMEboxAction()
    assert mimebox_action_of(action) is action
    assert list(MIMEBOX_ACTIONS) == ["OPEN", "OPENWITH", "SAVEAS"]
    for given_action in ("OPEN", "X2GoMIMEboxActionOPEN", X2GoMIMEboxActionOPEN):
        assert mimebox_action_of(given_action).name == "OPEN"
    with pytest.raises(X2GoMIMEboxActionException, match="there are OPEN, OPENWITH, SAVEAS"):
        X2GoMIMEboxQueue(mimebox_action="RUN")
    with pytest.raises(X2GoMIMEboxActionException, match="'program'"):
        mimebox_action_of("OPEN", program="x")
    with pytest.raises(X2GoMIMEboxActionException, match="client_instance"):
        X2GoMIMEboxActionSAVEAS()
