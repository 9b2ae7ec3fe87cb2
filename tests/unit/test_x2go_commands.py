"""Words of commands, and the marks around what commands print."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x2gobroker.x2go.wire.commands import is_marked, payload, space_chars, word, wrap

MARK = "0123456789abcdef"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=60)


def run(line: str, shell: str = "/bin/sh") -> subprocess.CompletedProcess[str]:
    """As sshd runs it: in the login shell."""
    return subprocess.run([shell, "-c", line], capture_output=True, text=True, timeout=20, check=False)


@given(TEXTS)
def test_a_word_stays_one_word_whatever_is_in_it(text: str) -> None:
    said = run(wrap(f"printf %s {word(text)}", MARK)).stdout
    assert payload(said, MARK) == text


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", "/bin/tcsh", "/usr/bin/fish"])
def test_words_that_shells_like_to_read(shell: str) -> None:
    """Whatever the login shell is. fish reads backslashes in single quotes, csh exclamation marks and line ends."""
    texts = [
        "",
        "a b",
        "$(id)",
        "`id`",
        "'; id; '",
        '"',
        "\\",
        "\\'; id; \\'",
        "a\nb",
        "-n",
        "*",
        "~",
        "ä☃",
        "!x",
        "{a,b}",
    ]
    command = "printf '<%s>' " + " ".join(map(word, texts))
    assert payload(run(wrap(command, MARK), shell).stdout, MARK) == "".join(f"<{text}>" for text in texts)


@given(TEXTS, st.sampled_from(["/bin/tcsh", "/usr/bin/fish"]))
@settings(max_examples=60)
def test_a_word_stays_one_word_with_other_shells(text: str, shell: str) -> None:
    assert payload(run(wrap(f"printf %s {word(text)}", MARK), shell).stdout, MARK) == text


def test_no_command_line_can_hold_a_nul_character() -> None:
    with pytest.raises(ValueError, match="NUL"):
        word("a\0b")


def test_the_exit_status_is_the_command_s_own() -> None:
    assert run(wrap("exit 7", MARK)).returncode == 7
    assert run(wrap("true", MARK)).returncode == 0
    assert run(wrap("no-such-command-here", MARK)).returncode == 127


def test_a_command_may_end_as_x2goruncommand_does() -> None:
    done = run(wrap("sleep 0 1>/dev/null 2>/dev/null & exit", MARK))
    assert (payload(done.stdout, MARK), done.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (f"X2GODATABEGIN:{MARK}\none\ntwo\nX2GODATAEND:{MARK}\n", "one\ntwo\n"),
        (f"X2GODATABEGIN:{MARK}\n/usrX2GODATAEND:{MARK}\n", "/usr"),
        (f"X2GODATABEGIN:{MARK}\none\ntwo", "one\ntwo"),
        (f"Welcome!\nto X2GODATABEGIN:other\nX2GODATABEGIN:{MARK}\none\nX2GODATAEND:{MARK}\nbye\n", "one\n"),
        (f"no newline at endX2GODATABEGIN:{MARK}\none\nX2GODATAEND:{MARK}\n", "one\n"),
        (f"X2GODATABEGIN:{MARK}\r\none\r\nX2GODATAEND:{MARK}\r\n", "one\r\n"),
        (f"X2GODATABEGIN:{MARK}\nX2GODATAEND:{MARK}\n", ""),
        (f"X2GODATABEGIN:{MARK}", ""),
        ("This account is currently not available.\n", ""),
        ("", ""),
    ],
)
def test_what_stands_between_the_marks(output: str, expected: str) -> None:
    assert payload(output, MARK) == expected


@given(TEXTS, TEXTS)
def test_noise_before_and_a_missing_end_do_no_harm(noise: str, text: str) -> None:
    assert payload(f"{noise}X2GODATABEGIN:{MARK}\n{text}", MARK) == text
    assert payload(f"{noise}X2GODATABEGIN:{MARK}\n{text}X2GODATAEND:{MARK}", MARK) == text


def test_whether_a_command_was_begun() -> None:
    assert is_marked(f"X2GODATABEGIN:{MARK}\n", MARK)
    assert not is_marked(f"X2GODATABEGIN:{MARK[:-1]}\n", MARK)


def test_blanks_in_a_command_for_x2go_s_own_scripts() -> None:
    assert space_chars("xterm -title a") == "xtermX2GO_SPACE_CHAR-titleX2GO_SPACE_CHARa"


def test_perl_says_nothing_of_a_locale_that_the_server_has_not() -> None:
    """Programs of X2Go are Perl: what it says of a locale stood between what they say, and nothing could be started."""
    done = run(wrap("export LC_ALL=xx_YY.UTF-8; perl -e 'print 1'", MARK))
    assert (payload(done.stdout, MARK), done.stderr) == ("1", "")
