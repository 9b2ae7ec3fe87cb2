"""One question to one server, and what comes of it, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from x2gobroker.agents.base import NONSENSE, UNREACHABLE
from x2gobroker.agents.rules import SSH
from x2gobroker.errors import AgentError
from x2gobroker.inventory.reports import Heard, heard_load, heard_nothing, heard_report
from x2gobroker.loadchecker.picture import Picture
from x2gobroker.loadchecker.targets import Target
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.load import LoadReport
from x2gobroker.model.server_report import ServerReport
from x2gobroker.scheduling.probe import try_all
from x2gobroker.store.loads import OK, ServerLoad

PROBE_SECONDS = 1.5

Ask = Callable[[Target], LoadReport | ServerReport]


@dataclass(frozen=True)
class Result:
    """What came of a question, and why it failed. `heard` is what it says of sessions; None where it says nothing.

    `reports`: the server's agent has told its sessions.
    """

    load: ServerLoad
    heard: Heard | None
    why: str = ""
    reports: bool = False


def asked(ask: Ask, target: Target, others: Sequence[Endpoint]) -> Result:
    """Ask a server; `others` are those that profiles have. Raises nothing."""
    server = target.endpoint
    moment, begun = time.time(), time.monotonic()
    took, reports = 0.0, False
    try:
        answer = ask(target)
        took = time.monotonic() - begun
        _must_take_connections(target)  # where that cannot be tried, the answer says enough
    except AgentError as error:
        state, why = error.reason, str(error)
    except Exception as error:  # noqa: BLE001 - a query mode is a plug-in; the other servers are asked on
        state, why = NONSENSE, f"the agent query mode {target.rules.mode} fails: {error!r}"
    else:
        answered = time.time()
        if isinstance(answer, ServerReport):
            heard, load, reports = heard_report(server, others, answer, moment, answered), answer.load, True
        else:
            heard, load = heard_load(server, moment, answered), answer
        return Result(ServerLoad(server.key, server.name, OK, load, moment, answered, took), heard, "", reports)
    took = took or time.monotonic() - begun
    failed = ServerLoad(server.key, server.name, state, None, moment, 0.0, took)
    return Result(failed, heard_nothing(server, moment, state), why)


def tried(target: Target, picture: Picture, took: float) -> Result:
    """Try the port of a server that is watched; all else it has told already. Raises nothing.

    `took` is how long its last answer took. A server that takes no connections may well go on telling who is there.
    """
    server = target.endpoint
    load, heard = picture.load
    try:
        is_tried = _must_take_connections(target)
    except AgentError as error:
        state, why = error.reason, str(error)
    except Exception as error:  # noqa: BLE001 - no file descriptors, say; whoever waits for the result must know
        state, why = NONSENSE, f"its port cannot be tried: {error!r}"
    else:
        if is_tried:
            return Result(ServerLoad(server.key, server.name, OK, load, heard, heard, took), None, "", True)
        state, why = NONSENSE, "its port cannot be tried: there is no thread to resolve its name"
    # as of now: a sign of life during the try does not outdo it
    return Result(ServerLoad(server.key, server.name, state, None, time.time(), 0.0, took), None, why, True)


def unasked(target: Target, took: float, error: Exception) -> Result:
    """What comes of a question that could not be begun; that says nothing of the server. `took` as for `tried`."""
    server = target.endpoint
    failed = ServerLoad(server.key, server.name, NONSENSE, None, time.time(), 0.0, took)
    return Result(failed, None, f"it cannot be asked: {error}")


def _must_take_connections(target: Target) -> bool:
    """Raises AgentError where an agent answers on a connection that is kept, but users would get none.

    Its sshd was stopped, say: what was connected before goes on. Returns whether that could be tried: this machine may
    have no thread to resolve the server's name, which says nothing of the server.
    """
    rules, untried = target.rules, set[Endpoint]()
    if rules.mode != SSH or rules.proxy or try_all({target.endpoint}, PROBE_SECONDS, (), untried):
        return True
    if not untried:
        raise AgentError("the agent answers on a kept connection, but the SSH port takes no new one", UNREACHABLE)
    return False
