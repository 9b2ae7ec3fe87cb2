"""The printing settings of a client: X2Go Client's file read, the print action made from it, changes written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.x2go.errors import X2GoClientPrintingException, X2GoException, X2GoPrintActionException
from x2gobroker.x2go.local import ini_files
from x2gobroker.x2go.local.ini_files import X2GoIniFile, unquoted
from x2gobroker.x2go.printing.actions import (
    X2GoPrintActionDIALOG,
    X2GoPrintActionPDFSAVE,
    X2GoPrintActionPDFVIEW,
    X2GoPrintActionPRINT,
    X2GoPrintActionPRINTCMD,
)
from x2gobroker.x2go.printing.settings import X2GoClientPrinting

# As X2Go Client's settings dialog writes it.
QT = r"""[General]
pdfview=false
showdialog=false

[CUPS]
defaultprinter=Laser
options\Laser\PageSize=A4

[print]
startcmd=true
command="lpr -P \"my printer\", -#2"
stdin=false
ps=false

[view]
open=true
command=okular
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ini_files, "LOCAL_HOME", str(tmp_path))
    monkeypatch.setattr("x2gobroker.x2go.printing.actions.LOCAL_HOME", str(tmp_path))
    return tmp_path / "client" / "printing"


def settings(file: Path, text: str, client: object = None) -> X2GoClientPrinting:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return X2GoClientPrinting([str(file)], client_instance=client)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lpr", "lpr"),
        ('"a, b; c"', "a, b; c"),
        (r'"say \"x\" \\ \x41"', r'say "x" \ A'),
        ('"a" "b"', '"a" "b"'),
        ('"', '"'),
        ("", ""),
    ],
)
def test_values_as_qt_writes_them(text: str, value: str) -> None:
    assert unquoted(text) == value


@SOME
@given(st.text(max_size=80))
def test_any_value_can_be_quoted_and_comes_back(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert unquoted(f'"{quoted}"') == value


def test_without_a_file_jobs_are_viewed(file: Path) -> None:
    printing = X2GoClientPrinting([str(file)])
    action = printing.print_action
    assert isinstance(action, X2GoPrintActionPDFVIEW)
    assert action.pdfview_cmd == "xdg-open"
    assert not file.exists()


def test_the_file_of_x2go_client(file: Path) -> None:
    action = settings(file, QT).get_print_action()
    assert isinstance(action, X2GoPrintActionPRINTCMD)
    assert action.print_cmd == 'lpr -P "my printer", -#2'


def test_all_choices(file: Path) -> None:
    shown = settings(file, "[General]\npdfview=true\n[view]\nopen=1\ncommand=evince -w\n").print_action
    assert isinstance(shown, X2GoPrintActionPDFVIEW)
    assert shown.pdfview_cmd == "evince -w"
    saved = settings(file, "[General]\npdfview=true\n[view]\nopen=no\n[save]\nfolder=Drucke\n").print_action
    assert isinstance(saved, X2GoPrintActionPDFSAVE)
    assert saved.save_to_folder == str(file.parents[1] / "Drucke")
    printed = settings(file, "[General]\npdfview=false\n[CUPS]\ndefaultprinter=100%\n").print_action
    assert isinstance(printed, X2GoPrintActionPRINT)
    assert printed.printer == "100%"
    asks = "[General]\nshowdialog=true\npdfview=true\n"
    assert isinstance(settings(file, asks, object()).print_action, X2GoPrintActionDIALOG)
    assert isinstance(settings(file, asks).print_action, X2GoPrintActionPDFVIEW)


def test_the_users_file_comes_before_the_hosts(file: Path, tmp_path: Path) -> None:
    common = tmp_path / "etc"
    common.write_text("[view]\nopen=false\ncommand=xpdf\n", encoding="ascii")
    settings(file, "[view]\nopen=true\n")
    action = X2GoClientPrinting([str(file), str(common)]).print_action
    assert isinstance(action, X2GoPrintActionPDFVIEW)
    assert action.pdfview_cmd == "xpdf"


def test_reloading(file: Path) -> None:
    printing = settings(file, "[view]\nopen=true\n")
    file.write_text("[view]\nopen=false\n", encoding="ascii")
    assert printing.get_print_action(return_name=True) == "PDFVIEW"
    assert printing.get_print_action(reload=True, return_name=True) == "PDFSAVE"


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("PDFVIEW", {"pdfview_cmd": "xpdf"}),
        ("PDFSAVE", {"save_to_folder": "there"}),
        ("PRINT", {"printer": "Laser"}),
        ("PRINTCMD", {"print_cmd": "lp -d 'a b'"}),
        ("DIALOG", {}),
    ],
)
def test_a_choice_is_stored_and_read_again(file: Path, name: str, properties: dict[str, str]) -> None:
    printing = settings(file, QT, object())
    printing.store_print_action(name, **properties)
    assert printing.get_print_action(reinit=True, return_name=True) == name
    assert printing.write()
    assert not printing.write()
    again = X2GoClientPrinting([str(file)], client_instance=object())
    assert again.get_print_action(return_name=True) == name
    assert {key: again.get_property(key) for key in properties} == properties
    assert "PageSize=A4" in file.read_text(encoding="utf-8")
    assert os.listdir(file.parent) == ["printing"]


def test_a_file_that_is_not_there_is_written_privately(file: Path) -> None:
    printing = X2GoClientPrinting([str(file)])
    printing.set_property("printer", "Laser")
    assert printing.write()
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert "defaultprinter=Laser" in file.read_text(encoding="utf-8")


def test_a_file_outside_of_home_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ini_files, "LOCAL_HOME", str(tmp_path / "home"))
    printing = X2GoClientPrinting([str(tmp_path / "printing")])
    printing.set_property("printer", "Laser")
    assert not printing.write()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        b"pdfview=true\n",
        b"\xff\xfe[General]\n",
        b"[General\n",
        b"[General]\npdfview=maybe\n",
        b"#" * (ini_files.MAX_BYTES + 1),
    ],
)
def test_files_that_cannot_be_used(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(X2GoClientPrintingException, match=r"printing|pdfview"):
        X2GoClientPrinting([str(file)])


def test_a_command_that_cannot_be_used(file: Path) -> None:
    with pytest.raises(X2GoPrintActionException, match="viewer"):
        settings(file, "[view]\ncommand=xpdf 'x\n")


def test_unknown_properties_and_wrong_values(file: Path) -> None:
    printing = settings(file, QT)
    with pytest.raises(X2GoClientPrintingException, match="there are pdfview_cmd, save_to_folder, printer, print_cmd"):
        printing.get_property("paper")
    with pytest.raises(X2GoClientPrintingException, match="has to be a str, not bool"):
        printing.set_property("printer", True)
    with pytest.raises(X2GoClientPrintingException, match="one line"):
        printing.set_property("printer", "a\n[General]\npdfview=true")
    with pytest.raises(X2GoClientPrintingException, match="there are PDFVIEW"):
        printing.store_print_action("NOTHING")


def test_types_of_values(tmp_path: Path) -> None:
    (tmp_path / "ini").write_text("[a]\nnumber=7\nlist=x, y\nbad=seven\n", encoding="ascii")
    defaults = {"a": {"number": 1, "bad": 2, "list": ["z"], "other": ["z"], "text": "t"}}
    ini = X2GoIniFile([str(tmp_path / "ini")], defaults)
    assert [ini("a", "number"), ini("a", "list"), ini("a", "other"), ini.get("a", "text")] == [
        7,
        ["x", "y"],
        ["z"],
        "t",
    ]
    assert ini.get_value("a", "number", str) == "7"
    assert ini.get_value("a", "nothing") is None
    assert ini.get_type("a", "list") is list
    with pytest.raises(X2GoException, match="has to be a number"):
        ini.get("a", "bad")


def test_a_single_file_may_be_named_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "printing"
    path.write_text("[CUPS]\ndefaultprinter=Laser\n", encoding="utf-8")
    assert X2GoClientPrinting(config_files=str(path)).get_value("CUPS", "defaultprinter") == "Laser"
