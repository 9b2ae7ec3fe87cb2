"""Query mode LOCAL: the broker agent's program on this host."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time

from x2gobroker.agents.answers import LARGEST_ANSWER
from x2gobroker.agents.base import NONSENSE, REFUSED, TIMEOUT, UNREACHABLE, BrokerAgent, Reply
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.logs import field
from x2gobroker.model.hosts import Endpoint

# nothing of the broker's own: agents look at SSH_ORIGINAL_COMMAND and SUDO_USER
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
PIECE = 1 << 16
END_SECONDS = 0.2


class LocalAgent(BrokerAgent):
    """Starts the program, without a shell, in a process group of its own, and ends it at its limits."""

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        end = time.monotonic() + seconds
        try:
            process = subprocess.Popen(
                [rules.command, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except PermissionError:
            raise AgentError(
                f"{rules.command}: this process may not run it; make its user a member of the program's group", REFUSED
            ) from None
        except OSError as error:
            advice = "install the broker agent here, or set X2GOBROKER_AGENT_CMD"
            raise AgentError(f"{rules.command}: {error.strerror}; {advice}", UNREACHABLE) from None
        with contextlib.ExitStack() as cleanup:
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    cleanup.enter_context(stream)
            try:
                return _finished(process, rules.command, end, seconds)
            finally:
                _end(process)


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
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
