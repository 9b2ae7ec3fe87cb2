"""Print actions: what is run, saved and told to the client, and that names and arguments are checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import wait_until
from x2gobroker.x2go.errors import X2GoPrintActionException
from x2gobroker.x2go.local import programs as local_commands
from x2gobroker.x2go.printing.actions import (
    PRINT_ACTIONS,
    X2GoPrintAction,
    X2GoPrintActionDIALOG,
    X2GoPrintActionPDFSAVE,
    X2GoPrintActionPDFVIEW,
    X2GoPrintActionPRINT,
    X2GoPrintActionPRINTCMD,
    print_action_of,
)


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool folder with one job, and programs of the test's own before all others."""
    for name in ("spool", "bin", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "spool" / "job.pdf").write_bytes(b"%PDF-1.4")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(local_commands, "KEEP_SECONDS", 0.0)
    return tmp_path / "spool"


def program(spool: Path, name: str, then: str = "exit 0") -> Path:
    """A program that notes its arguments, one a line, then does `then`; the file of its notes."""
    notes = spool.parent / f"{name}.notes"
    path = spool.parent / "bin" / name
    path.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{notes}.part; mv {notes}.part {notes}\n{then}\n', encoding="utf-8"
    )
    path.chmod(0o755)
    return notes


def arguments(notes: Path) -> list[str]:
    """What such a program was called with, as soon as it was."""
    wait_until(notes.exists, "the program running")
    return notes.read_text(encoding="utf-8").splitlines()


def left() -> list[str]:
    """The copies that are kept for programs."""
    local_commands.tidy()
    return local_commands.shown_files()


class Client:
    """A client with the hooks that print actions call."""

    def __init__(self, chosen: Any = None) -> None:
        self.chosen = chosen
        self.asked: list[dict[str, str]] = []

    def HOOK_open_print_dialog(self, **names: str) -> Any:
        """The print dialog."""
        self.asked.append(names)
        return self.chosen


def test_all_names_and_their_classes() -> None:
    assert {name: kind.__name__ for name, kind in PRINT_ACTIONS.items()} == {
        name: f"X2GoPrintAction{name}" for name in ("PDFVIEW", "PDFSAVE", "PRINT", "PRINTCMD", "DIALOG")
    }
    action = X2GoPrintActionPRINT()
    assert (action.name, action.__name__, action.profile_name) == ("PRINT", "PRINT", "UNKNOWN")
    assert action.description


def test_the_viewer_gets_a_copy_with_a_readable_name(spool: Path) -> None:
    notes = program(spool, "viewer")
    X2GoPrintActionPDFVIEW(pdfview_cmd="viewer --page 'one two'").do_print("job.pdf", "My; $(title)", str(spool))
    *words, path = arguments(notes)
    assert words == ["--page", "one two"]
    assert os.path.basename(path) == "My_ _(title).pdf"
    assert not path.startswith(str(spool))
    assert (spool / "job.pdf").exists()
    wait_until(lambda: not left(), "the copy removed")
    assert not os.path.exists(path)


def test_a_missing_viewer_is_replaced(spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    notes = program(spool, "xdg-open")
    X2GoPrintActionPDFVIEW(pdfview_cmd="no-such-viewer").do_print(str(spool / "job.pdf"), "T", str(spool))
    assert arguments(notes)[0].endswith("/T.pdf")
    assert "no-such-viewer is missing" in caplog.text


def test_a_viewer_that_fails(spool: Path) -> None:
    program(spool, "viewer", "exit 3")
    with pytest.raises(X2GoPrintActionException, match="viewer ended with status 3"):
        X2GoPrintActionPDFVIEW(pdfview_cmd="viewer").do_print("job.pdf", "T", str(spool))
    assert os.listdir(spool.parent / "tmp") == []


def test_jobs_are_saved_under_names_of_their_own(spool: Path) -> None:
    folder = spool.parent / "new" / "PDF"
    action = X2GoPrintActionPDFSAVE(save_to_folder=str(folder))
    for _ in range(2):
        action.do_print("job.pdf", "../a/b.pdf", str(spool))
    assert sorted(os.listdir(folder)) == ["a_b(1).pdf", "a_b.pdf"]
    assert (folder / "a_b.pdf").read_bytes() == b"%PDF-1.4"


@pytest.mark.parametrize(("given", "below"), [(None, "PDF"), ("Drucke", "Drucke"), ("~/x/../y", "y")])
def test_the_folder_for_jobs_is_below_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, below: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("x2gobroker.x2go.printing.actions.LOCAL_HOME", str(tmp_path))
    assert X2GoPrintActionPDFSAVE(save_to_folder=given).save_to_folder == str(tmp_path / below)
    assert (tmp_path / below).is_dir()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(X2GoPrintActionException, match="cannot be made: Not a directory"):
        X2GoPrintActionPDFSAVE(save_to_folder=str(tmp_path / "file" / "PDF"))


@pytest.mark.parametrize(("printer", "first"), [("-x y", ["-h", "-P-x y"]), (None, ["-h"])])
def test_lpr_is_called(spool: Path, printer: str | None, first: list[str]) -> None:
    notes = program(spool, "lpr")
    X2GoPrintActionPRINT(printer=printer).do_print("job.pdf", "-r\n/etc", str(spool))
    *words, path = arguments(notes)
    assert words == [*first, "-J-r /etc"]
    assert os.path.basename(path) == "X2Go.pdf", "the title goes by itself"
    assert os.listdir(spool.parent / "tmp") == []


def test_lpr_that_refuses_or_is_missing(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(spool, "lpr", "echo 'lpr: The printer or class does not exist.' >&2; exit 1")
    with pytest.raises(X2GoPrintActionException, match=r"status 1: lpr: The printer or class does not exist\.$"):
        X2GoPrintActionPRINT(printer="x").do_print("job.pdf", "T", str(spool))
    monkeypatch.setenv("PATH", str(spool))
    with pytest.raises(X2GoPrintActionException, match="lpr cannot be started"):
        X2GoPrintActionPRINT().do_print("job.pdf", "T", str(spool))
    assert os.listdir(spool.parent / "tmp") == []


def test_a_print_command_gets_no_shell(spool: Path) -> None:
    notes = program(spool, "mycmd")
    command = f"mycmd 'a b' $HOME ; touch {spool}/made"
    X2GoPrintActionPRINTCMD(print_cmd=command).do_print("job.pdf", "T", str(spool))
    assert arguments(notes)[:-1] == ["a b", "$HOME", ";", "touch", f"{spool}/made"]
    assert os.listdir(spool) == ["job.pdf"]


@pytest.mark.parametrize("command", ["", "lpr 'x"])
def test_a_print_command_that_is_none(command: str) -> None:
    with pytest.raises(X2GoPrintActionException, match="The print command cannot be used"):
        X2GoPrintActionPRINTCMD(print_cmd=command)


def test_the_dialog_chooses(spool: Path) -> None:
    folder = spool.parent / "PDF"
    client = Client(X2GoPrintActionPDFSAVE(save_to_folder=str(folder)))
    action = X2GoPrintActionDIALOG(client_instance=client)
    action.profile_name, action.session_name = "profile", "session"
    action.do_print("job.pdf", "T", str(spool))
    assert client.asked == [{"profile_name": "profile", "session_name": "session"}]
    assert os.listdir(folder) == ["T.pdf"]


@pytest.mark.parametrize("chosen", [None, "DIALOG"])
def test_the_dialog_chooses_nothing(spool: Path, chosen: str | None) -> None:
    client = Client(chosen)
    X2GoPrintActionDIALOG(client_instance=client).do_print("job.pdf", "T", str(spool))
    assert len(client.asked) == 1
    assert os.listdir(spool.parent / "tmp") == []


def test_the_dialog_needs_a_client() -> None:
    with pytest.raises(X2GoPrintActionException, match="client_instance"):
        X2GoPrintActionDIALOG()


def test_a_job_that_is_a_link_is_refused(spool: Path) -> None:
    (spool / "link.pdf").symlink_to("/etc/passwd")
    action = X2GoPrintActionPDFSAVE(save_to_folder=str(spool.parent / "PDF"))
    for name in ("link.pdf", "nothing.pdf"):
        with pytest.raises(X2GoPrintActionException, match=name):
            action.do_print(name, "T", str(spool))
    assert os.listdir(spool.parent / "PDF") == []


def test_actions_by_name_class_and_instance(tmp_path: Path) -> None:
    action = X2GoPrintAction()
    assert print_action_of(action, logger=None) is action
    for given in ("PRINT", "X2GoPrintActionPRINT", X2GoPrintActionPRINT):
        made = print_action_of(given, printer="x")
        assert isinstance(made, X2GoPrintActionPRINT)
        assert made.printer == "x"


@pytest.mark.parametrize("name", ["pdfview", "os.system", "", 7])
def test_unknown_actions_name_those_that_exist(name: object) -> None:
    with pytest.raises(X2GoPrintActionException, match="there are PDFVIEW, PDFSAVE, PRINT, PRINTCMD, DIALOG"):
        print_action_of(name)


def test_unknown_arguments() -> None:
    with pytest.raises(X2GoPrintActionException, match=r"X2GoPrintActionPRINT: .*'folder'"):
        print_action_of("PRINT", folder="x")
