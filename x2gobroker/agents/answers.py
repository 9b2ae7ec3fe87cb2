"""What broker agents answer, read strictly: a line `OK`, then whole lines of data."""

from __future__ import annotations

import re

from x2gobroker.agents.reports import MOST_NOISE, MOST_REPORT_BYTES
from x2gobroker.model.sessions import SERVER_NAME, ServerSession, parse_session

MOST_BYTES = 1 << 20
MOST_LINES = 5000
LARGEST_ANSWER = max(MOST_BYTES, MOST_REPORT_BYTES)  # what a query mode has to carry
LONGEST_QUOTE = 200
TASK = re.compile(r"[a-z_]{1,60}")
COUNTED = re.compile(r"(\S{1,253})[ \t]+([0-9]{1,6})")
BUSY = re.compile(r"([0-9]{1,3}):(\S{1,253})")
CONFIRMED = re.compile(rb"^OK\r?\n", re.MULTILINE)
# what programs on badly set up servers say at every start, of locales (perllocale, bash) and host names (sudo)
NOISE = re.compile(
    r"sudo: unable to resolve host .*"
    r"|\S*(?:perl|sh): (?:line [0-9]+: )?warning: .*locale.*"
    r"|perl: warning: Falling back to .*"
    r"|\t(?:LANGUAGE|LANG|LC_[A-Z]+) = .*"
    r"|    are supported and installed on your system\."
)
DIED = re.compile(r" at \S+ line [0-9]+")  # how a Perl program ends that gives up


class RefusalError(ValueError):
    """The agent answers, and says no."""


def payload(
    output: bytes,
    errors: bytes,
    changes: bool,
    status: int | None = 0,
    open_end: bool = False,
    most_bytes: int = MOST_BYTES,
    most_lines: int = MOST_LINES,
) -> list[str]:
    """The lines behind the OK. Raises RefusalError when the agent says no, ValueError when the answer cannot be.

    What stands before the first line that is exactly `OK` is dropped: start-up files of the agent's account may print
    something there. All that comes behind it is the answer. `status` is the program's exit status, None where there
    was none: it was killed, or the connection broke. With `changes`, any word on the standard error stream is a no:
    Debian's agent says OK before it works, and its exit status gets lost. `open_end`: the last line may lack its end.
    """
    if len(output) > most_bytes:
        raise ValueError(f"an answer of more than {most_bytes} bytes")
    said = errors_said(errors)
    if status is None or status < 0:
        raise ValueError("the answer was cut off: the agent was killed, or the connection broke")
    confirmed = CONFIRMED.search(output, 0, MOST_NOISE)
    if confirmed is None:
        raise _unconfirmed(output, said, status)
    lines = _lines(output[confirmed.end() :], open_end, most_lines)
    if status or (changes and said) or (not lines and DIED.search(said)):
        raise RefusalError(f"it did not work{_quoted(said)}")
    return lines


def errors_said(errors: bytes) -> str:
    """What a program says on its standard error stream, without what says nothing."""
    lines = errors[:MOST_NOISE].decode("utf-8", "replace").splitlines()
    return "\n".join(line for line in lines if line.strip() and not NOISE.fullmatch(line))


def _unconfirmed(output: bytes, said: str, status: int) -> ValueError:
    """What an answer without an OK means."""
    if status == 1 and not said:  # so end nologin and false, the shells of accounts that have none
        return RefusalError("the agent does not do it; exit status 1, without a word: has its account a login shell?")
    if said or status:
        return RefusalError(f"the agent does not do it{_quoted(said)}; exit status {status}")
    if not output.strip():
        return RefusalError("the agent says nothing: it does not know this task")
    return ValueError("an answer without OK")


def _quoted(said: str) -> str:
    """What an agent says, fit for a line of a log."""
    shown = "".join(sign if sign.isprintable() else " " for sign in said[:LONGEST_QUOTE])
    return f"; it says: {shown}" if said else ""


def _lines(data: bytes, open_end: bool, most_lines: int) -> list[str]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("an answer that is no UTF-8 text") from None
    lines = text.split("\n")
    if lines[-1] and not open_end:
        raise ValueError("the answer ends in half a line")
    lines = [line.rstrip("\r") for line in lines if line.strip()]
    if len(lines) > most_lines:
        raise ValueError(f"an answer of more than {most_lines} lines")
    return lines


def parse_tasks(lines: list[str]) -> frozenset[str]:
    """Names of tasks. Raises ValueError."""
    if not all(TASK.fullmatch(line) for line in lines):
        raise ValueError("a list of tasks with lines that are no names")
    return frozenset(lines)


def parse_sessions(lines: list[str], user: str) -> tuple[list[ServerSession], list[str]]:
    """The sessions of `user`, each name once, and what was wrong with other lines."""
    sessions: dict[str, ServerSession] = {}
    rubbish = []
    for line in lines:
        try:
            session = parse_session(line, user)
        except ValueError as error:
            rubbish.append(str(error))
            continue
        sessions.setdefault(session.name, session)
    return list(sessions.values()), rubbish


def parse_servers(lines: list[str]) -> dict[str, int | None]:
    """Sessions by server, None where there is a name only. Raises ValueError."""
    servers: dict[str, int | None] = {}
    for line in lines:
        counted = COUNTED.fullmatch(line.strip())
        name = counted[1] if counted else line.strip()
        if not SERVER_NAME.fullmatch(name):
            raise ValueError("a list of servers with lines that are no names")
        servers[name] = int(counted[2]) if counted else None
    return servers


def parse_busy_servers(lines: list[str]) -> dict[str, int]:
    """Percentages by server. Raises ValueError."""
    servers = {}
    for line in lines:
        parts = BUSY.fullmatch(line.strip())
        if parts is None or int(parts[1]) > 100 or not SERVER_NAME.fullmatch(parts[2]):
            raise ValueError("a list of busy servers with lines that are not percent:name")
        servers[parts[2]] = int(parts[1])
    return servers
