"""scripts/languages: what the portal reads is made of the .po files as they are now, and nothing else is taken."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from x2gobroker.errors import PluginError
from x2gobroker.portal import languages

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "languages"
HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Language: {}\\n"\n"Plural-Forms: {}\\n"\n\n'
THREE_FORMS = "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);"
DAYS = (
    'msgid "%(number)s day"\nmsgid_plural "%(number)s days"\n'
    'msgstr[0] "%(number)s день"\nmsgstr[1] "%(number)s дня"\nmsgstr[2] "%(number)s дней"\n'
)


@pytest.fixture
def script() -> ModuleType:
    """The script as a module."""
    loader = importlib.machinery.SourceFileLoader("languages_script", str(SCRIPT))
    spec = importlib.util.spec_from_loader("languages_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def written(folder: Path, code: str, body: str, rule: str = "nplurals=2; plural=(n != 1);") -> Path:
    """A .po file of a language."""
    source = folder / f"{code}.po"
    source.write_text(HEAD.format(code, rule) + body, encoding="utf-8")
    return source


def test_script_and_portal_agree_on_the_mark(script: ModuleType) -> None:
    assert (script.CONTEXT, script.DIGEST) == (languages.CONTEXT, languages.DIGEST)


def test_plural_forms_are_those_of_the_language(script: ModuleType, tmp_path: Path) -> None:
    written(tmp_path, "ru", DAYS, THREE_FORMS)
    assert [path.name for path in script.compile_all(tmp_path)] == ["ru.mo"]
    russian = languages.Language("ru", languages.read("ru", tmp_path))
    forms = [russian.ngettext("%(number)s day", "%(number)s days", number) for number in (1, 2, 5, 11, 21, 22)]
    assert [form.split()[1] for form in forms] == ["день", "дня", "дней", "дней", "день", "дня"]
    assert russian.ngettext("%(num)s hat", "%(num)s hats", 5) == "%(num)s hats"
    assert russian.gettext("Sign in") == "Sign in"
    assert russian.gettext("") == ""


def test_fuzzy_and_empty_texts_are_shown_in_english(script: ModuleType, tmp_path: Path) -> None:
    written(tmp_path, "de", '#, fuzzy\nmsgid "Open"\nmsgstr "Offen"\n\nmsgid "Close"\nmsgstr ""\n')
    list(script.compile_all(tmp_path))
    german = languages.Language("de", languages.read("de", tmp_path))
    assert german.gettext("Open") == "Open"
    assert german.gettext("Close") == "Close"


def test_the_same_texts_give_the_same_bytes(script: ModuleType, tmp_path: Path) -> None:
    written(tmp_path, "ru", DAYS, THREE_FORMS)
    found = []
    for _turn in range(2):
        (made,) = script.compile_all(tmp_path)
        found.append(made.read_bytes())
        made.unlink()
    assert found[0] == found[1]


def test_what_is_current_is_left_alone_and_what_is_stale_is_not(script: ModuleType, tmp_path: Path) -> None:
    source = written(tmp_path, "de", 'msgid "Open"\nmsgstr "Öffnen"\n')
    assert len(list(script.compile_all(tmp_path))) == 1
    assert list(script.compile_all(tmp_path)) == []
    os.utime(source, (1, 1))  # older than what was made of it: the content decides
    source.write_text(source.read_text(encoding="utf-8").replace("Öffnen", "Auf"), encoding="utf-8")
    os.utime(source, (1, 1))
    with pytest.raises(PluginError, match=r"de\.mo was made of another de\.po: run scripts/languages"):
        languages.read("de", tmp_path)
    assert len(list(script.compile_all(tmp_path))) == 1
    assert languages.read("de", tmp_path).gettext("Open") == "Auf"


def test_a_language_whose_source_is_gone_goes_too(script: ModuleType, tmp_path: Path) -> None:
    source = written(tmp_path, "de", 'msgid "Open"\nmsgstr "Öffnen"\n')
    list(script.compile_all(tmp_path))
    source.unlink()
    assert list(script.compile_all(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", [b'msgid "Open"\nmsgstr "\xd6ffnen"\n', b'msgid "Open"\nmsgstr "Auf"\nnonsense\n'])
def test_a_file_with_a_fault_gives_no_catalogue(script: ModuleType, tmp_path: Path, fault: bytes) -> None:
    source = written(tmp_path, "de", "")
    source.write_bytes(source.read_bytes() + fault)
    with pytest.raises(script.LanguagesError, match=str(source)):
        list(script.compile_all(tmp_path))
    assert list(tmp_path.iterdir()) == [source]


def test_without_babel_a_build_says_so(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "de", 'msgid "Open"\nmsgstr "Öffnen"\n')
    for name in [name for name in sys.modules if name.partition(".")[0] == "babel"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(script.LanguagesError, match=r"Babel, which compiles de\.po, is not installed"):
        list(script.compile_all(tmp_path))


@pytest.mark.parametrize(
    "broken", [b"", b"\xde\x12\x04\x95", b"no catalogue at all, but long enough to be one", b"\xde\x12\x04\x95" * 7]
)
def test_a_broken_catalogue_is_an_error(script: ModuleType, tmp_path: Path, broken: bytes) -> None:
    source = written(tmp_path, "de", 'msgid "Open"\nmsgstr "Öffnen"\n')
    (tmp_path / "de.mo").write_bytes(broken)
    assert not script.is_current(source)
    with pytest.raises(PluginError, match="run scripts/languages"):
        languages.read("de", tmp_path)


def test_a_missing_catalogue_says_what_to_do_where(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"de\.mo is missing: install the broker again"):
        languages.read("de", tmp_path)
    written(tmp_path, "de", "")
    with pytest.raises(PluginError, match=r"de\.mo is missing: run scripts/languages"):
        languages.read("de", tmp_path)


def test_the_broker_needs_no_babel_and_says_at_the_start_what_the_portal_lacks(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; sys.modules['babel'] = None\n"
        "from x2gobroker.app import create_app\n"
        "from x2gobroker.portal import languages\n"
        "def ways():\n"
        "    return sorted(rule.rule for rule in create_app().url_map.iter_rules() if 'portal' in rule.rule)\n"
        "assert '/portal/' in ways()\n"
        "languages.language.cache_clear(); languages.faults.cache_clear()\n"
        "languages.FOLDER = pathlib.Path(sys.argv[1])\n"
        "assert ways() == []\n"
    )
    environment = {"X2GOBROKER_CONFIG": str(tmp_path / "none"), "X2GOBROKER_DEFAULTS": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=environment,
        cwd=SCRIPT.parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "de.mo" in line]
    assert len(said) == 1, done.stderr
    assert "frontend not served" in said[0]
    assert "install the broker again" in said[0]
