"""Running the scripts that the configuration names, in their order, and what their answers may change."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from x2gobroker.errors import PluginError
from x2gobroker.logs import broker_log, error_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.hosts import is_host_name
from x2gobroker.plugins import SCRIPTS, load
from x2gobroker.scripts.base import BrokerScript, ScriptError, ScriptValues
from x2gobroker.settings import GLOBAL, Problem, Settings

PRE_AUTH = "pre_auth_scripts"
POST_AUTH = "post_auth_scripts"
SELECT_SESSION = "select_session_scripts"
STAGES = (PRE_AUTH, POST_AUTH, SELECT_SESSION)


@dataclass(frozen=True)
class Ruling:
    """The values to go on with, and the name of the script that refuses the request; empty if none does."""

    values: ScriptValues
    refused_by: str = ""


@dataclass
class ScriptChain:
    """The scripts of one application, each made at first use; safe for threads."""

    _made: dict[str, BrokerScript] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def before_login(self, settings: Settings, values: ScriptValues) -> Ruling:
        """Run `pre_auth_scripts`. They may change user name, password, task, profile and authid, or refuse.

        One that is missing or fails refuses: it may be there to keep somebody out.
        """
        for name in names(settings, PRE_AUTH):
            try:
                said = self._script(name, PRE_AUTH).run(values, PRE_AUTH)
            except ScriptError:
                return self._refused(values, PRE_AUTH, name)
            if said.authed is False:
                return self._refused(values, PRE_AUTH, name)
            values = replace(said, ip=values.ip, authed=None, server=None)
        return Ruling(values)

    def after_login(self, settings: Settings, values: ScriptValues) -> Ruling:
        """Run `post_auth_scripts`, whether or not the login was granted. They may change task and profile, or refuse.

        They never turn a refusal into a grant. One that is missing or fails refuses.
        """
        for name in names(settings, POST_AUTH):
            try:
                said = self._script(name, POST_AUTH).run(values, POST_AUTH)
            except ScriptError:
                return self._refused(values, POST_AUTH, name)
            if values.authed and not said.authed:
                return self._refused(values, POST_AUTH, name)
            values = replace(values, task=said.task, profile_id=said.profile_id)
        return Ruling(values)

    def after_selection(self, settings: Settings, values: ScriptValues) -> str:
        """Run `select_session_scripts`; the server to name. One that is missing or fails changes nothing."""
        for name in names(settings, SELECT_SESSION):
            try:
                said = self._script(name, SELECT_SESSION).run(values, SELECT_SESSION)
            except ScriptError:
                continue
            server = said.server or ""
            if is_host_name(server):
                values = replace(values, server=server)
            elif server != values.server:
                error_log.error(
                    "select_session_scripts: script %s names the server %s, which is neither a host name nor an IPv4 "
                    "address; the server stays",
                    name,
                    log_field(server),
                )
        return values.server or ""

    def _script(self, name: str, stage: str) -> BrokerScript:
        known = self._made.get(name)
        if known is None:
            try:
                made = load(SCRIPTS, name, BrokerScript)(name)  # type: ignore[type-abstract]
            except PluginError as error:
                error_log.error("%s: %s", stage, error)
                raise ScriptError from None
            except Exception as error:
                error_log.error("%s: script %s cannot be made: %s", stage, log_field(name), type(error).__name__)
                raise ScriptError from error
            with self._lock:
                known = self._made.setdefault(name, made)
        return known

    @staticmethod
    def _refused(values: ScriptValues, stage: str, name: str) -> Ruling:
        # at WARNING like logins: an administrator who wonders why somebody cannot log in looks there
        broker_log.warning(
            "login user=%s address=%s refused by script %s of %s",
            log_field(values.username),
            log_field(values.ip),
            log_field(name),
            stage,
        )
        return Ruling(values, name)


def names(settings: Settings, stage: str) -> tuple[str, ...]:
    """The scripts of a stage, in their order."""
    value = settings.value(GLOBAL, stage)
    return tuple(name for name in value if name) if isinstance(value, tuple) else ()


def script_problems(settings: Settings) -> list[Problem]:
    """Names of scripts that are not installed, or do not load."""
    problems = []
    for stage in STAGES:
        for name in names(settings, stage):
            try:
                load(SCRIPTS, name, BrokerScript)  # type: ignore[type-abstract]
            except PluginError as error:
                verdict = "every login is refused" if stage != SELECT_SESSION else "it is left out"
                path = settings.environment("X2GOBROKER_CONFIG")
                problems.append(Problem(path, 0, f"[{GLOBAL}] {stage}: {error}; {verdict}"))
    return problems
