"""What every script is: eight values in, eight values out, as with the optional scripts of x2gobroker 0.0.4.3."""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import final

from x2gobroker.logs import broker_log, error_log

SLOW_SECONDS = 1.0
LONGEST_VALUE = 16384


class ScriptError(Exception):
    """A script raised something, or returned what it may not. The log has said so already."""


@dataclass(frozen=True)
class ScriptValues:
    """What a script is told, and what it answers with.

    `authed` is None before the login is checked, then whether it was granted; a script says False to refuse. `server`
    is the name or address of the X2Go Server that was chosen, None before.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    task: str = ""
    profile_id: str = ""
    ip: str = ""
    cookie: str = field(default="", repr=False)
    authed: bool | None = None
    server: str | None = None

    def problem(self) -> str:
        """What is wrong with the types of the values; empty if nothing. Never repeats a value."""
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "authed":
                right = value is None or isinstance(value, bool)
            elif each.name == "server" and value is None:
                right = True
            else:
                right = isinstance(value, str) and len(value) <= LONGEST_VALUE
            if not right:
                return f"{each.name} is no possible value, but a {type(value).__name__}"
        return ""


class BrokerScript(ABC):
    """Code of a site's own, run before a login is checked, after it, or once a server is chosen.

    One object serves all requests and threads of a process. A plug-in derives from this class and writes `_run`, or
    derives from `x2gobroker.scripts.optional.X2GoBrokerOptionalScript` and writes `run_me`. It registers itself under
    the entry-point group `x2gobroker.scripts`; the entry point's name is what `pre_auth_scripts`, `post_auth_scripts`
    and `select_session_scripts` name. It holds up the request for as long as it runs, and has to limit that itself.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def _run(self, values: ScriptValues) -> ScriptValues:
        """The values to go on with: `values` itself, or `dataclasses.replace(values, ...)`. May raise anything."""

    @final
    def run(self, values: ScriptValues, stage: str) -> ScriptValues:
        """The values to go on with. Raises ScriptError; the log says why, without any of the values.

        `stage` is the option that names the script.
        """
        begun = time.monotonic()
        try:
            found = self._run(values)
        except Exception as error:  # noqa: BLE001 - a script may raise anything; its text may hold a password
            error_log.error("%s: script %s failed: %s", stage, self.name, _place(error))
            raise ScriptError from None
        finally:
            took = time.monotonic() - begun
            if took > SLOW_SECONDS:
                broker_log.warning("%s: script %s took %.1f s; users wait for it", stage, self.name, took)
        problem = found.problem() if isinstance(found, ScriptValues) else f"it returned a {type(found).__name__}"
        if problem:
            error_log.error("%s: script %s failed: %s", stage, self.name, problem)
            raise ScriptError
        return found


def _place(error: Exception) -> str:
    """The kind of an exception and where it was raised; not its text, which could repeat what the script was told."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    return f"{type(error).__name__} in {last.filename}, line {last.lineno}" if last else type(error).__name__
