"""Query modes: what every one of them checks before it asks, and how answers are told apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from x2gobroker.agents.answers import MOST_BYTES
from x2gobroker.agents.base import NOBODY, NONSENSE, REFUSED, SESSION_SECONDS, BrokerAgent, Reply
from x2gobroker.agents.none import NoneAgent
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.model.hosts import Endpoint

SERVER = Endpoint("ts01", "192.0.2.1", 22)
RULES = AgentRules("SSH", "x2gobroker", "/usr/lib/x2go/x2gobroker-agent", Path("/nonexistent"), "RejectPolicy", "", 5.0)
SESSION = "anna-50-1795167317_stRxterm_dp24"
LINE = (
    f"14864|{SESSION}|50|ts01|R|2026-11-20T09:35:17|f28b48c66f97bdba|127.0.0.1|1|2|2026-11-20T09:35:18|anna|25|3|-1|-1"
)
KEY = 'no-user-rc,expiry-time="20261201" ssh-rsa AAAAB3NzaC1yc2E+/= x2gobroker-anna'
KEYS_FILE = "%h/.x2go/authorized_keys"


class Scripted(BrokerAgent):
    """Answers with what the test says, and keeps what it was asked."""

    def __init__(self, output: bytes = b"OK\n", errors: bytes = b"", status: int | None = 0) -> None:
        self.reply = Reply(output, errors, status)
        self.asked: list[tuple[tuple[str, ...], float]] = []

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        self.asked.append((words, seconds))
        return self.reply


def reason_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(AgentError) as caught:
        call()
    return caught.value.reason, str(caught.value)


def test_tasks_send_the_words_of_the_reference() -> None:
    agent = Scripted()
    agent.ping(SERVER, RULES)
    agent.list_sessions(SERVER, RULES, "anna")
    agent.get_servers(SERVER, RULES, "anna")
    agent.find_busy_servers(SERVER, RULES, "anna")
    agent.available_tasks(SERVER, RULES)
    agent.add_auth_key(SERVER, RULES, "anna", KEY, KEYS_FILE, 60)
    agent.del_auth_key(SERVER, RULES, "anna", KEY, KEYS_FILE)
    assert [words for words, _ in agent.asked] == [
        (NOBODY, "ping"),
        ("anna", "listsessions"),
        ("anna", "getservers"),
        ("anna", "findbusyservers"),
        (NOBODY, "availabletasks"),
        ("anna", "addauthkey", KEY, KEYS_FILE, "60"),
        ("anna", "delauthkey", KEY, KEYS_FILE),
    ]
    assert {seconds for _, seconds in agent.asked} == {RULES.timeout}


def test_suspending_and_terminating_may_take_longer() -> None:
    agent = Scripted()
    agent.suspend_session(SERVER, RULES, "anna", SESSION)
    agent.terminate_session(SERVER, RULES, "anna", SESSION)
    assert agent.asked == [
        (("anna", "suspendsession", SESSION), RULES.timeout + SESSION_SECONDS),
        (("anna", "terminatesession", SESSION), RULES.timeout + SESSION_SECONDS),
    ]


def report_of(count: int) -> bytes:
    """The report of a server with so many sessions."""
    figures = ["loadavgXX:102", "memAvail:2999", "numCPU:4", "typeCPU:2600", f"numSessions:{count}"]
    name = f"{'u' * 20}-{{}}-1795167317_stD{'x' * 20}_dp24"
    row = f"session:{name}|{'u' * 20}|50|R|1795167390|10.1.2.3|38091|38092|38093"
    rows = [row.format(number) for number in range(10_000, 10_000 + count)]
    return "".join(
        f"{line}\n" for line in ["OK", "server:ts01", "time:1795167400", *figures, *rows, "leftOut:1"]
    ).encode()


def test_a_report_may_be_larger_than_other_answers() -> None:
    agent = Scripted(report_of(10_000))
    assert len(agent.reply.output) > MOST_BYTES
    report = agent.report(SERVER, RULES)
    assert agent.asked == [((NOBODY, "report"), RULES.timeout)]
    assert (len(report.sessions), report.left_out, report.load.sessions, report.server) == (10_000, 1, 10_000, "ts01")
    assert all(session.since <= time.time() for session in report.sessions)
    assert reason_of(lambda: agent.get_servers(SERVER, RULES, "anna"))[0] == NONSENSE
    for output in (report_of(10_001), report_of(2)[:-12], b"OK\n"):
        assert reason_of(lambda output=output: Scripted(output).report(SERVER, RULES))[0] == NONSENSE  # type: ignore[misc]


def test_agents_that_know_no_reports() -> None:
    for agent in (Scripted(b""), Scripted(b"", b"x2gobroker-agent: there is no such task\n", 1)):
        assert reason_of(lambda agent=agent: agent.report(SERVER, RULES))[0] == REFUSED  # type: ignore[misc]


def test_answers_become_values() -> None:
    assert [found.name for found in Scripted(f"OK\n{LINE}\n".encode()).list_sessions(SERVER, RULES, "anna")] == [
        SESSION
    ]
    assert Scripted(b"OK\nts01 4\nts02\n").get_servers(SERVER, RULES, "anna") == {"ts01": 4, "ts02": None}
    assert Scripted(b"OK\nvm").get_servers(SERVER, RULES, "anna") == {"vm": None}
    assert Scripted(b"OK\n80:ts01\n20:ts02\n").find_busy_servers(SERVER, RULES, "anna") == {"ts01": 80, "ts02": 20}
    assert Scripted(b"OK\nping\nlistsessions\n").available_tasks(SERVER, RULES) == {"ping", "listsessions"}
    report = Scripted(b"OK\nloadavgXX:101\nmemAvail:2000\nmyMemAvail:1\nnumCPU:2\ntypeCPU:1500\n")
    assert report.check_load(SERVER, RULES).factor == int(2000 / 1000 * 2 * 1500 * 100 / 101)


@pytest.mark.parametrize("user", ["-x", "--help", "an\nna", "an\x00na", "\x1b[2J"])
def test_words_that_cannot_be_passed_on_are_not_sent(user: str) -> None:
    agent = Scripted()
    assert reason_of(lambda: agent.list_sessions(SERVER, RULES, user))[0] == REFUSED
    assert not agent.asked


@pytest.mark.parametrize("session", ["", "all", "-50-1", f"{SESSION}; id", "x" * 300, f"{SESSION}\n"])
def test_only_session_names_are_suspended(session: str) -> None:
    agent = Scripted()
    assert reason_of(lambda: agent.suspend_session(SERVER, RULES, "anna", session))[0] == REFUSED
    assert reason_of(lambda: agent.terminate_session(SERVER, RULES, "anna", session))[0] == REFUSED
    assert not agent.asked


@pytest.mark.parametrize(
    ("line", "keys_file"),
    [
        (f"{KEY};id", KEYS_FILE),
        (f"{KEY}!e", KEYS_FILE),
        (f"{KEY} .*", KEYS_FILE),
        (f"{KEY} $(id)", KEYS_FILE),
        (f"{KEY}\nssh-rsa AAAA", KEYS_FILE),
        (f"{KEY}'", KEYS_FILE),
        ("", KEYS_FILE),
        (KEY, "%h/.x2go/keys;id"),
        (KEY, "%h/my keys"),
        (KEY, "$HOME/keys"),
        (KEY, "`id`"),
        (KEY, ""),
    ],
)
def test_keys_and_paths_that_a_shell_or_sed_would_read_are_not_sent(line: str, keys_file: str) -> None:
    agent = Scripted()
    assert reason_of(lambda: agent.add_auth_key(SERVER, RULES, "anna", line, keys_file, 60))[0] == REFUSED
    assert reason_of(lambda: agent.del_auth_key(SERVER, RULES, "anna", line, keys_file))[0] == REFUSED
    assert not agent.asked


def test_a_changing_task_that_says_anything_on_stderr_has_failed() -> None:
    agent = Scripted(b"OK\n", b"tee: /home/anna/.x2go/authorized_keys: No space left on device\n")
    reason, text = reason_of(lambda: agent.add_auth_key(SERVER, RULES, "anna", KEY, KEYS_FILE, 60))
    assert reason == REFUSED
    assert "addauthkey" in text
    assert "space" in text


def test_locale_noise_does_not_make_a_changing_task_fail() -> None:
    Scripted(b"OK\n", b"sudo: unable to resolve host ts01: Name or service not known\n").add_auth_key(
        SERVER, RULES, "anna", KEY, KEYS_FILE, 60
    )


def test_an_unknown_user_is_a_refusal_with_the_agents_words() -> None:
    agent = Scripted(b"", b"no such user on system: anna at x line 269.\n", 255)
    reason, text = reason_of(lambda: agent.list_sessions(SERVER, RULES, "anna"))
    assert reason == REFUSED
    assert "no such user" in text
    assert "ts01" in text


def test_a_killed_agent_is_nonsense_even_behind_whole_lines() -> None:
    for status in (None, -9):
        agent = Scripted(f"OK\n{LINE}\n".encode(), b"", status)
        assert reason_of(lambda agent=agent: agent.list_sessions(SERVER, RULES, "anna"))[0] == NONSENSE  # type: ignore[misc]


def test_sessions_of_others_are_left_out_and_logged_once(said: pytest.LogCaptureFixture) -> None:
    lies = LINE.replace("anna", "bert") + "\n"
    found = Scripted(f"OK\n{lies * 3000}{LINE}\n".encode()).list_sessions(SERVER, RULES, "anna")
    assert [session.name for session in found] == [SESSION]
    lines = [record.getMessage() for record in said.records if "cannot be" in record.getMessage()]
    assert len(lines) == 1
    assert "3000 lines" in lines[0]
    assert "f28b48c66f97bdba" not in said.text, "the cookie is a secret"


def test_nothing_but_lies_is_nonsense(said: pytest.LogCaptureFixture) -> None:
    agent = Scripted(f"OK\n{LINE.replace('anna', 'bert')}\n".encode())
    reason, text = reason_of(lambda: agent.list_sessions(SERVER, RULES, "anna"))
    assert (reason, "somebody else" in text) == (NONSENSE, True)
    assert "cannot be" not in said.text, "who asks the farm logs the error, and not every time"


@pytest.mark.parametrize("answer", [b"OK\nloadavgXX:1\n", b"OK\nfoo\n", b"OK\n"])
def test_a_load_report_that_lacks_something_is_nonsense(answer: bytes) -> None:
    assert reason_of(lambda: Scripted(answer).check_load(SERVER, RULES))[0] == NONSENSE


def test_without_agents_every_task_is_refused_with_advice() -> None:
    reason, text = reason_of(lambda: NoneAgent().ping(SERVER, RULES))
    assert reason == REFUSED
    assert "agent-query-mode" in text


def test_each_call_leaves_a_debug_line_without_what_was_said(said: pytest.LogCaptureFixture) -> None:
    Scripted(f"OK\n{LINE}\n".encode()).list_sessions(SERVER, RULES, "anna")
    assert "192.0.2.1:22: listsessions for anna" in said.text
    assert SESSION not in said.text


def test_closing_a_mode_that_keeps_nothing_does_nothing() -> None:
    agent = NoneAgent()
    agent.close()
    agent.close()
