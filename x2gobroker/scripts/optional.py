"""Scripts that were written for x2gobroker 0.0.4.3, which called `run_me` with the eight values."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import astuple, fields
from typing import Any, final

from x2gobroker.scripts.base import BrokerScript, ScriptValues

Eight = tuple[Any, Any, Any, Any, Any, Any, Any, Any]


class X2GoBrokerOptionalScript(BrokerScript):
    """The base class of scripts with the reference's `run_me`."""

    @abstractmethod
    def run_me(
        self,
        username: str,
        password: str,
        task: str,
        profile_id: str,
        ip: str,
        cookie: str,
        authed: bool | None,
        server: str | None,
    ) -> Eight:
        """The eight values to go on with, in the order of the arguments."""

    @final
    def _run(self, values: ScriptValues) -> ScriptValues:
        username, password, task, profile_id, ip, cookie, authed, server = astuple(values)
        found = self.run_me(
            username=username,
            password=password,
            task=task,
            profile_id=profile_id,
            ip=ip,
            cookie=cookie,
            authed=authed,
            server=server,
        )
        if not isinstance(found, tuple) or len(found) != len(fields(ScriptValues)):
            return found  # type: ignore[return-value]  # the base class says what is wrong with it
        return ScriptValues(*found)
