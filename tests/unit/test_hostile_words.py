"""What unprivileged processes say to privileged ones, made up by somebody hostile: refused in words, at once."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pwd
import random
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.agents import server as agent
from x2gobroker.authservice.protocol import ProtocolError, decode_body, parse_line, text_of
from x2gobroker.cli.ssh.broker import parse
from x2gobroker.cli.ssh.caller import MAX_CALL, MOST_WORDS, Call, CallError, pack, unpack, who_asks
from x2gobroker.frontends.ssh_command import client_address
from x2gobroker.privilege import MessageError, Number, Text, read_message
from x2gobroker.privilege.messages import Form

QUICK = 2.0  # seconds, on a busy machine; what is not in proportion takes much longer
HALF = st.characters()  # half characters as well, as JSON and file names can hold them
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1lYW5pbmdsZXNzS2V5RGF0YUZvclRlc3RzT25seSEh"
AGENT_CALLS = (
    f"sh -c '/usr/lib/x2go/x2gobroker-agent anna addauthkey \"{KEY}\" %h/.x2go/authorized_keys 180'",
    "/usr/lib/x2go/x2gobroker-agent anna suspendsession anna-50-1700000000_stDXFCE_dp24",
    "/usr/lib/x2go/x2gobroker-agent anna listsessions",
)
REQUEST = {"op": "authenticate", "user": "anna", "password": "p", "service": "x2gobroker", "address": "192.0.2.1"}
DEEP = (b"[" * 200_000, b'{"a":' * 40_000, b'"' + b"\\" * 200_000, b"9" * 200_000, b"-" * 200_000, b" " * 200_000)


def mutated(text: str, chance: random.Random) -> str:
    """The text with some places changed, doubled, or filled with what is special somewhere."""
    letters = list(text)
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(letters) + 1)
        special = chance.choice(
            ["'", '"', "\\", "$", "`", "\n", "\0", "/", "..", "-", " ", "%h", "é", "\ud800", "\x1b"]
        )
        letters[place : place + chance.randrange(2)] = [special * chance.choice([1, 1, 1, 500])]
    return "".join(letters)


def within(seconds: float, work: Callable[[], object], *expected: type[Exception]) -> object:
    """The result of `work`, or the exception if it is one of the expected; it must not take longer."""
    begun = time.monotonic()
    try:
        return work()
    except expected as error:
        return error
    finally:
        assert time.monotonic() - begun < seconds


@SOME
@given(st.integers())
def test_the_agent_takes_what_it_takes_and_refuses_the_rest(seed: int) -> None:
    chance = random.Random(seed)
    command = mutated(chance.choice(AGENT_CALLS), chance)
    try:
        user, task, arguments = agent.checked(agent.forced_command(command))
    except agent.RefusedError as error:
        assert len(str(error)) < 300, "a refusal repeats nothing long"
        return
    assert agent.is_name(user, 100)
    assert task in agent.TASKS
    assert all(argument.isprintable() for argument in arguments)
    if task.endswith("authkey") and len(arguments) > 1:
        account = pwd.getpwuid(os.getuid())
        within(QUICK, lambda: agent.key_file(arguments[1], account), agent.RefusedError)


@pytest.mark.parametrize("part", ["'", '"', "\\", "a ", "'' ", '"" ', "\\\\", "\u00e9", "a'b'"])
def test_the_agent_reads_long_commands_in_proportion(part: str) -> None:
    text = "/x2gobroker-agent " + part * (2_000_000 // len(part))
    assert isinstance(within(QUICK, lambda: agent.forced_command(text), agent.RefusedError), agent.RefusedError)
    short = text[: agent.LONGEST_COMMAND]
    within(QUICK, lambda: agent.checked(agent.forced_command(short)), agent.RefusedError)
    words = ["anna", "listsessions", *([part] * 100_000)]
    assert isinstance(within(QUICK, lambda: agent.checked(words), agent.RefusedError), agent.RefusedError)


@SOME
@given(st.dictionaries(st.sampled_from([*REQUEST, "new", "code", "interactive", "x"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(HALF),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(HALF), inner), max_leaves=5,
)))  # fmt: skip
def test_a_text_of_a_request_is_one_or_the_request_is_refused(changes: dict[str, object]) -> None:
    try:
        message = decode_body(json.dumps({**REQUEST, **changes}).encode())
    except ProtocolError:
        return  # a number that is none, or half a character
    for name in REQUEST:
        try:
            text = text_of(message, name)
        except ProtocolError as error:
            assert name in str(error)
        else:
            assert "\0" not in text
            text.encode()  # no half characters


@pytest.mark.parametrize("data", DEEP)
def test_nested_and_endless_messages_are_refused_at_once(data: bytes) -> None:
    forms: dict[str, Form] = {"x": {"a": Number(0, 1), "b": Text(5, re.compile("a*"))}}
    assert isinstance(within(QUICK, lambda: decode_body(data), ProtocolError), ProtocolError)
    assert isinstance(within(QUICK, lambda: parse_line(data), ProtocolError), ProtocolError)
    assert isinstance(within(QUICK, lambda: read_message(data, forms), MessageError), MessageError)
    assert isinstance(within(QUICK, lambda: unpack(io.BytesIO(data)), CallError), CallError)


@SOME
@given(st.lists(st.text(HALF), max_size=200), st.text(HALF), st.text(HALF))
@example(["--sid"] * (MOST_WORDS + 1), "", "")
@example(["\ud800"], "", "")
def test_what_is_packed_is_what_is_unpacked_or_refused_on_both_sides(words: list[str], client: str, new: str) -> None:
    call = Call(tuple(words), client, new)
    raw = json.dumps([words, client, new]).encode()
    try:
        packed = pack(call)
    except CallError:
        with pytest.raises(CallError):
            unpack(io.BytesIO(raw))
        return
    assert unpack(io.BytesIO(packed)) == call


@pytest.mark.parametrize("word", ["--sid=x", "-d", "--sid", "--pubkey=1", "-dddd", "--", "--newpass", "x"])
def test_a_call_of_very_many_words_holds_up_no_process_of_the_broker(word: str) -> None:
    """argparse takes minutes for the words that fit into a call."""
    many = [word] * (MAX_CALL // (len(word) + 4) - 10)
    raw = json.dumps([many, "", ""]).encode()
    assert len(raw) < MAX_CALL
    assert isinstance(within(QUICK, lambda: unpack(io.BytesIO(raw)), CallError), CallError)
    few = [*many[: MOST_WORDS - 2], "--task", "testcon"]
    with contextlib.suppress(SystemExit):
        within(QUICK, lambda: parse(few))


@SOME
@given(st.text(HALF), st.booleans())
@example("0", True)
@example("-1", True)
@example("4294967296", True)
@example("٣", True)
def test_who_asks_is_an_account_or_nobody(number: str, piped: bool) -> None:
    broker = pwd.getpwuid(os.getuid())
    try:
        caller = who_asks(broker, {"SUDO_UID": number}, piped)
    except CallError:
        return
    assert pwd.getpwnam(caller.user)
    assert caller.trusted == (number == "" or int(number) == broker.pw_uid)


@SOME
@given(st.text(HALF))
@example("1" * 200_000)
@example(":" * 200_000)
@example("fe80::1%" + "x" * 200_000)
def test_an_address_is_one_or_none(text: str) -> None:
    found = within(QUICK, lambda: client_address(text))
    assert found is None or isinstance(found, str)
    assert found is None or len(found) < 60
