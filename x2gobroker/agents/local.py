"""Query mode LOCAL: the broker agent's program on this host."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time

from x2gobroker.agents.answers import LARGEST_ANSWER
from x2gobroker.agents.base import NONSENSE, REFUSED, TIMEOUT, UNREACHABLE, AgentStream, BrokerAgent, Reply
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.logs import field, printable
from x2gobroker.model.hosts import Endpoint

# nothing of the broker's own: agents look at SSH_ORIGINAL_COMMAND and SUDO_USER
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
PIECE = 1 << 16
END_SECONDS = 0.2
LONGEST_COMPLAINT = 300


class LocalAgent(BrokerAgent):
    """Starts the program, without a shell, in a process group of its own, and ends it at its limits."""

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        end = time.monotonic() + seconds
        process = _started([rules.command, *words], subprocess.DEVNULL)
        try:
            return _finished(process, rules.command, end, seconds)
        finally:
            _end(process)

    def _listen(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> AgentStream:
        return _Stream(_started([rules.command, *words], subprocess.PIPE), rules.command)


class _Stream(AgentStream):
    """A program that goes on writing. It ends when its standard input does, whoever it runs as."""

    def __init__(self, process: subprocess.Popen[bytes], program: str) -> None:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - both are pipes
        self._process = process
        self._program = program
        self._output, self._errors = process.stdout.fileno(), process.stderr.fileno()
        self._waiting = selectors.DefaultSelector()
        for stream in (self._output, self._errors):
            self._waiting.register(stream, selectors.EVENT_READ)
        self._said = b""

    def receive(self, seconds: float) -> bytes:
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise AgentError(f"{field(self._program)}: nothing was heard for {seconds:g} s", TIMEOUT)
            ready = {key.fd for key, _ in self._waiting.select(left)}
            if self._errors in ready:
                piece = os.read(self._errors, PIECE)
                self._said = (self._said + piece)[:LONGEST_COMPLAINT]
                if not piece:
                    self._waiting.unregister(self._errors)
            if self._output in ready:
                return os.read(self._output, PIECE)

    def complaint(self) -> str:
        said = " ".join(self._said.decode("utf-8", "replace").split())
        return printable(said, LONGEST_COMPLAINT) if said else "it ended"

    def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def close(self) -> None:
        self.stop()
        self._waiting.close()
        _end(self._process)


def _started(command: list[str], standard_input: int) -> subprocess.Popen[bytes]:
    """The program, with pipes for what it writes. Raises AgentError."""
    try:
        return subprocess.Popen(
            command,
            stdin=standard_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
        )
    except PermissionError:
        advice = "this process may not run it; make its user a member of the program's group"
        raise AgentError(f"{command[0]}: {advice}", REFUSED) from None
    except OSError as error:
        advice = "install the broker agent here, or set X2GOBROKER_AGENT_CMD"
        raise AgentError(f"{command[0]}: {error.strerror}; {advice}", UNREACHABLE) from None


def _finished(process: subprocess.Popen[bytes], program: str, end: float, seconds: float) -> Reply:
    """What the program wrote, and its exit status. Raises AgentError at the limits of time and size."""
    assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - both are pipes
    output, errors = bytearray(), bytearray()
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ, output)
        waiting.register(process.stderr, selectors.EVENT_READ, errors)
        while waiting.get_map():
            left = end - time.monotonic()
            if left <= 0:
                raise AgentError(f"{field(program)}: no whole answer within {seconds:g} s", TIMEOUT)
            for key, _ in waiting.select(left):
                piece = os.read(key.fd, PIECE)
                if not piece:
                    waiting.unregister(key.fd)
                key.data.extend(piece)
                if len(key.data) > LARGEST_ANSWER:
                    raise AgentError(f"{field(program)}: an answer of more than {LARGEST_ANSWER} bytes", NONSENSE)
    try:
        process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise AgentError(f"{field(program)}: it does not end within {seconds:g} s", TIMEOUT) from None
    return Reply(bytes(output), bytes(errors), process.returncode)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process group of a program that is still there; one that runs as root ends when its pipe is closed."""
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
