"""What the load checker's log has of servers: what has changed, once, however often it is found."""

from __future__ import annotations

from x2gobroker.inventory.happenings import Told
from x2gobroker.inventory.reports import Heard
from x2gobroker.loadchecker.watching import Lost
from x2gobroker.logs import field, loadchecker_log
from x2gobroker.store.loads import OK


class Sayings:
    """Knows what was said last of each server. For one thread."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._lying: set[str] = set()
        self._troubled: dict[str, str] = {}
        self._lost: dict[str, str] = {}

    def state(self, key: str) -> str:
        """How the last question to a server went."""
        return self._states.get(key, OK)

    def answered(self, key: str, state: str, why: str) -> None:
        """A server was asked."""
        before, self._states[key] = self.state(key), state
        if state not in (OK, before):
            loadchecker_log.warning("X2Go Server %s: no load report: %s: %s", field(key), state, why)
        elif state == OK != before:
            loadchecker_log.warning("X2Go Server %s: load reports again", field(key))

    def heard(self, heard: Heard) -> None:
        """A server has told its sessions; there may be some that are not believed."""
        key, lies = heard.server.key, bool(heard.foreign or heard.odd)
        if lies and key not in self._lying:
            loadchecker_log.warning(
                "X2Go Server %s: %d sessions in its report are of other servers, and %d can be none: they are left out",
                field(key),
                heard.foreign,
                heard.odd,
            )
        if isinstance(heard.happening, Told):
            (self._lying.add if lies else self._lying.discard)(key)

    def watched(self, key: str, trouble: str) -> bool:
        """A watch goes on; `trouble` is why the server cannot say who is there. Whether it was lost before."""
        if trouble and self._troubled.get(key) != trouble:
            loadchecker_log.warning("X2Go Server %s cannot tell its sessions: %s", field(key), trouble)
        elif not trouble and self._troubled.pop(key, ""):
            loadchecker_log.warning("X2Go Server %s tells its sessions again", field(key))
        if trouble:
            self._troubled[key] = trouble
        again = self._lost.pop(key, "")
        if again:
            loadchecker_log.warning("X2Go Server %s is watched again", field(key))
        return bool(again)

    def lost(self, lost: Lost) -> None:
        """A watch has ended."""
        if self._lost.get(lost.key) != lost.reason:
            loadchecker_log.warning("X2Go Server %s: its watch ended: %s: %s", field(lost.key), lost.reason, lost.why)
        self._lost[lost.key] = lost.reason

    def forget(self, key: str) -> None:
        """A server is in no profile any more."""
        for by_key in (self._states, self._troubled, self._lost):
            by_key.pop(key, None)
        self._lying.discard(key)
