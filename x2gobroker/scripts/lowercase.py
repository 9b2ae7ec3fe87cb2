"""The script `lowercase`."""

from __future__ import annotations

from dataclasses import replace

from x2gobroker.scripts.base import BrokerScript, ScriptValues


class LowercaseScript(BrokerScript):
    """For `pre_auth_scripts`: takes user names in small letters, for sites where `Anna` and `anna` are one person.

    Without it they are two to access rules and to the X2Go Server, even where the directory lets both in.
    """

    def _run(self, values: ScriptValues) -> ScriptValues:
        return replace(values, username=values.username.lower())
