"""Published applications: the menu that is made of .desktop files, whatever these hold."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.x2go.wire.pubapp import MENU_NAMES, Menu, fallbacks, menu_tree, own_language, raw_applications

EDITOR = """\
<desktop>
Name=Editor
Name[de]=Bearbeiter
Name[de_AT]=Schreibzeug
Comment=Edit = change files
Comment[de]=Dateien ändern
Exec=editor --mode=x %F --100%%
Terminal=false
Categories=Utility;TextEditor;
<icon>
aWNvbg==
</icon>
</desktop>
"""
PAGER = """\
<desktop>
Name=A Pager
Exec=less 'a b'
Terminal=true
</desktop>
"""
NO_COMMAND = "<desktop>\nName=Nothing\nCategories=Office;\n</desktop>\n"


def tree(output: str, lang: str = "en", most: int = 10) -> Menu:
    """The menus of this output."""
    return menu_tree(raw_applications(output), lang, most)


def application(categories: str, name: str = "N", command: str = "x") -> str:
    """One .desktop file as x2gogetapps prints it."""
    return f"<desktop>\nName={name}\nExec={command}\nCategories={categories}\n</desktop>\n"


def test_raw_elements_hold_text_and_icon() -> None:
    editor, pager = raw_applications(EDITOR + PAGER)
    assert editor["icon"] == "aWNvbg=="
    assert editor["desktop"] is not None
    assert editor["desktop"].startswith("Name=Editor\n")
    assert "icon" not in editor["desktop"]
    assert pager == {"desktop": "Name=A Pager\nExec=less 'a b'\nTerminal=true\n", "icon": None}


def test_few_applications_stand_in_one_menu() -> None:
    found = tree(EDITOR + PAGER + NO_COMMAND, "fr")
    assert list(found) == ["fr"]
    assert list(found["fr"]) == ["TOP"]
    pager, editor = found["fr"]["TOP"]
    assert editor == {
        "name": "Editor",
        "comment": "Edit = change files",
        "exec": "editor --mode=x  --100%",
        "icon": "aWNvbg==",
    }
    assert pager["exec"] == "x-terminal-emulator -e 'less '\\''a b'\\'''"
    assert pager["comment"] == "A Pager"


@pytest.mark.parametrize(
    ("lang", "name", "comment"),
    [
        ("de_DE", "Bearbeiter", "Dateien ändern"),
        ("de_AT", "Schreibzeug", "Dateien ändern"),
        ("de", "Bearbeiter", "Dateien ändern"),
        ("d", "Editor", "Edit = change files"),
        ("", "Editor", "Edit = change files"),
    ],
)
def test_names_in_the_language_asked_for(lang: str, name: str, comment: str) -> None:
    (item,) = tree(EDITOR, lang)[lang]["TOP"]
    assert (item["name"], item["comment"]) == (name, comment)


@pytest.mark.parametrize(
    ("categories", "menu"),
    [
        ("AudioVideo;Player;", "Multimedia"),
        ("Video;", "Multimedia"),
        ("Development;IDE;", "Development"),
        ("Education;", "Education"),
        ("Game;", "Games"),
        ("Graphics;Office;", "Graphics"),
        ("Network;", "Internet"),
        ("Office;", "Office"),
        ("Settings;System;", "Other Applications"),
        ("System;", "System"),
        ("Utility;", "Utilities"),
        ("Utility;X2Go-Top;", "TOP"),
        ("Nonsense;", "Other Applications"),
        ("", "Other Applications"),
    ],
)
def test_many_applications_stand_in_menus_by_category(categories: str, menu: str) -> None:
    assert list(tree(application(categories), "en", 0)["en"]) == [menu]


def test_submenus_from_one_more_than_given() -> None:
    two = application("Game;", "b") + application("Office;", "A")
    assert [item["name"] for item in tree(two, most=2)["en"]["TOP"]] == ["A", "b"]
    assert sorted(tree(two, most=1)["en"]) == ["Games", "Office"]
    assert list(tree(two, most=-1)["en"]) == ["TOP"]


def test_what_is_not_an_application_is_left_out() -> None:
    rubbish = "<desktop>\nName=Cut off\nExec=x\n"
    assert [item["desktop"] for item in raw_applications(f"noise\n{PAGER}more noise\n{rubbish}")] == [
        "Name=A Pager\nExec=less 'a b'\nTerminal=true\n"
    ]
    assert tree("") == {"en": {}}
    bad_icon = EDITOR.replace("aWNvbg==", "<script>")
    assert raw_applications(bad_icon)[0]["icon"] is None


def test_the_first_line_of_a_kind_counts() -> None:
    twice = application("Game;").replace("Exec=x", "Exec=x\nName=Other\nExec=reboot")
    (item,) = tree(twice)["en"]["TOP"]
    assert (item["name"], item["exec"]) == ("N", "x")


def test_languages_that_serve_a_locale() -> None:
    assert fallbacks("de_DE.UTF-8@euro") == ("de_DE@euro", "de_DE", "de@euro", "de")
    assert fallbacks("sr@latin") == ("sr@latin", "sr")
    assert fallbacks("pt_BR") == ("pt_BR", "pt")
    assert fallbacks("en") == ("en",)
    assert fallbacks("no language") == ("no language",)


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LANG": "de_DE.UTF-8"}, "de_DE"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "fr_FR.UTF-8"}, "fr_FR"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "nonsense here"}, "en"),
        ({}, "en"),
    ],
)
def test_the_own_language(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], language: str) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert own_language() == language


PIECES = [
    "<desktop>\n",
    "</desktop>\n",
    "<icon>\n",
    "</icon>\n",
    "Name=a\n",
    "Exec=%F %\n",
    "Categories=Game;\n",
    "\r\n",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(string.printable, max_size=8), max_size=30).map("".join), st.text())
def test_any_output_gives_a_menu(output: str, lang: str) -> None:
    raw = raw_applications(output)
    menus = menu_tree(raw, lang, 1)[lang]
    assert set(menus) <= set(MENU_NAMES)
    assert sum(map(len, menus.values())) <= len(raw)
    for item in (item for items in menus.values() for item in items):
        assert item["exec"]
