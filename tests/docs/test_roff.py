"""What manual pages are made with: no text becomes a request, and no Markdown is lost."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from tests.docs.conftest import ROOT


@pytest.fixture
def roff(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the documentation, which is no package that is installed."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from generators import roff

    return roff


@pytest.fixture
def markdown(roff: ModuleType) -> ModuleType:
    """The same for Markdown."""
    from generators import roff_markdown

    return roff_markdown


@pytest.mark.parametrize("text", [".so /etc/passwd", "'ex", "...", "a word\n.de x"])
def test_no_text_is_a_request(roff: ModuleType, text: str) -> None:
    for made in (roff.lines(roff.escape(text)), roff.literal(text)[3:-2]):
        assert made
        assert not [line for line in made if line.startswith((".", "'"))]


def test_characters_of_roff_are_themselves(roff: ModuleType) -> None:
    assert roff.escape(r"a\n --x 'y' `z` ~ ^") == r"a\(rsn \-\-x \(aqy\(aq \(gaz\(ga \(ti \(ha"
    assert roff.argument('say "x"') == r'"say \(dqx\(dq"'


def test_a_sentence_begins_a_line(roff: ModuleType) -> None:
    assert roff.lines("One. Two 1.5! Three ... four.") == ["One.", r"Two 1.5!", "Three ... four."]


@pytest.mark.parametrize(
    ("phrase", "sentence"),
    [
        ("say more", "Say more."),
        ("why; shown in the list", "Why; shown in the list."),
        ("listsessions, setpass", "listsessions, setpass."),
        ("`x` is left", "`x` is left."),
        ("Done.", "Done."),
    ],
)
def test_phrases_become_sentences(roff: ModuleType, phrase: str, sentence: str) -> None:
    assert roff.sentence(phrase) == sentence


def test_markdown_keeps_its_fonts_lists_and_tables(markdown: ModuleType) -> None:
    text = "**A `b` c.** See [options](options.md#x).\n\n- one\n- two\n\n"
    text += "| K | Meaning | D |\n| --- | --- | --- |\n| `k` | what | 1 |\n"
    assert markdown.blocks(text) == [
        ".PP",
        r"\fBA \fBb\fB c.\fR",
        r"See options (\fBx2gobroker.conf\fR(5)).",
        r".IP \(bu 2",
        "one",
        r".IP \(bu 2",
        "two",
        ".TP",
        r"\fBk\fR",
        "What.",
        r"D: 1.",
    ]


@pytest.mark.parametrize("text", ["![picture](x.png)", "> a quotation", "---"])
def test_markdown_that_is_not_known_is_not_lost_silently(markdown: ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match="is not known here"):
        markdown.blocks(text)


def test_modules_of_the_documentation_stay_out_of_the_way() -> None:
    assert str(ROOT / "docs") not in sys.path
