"""authorized_keys lines for a broker's key: what is written, what is taken, and how a file is changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.model.public_key import parse_public_key
from x2gobroker.ssh.authorized_keys import (
    RESTRICTIONS,
    AuthorizedKey,
    broker_line,
    check_broker_line,
    merge,
    parse_line,
)
from x2gobroker.ssh.keys import generate_key

AGENT = "/usr/lib/x2go/x2gobroker-agent"
# always the same one: it is in the names of tests, on which two processes have to agree
KEY = parse_public_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMebCmlDXPaFTd9ekrjjYVGPfnQNP75YT4cOaQOV5RdM")
KEYS = {kind: generate_key(kind).public for kind in ("rsa", "ecdsa", "ed25519")}
LINE = broker_line(AGENT, KEY.kind, KEY.blob, "x2gobroker@here")
BARE = f"{KEY.kind} {KEY.blob}"


@pytest.mark.parametrize("kind", list(KEYS))
def test_our_own_lines_are_taken(kind: str) -> None:
    key = KEYS[kind]
    taken = check_broker_line(broker_line(AGENT, key.kind, key.blob, "x2gobroker@here"), (AGENT,))
    assert (taken.kind, taken.blob, taken.comment) == (key.kind, key.blob, "x2gobroker@here")


def test_a_line_is_the_former_brokers_to_the_letter() -> None:
    assert (
        f'command="{AGENT}",no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty '
        f"{KEY.kind} {KEY.blob} x2gobroker@here"
    ) == LINE


@pytest.mark.parametrize(
    "options",
    [
        f'command="{AGENT}",restrict',
        f'restrict,no-user-rc,command="{AGENT}"',
        f'no-pty,no-agent-forwarding,command="{AGENT}",no-port-forwarding,no-x11-forwarding,NO-USER-RC',
    ],
)
def test_other_ways_to_restrict_are_taken(options: str) -> None:
    assert check_broker_line(f"{options} {BARE}", (AGENT,)).blob == KEY.blob


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (BARE, "forces no command"),
        (f"{RESTRICTIONS} {BARE}", "forces no command"),
        (LINE.replace(AGENT, "/bin/sh"), "forces a command that is not"),
        (LINE.replace(AGENT, f"{AGENT} evil"), "forces a command that is not"),
        (f'command="{AGENT}",{LINE}', "forces no command"),
        (f'environment="LD_PRELOAD=/x",{LINE}', "environment"),
        (f"port-forwarding,{LINE}", "port-forwarding"),
        (f'permitopen="a:1",{LINE}', "permitopen"),
        (f"cert-authority,{LINE}", "cert-authority"),
        (f'no-pty="x",{LINE}', "no-pty"),
        (f'command="{AGENT}",no-pty {BARE}', "lacks restrictions"),
        (LINE[:-40], "cut off|not of the type|no key"),
        (LINE.replace("ssh-ed25519", "ssh-rsa"), "not of the type"),
        (f'command="{AGENT} {BARE}', "cannot be read"),
        (f'command="{AGENT}",,no-pty {BARE}', "cannot be read"),
        (f"{LINE}\u2028{BARE}", "characters"),
        (LINE + "x" * 20000, "too long"),
        ("<html>", "cannot be read"),
        ("ssh-rsa", "no key"),
    ],
)
def test_anything_else_is_refused_with_its_reason(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_broker_line(line, (AGENT,))


def test_quoted_options_may_hold_what_looks_like_the_end() -> None:
    options = r'command="a \" b, c ssh-rsa",no-pty'
    parsed = parse_line(f"{options} {BARE} some comment of words")
    assert parsed.options == (("command", r"a \" b, c ssh-rsa"), ("no-pty", None))
    assert (parsed.kind, parsed.comment) == (KEY.kind, "some comment of words")


def parsed() -> list[AuthorizedKey]:
    return [check_broker_line(LINE, (AGENT,))]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{LINE}\n"),
        ("# note\n\nssh-rsa other", f"# note\n\nssh-rsa other\n{LINE}\n"),
        (f"{BARE} old\n# end\n", f"{LINE}\n# end\n"),
        (f"a\n{BARE}\nb\n{LINE}\n", f"a\n{LINE}\nb\n"),
        (f"{LINE}\n", f"{LINE}\n"),
        (f'from="192.0.2.1",{LINE}\n', f'from="192.0.2.1",{LINE}\n'),
        (f"# {LINE}\n", f"# {LINE}\n{LINE}\n"),
        (f'command="/bin/sh" {BARE}\n', f"{LINE}\n"),
        ("\udcff\udcfe rubbish\n", f"\udcff\udcfe rubbish\n{LINE}\n"),
        # sshd ends a line with a line feed only: what a comment holds must not become a key
        (f"# gone:\x0c{KEYS['rsa'].line()}\n", f"# gone:\x0c{KEYS['rsa'].line()}\n{LINE}\n"),
        (f"# gone:\u2028{KEYS['rsa'].line()}\n", f"# gone:\u2028{KEYS['rsa'].line()}\n{LINE}\n"),
        (f"# gone:\r{BARE}", f"# gone:\r{BARE}\n{LINE}\n"),
    ],
)
def test_other_lines_stay_and_the_key_is_there_once(before: str, after: str) -> None:
    assert merge(before, parsed()).text == after
    again = merge(after, parsed())
    assert (again.text, again.added, again.replaced) == (after, (), ())


def test_what_became_of_each_key_is_told() -> None:
    ecdsa = check_broker_line(broker_line(AGENT, KEYS["ecdsa"].kind, KEYS["ecdsa"].blob, "b"), (AGENT,))
    rsa = check_broker_line(broker_line(AGENT, KEYS["rsa"].kind, KEYS["rsa"].blob, "c"), (AGENT,))
    merged = merge(f"{BARE}\n{rsa.line}\n", [*parsed(), ecdsa, rsa])
    assert [each.kind for each in merged.added] == [ecdsa.kind]
    assert [each.kind for each in merged.replaced] == [KEY.kind]
    assert [each.kind for each in merged.kept] == [rsa.kind]


def test_openssh_reads_what_comes_out(tmp_path: Path) -> None:
    path = tmp_path / "authorized_keys"
    path.write_text(merge(f"# x\n{KEYS['rsa'].line()}", parsed()).text)
    done = subprocess.run(["ssh-keygen", "-l", "-f", str(path)], capture_output=True, text=True, check=True, timeout=30)
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["(RSA)", "(ED25519)"]


@given(st.text(max_size=200), st.sampled_from(["", "command=", "no-pty ", 'command="x",', BARE, " "]))
def test_any_text_is_read_or_refused(text: str, beginning: str) -> None:
    try:
        check_broker_line(beginning + text, (AGENT,))
    except ValueError as error:
        assert str(error)
    else:
        raise AssertionError(beginning + text)


@given(
    st.lists(st.sampled_from(["", "# note", BARE, LINE, f"no-pty {BARE}", "rubbish", KEYS["rsa"].line()]), max_size=8)
)
def test_merging_twice_changes_nothing_more(lines: list[str]) -> None:
    once = merge("\n".join(lines), parsed())
    assert merge(once.text, parsed()).text == once.text
    assert [line for line in once.text.splitlines() if not line.endswith(BARE) and BARE not in line] == [
        line for line in "\n".join(lines).splitlines() if BARE not in line
    ]
    assert sum(BARE in line for line in once.text.splitlines()) == 1
