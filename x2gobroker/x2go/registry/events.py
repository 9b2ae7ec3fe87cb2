"""What follows from changes of sessions: the client's HOOKs, and which session is the master of its connection."""

from __future__ import annotations

import time
from typing import Any

from x2gobroker.x2go.hooks import SessionParent
from x2gobroker.x2go.registry.lists import Lists
from x2gobroker.x2go.session import X2GoSession

# How long a session that has ended is still known as such.
TERMINATED_SECONDS = 60.0
# A session that becomes the master later than at its start waits, for its window to come up.
LATE_MASTER_SECONDS = 1


class Events:
    """Reactions to changes of sessions."""

    def __init__(self, client: SessionParent, lists: Lists) -> None:
        self._client = client
        self._lists = lists
        self.master_sessions: dict[str, X2GoSession] = {}
        self._ended_at: dict[str, float] = {}

    def react(self, session: X2GoSession, newly_connected: bool = False) -> None:
        """Compare a session's states with those at the last call, and call the HOOKs that follow."""
        if session.get_uuid() not in self._lists.registry:
            return
        before, now = session._take_change()
        about = {
            "session_uuid": session.get_uuid(),
            "profile_name": session.profile_name,
            "session_name": session.session_name or "UNKNOWN",
        }
        if now["running"]:
            self._ended_at.pop(session.get_uuid(), None)
            self._react_to_running(session, before, now, about, newly_connected)
        elif now["suspended"] and not before["suspended"]:
            self._drop_master(session)
            if before["connected"]:
                self._client.HOOK_on_session_has_been_suspended(**about)
        elif now["terminated"] and not before["terminated"]:
            self._drop_master(session)
            self._ended_at[session.get_uuid()] = time.monotonic()
            if before["connected"]:
                self._client.HOOK_on_session_has_terminated(**about)
        elif not now["connected"]:
            self._drop_master(session)

    def _react_to_running(
        self, session: X2GoSession, before: dict[str, Any], now: dict[str, Any], about: dict[str, str], found: bool
    ) -> None:
        client = self._client
        if now["shown"]:
            if before["running"] and before["shown"]:
                return
            self._forget_doubles(session)
            self._rise(session)
            if before["virgin"]:
                client.HOOK_on_session_has_started_by_me(**about)
            else:
                client.HOOK_on_session_has_resumed_by_me(**about)
        elif before["shown"] and session.taken_over:
            self._drop_master(session)
            client.HOOK_on_session_has_been_suspended(**about)
            client.HOOK_on_session_has_resumed_by_other(**about)
        elif before["running"]:
            return
        elif found:
            client.HOOK_on_found_session_running_after_connect(**about)
        elif before["suspended"]:
            client.HOOK_on_session_has_resumed_by_other(**about)
        else:
            client.HOOK_on_session_has_started_by_other(**about)

    def _forget_doubles(self, session: X2GoSession) -> None:
        """A session that was found on the server while this one was about to take its name is the same one."""
        for other in self._lists.registered_sessions_of_profile_name(session.profile_name):
            if (
                other is not session
                and other.session_name == session.session_name
                and not other.has_terminal_session()
                and not other.is_locked()
            ):
                self.forget(other.get_uuid())

    def _rise(self, session: X2GoSession) -> None:
        """Make a session the master, if its profile has none, or one that is no desktop while this one is."""
        with self._lists.guard:
            master = self.master_sessions.get(session.profile_name)
            if master is session:
                return
            if master is not None and not self._goes_before(session, master):
                return
            self.master_sessions[session.profile_name] = session
        if master is not None:
            master.unset_master_session()
        session.set_master_session()

    @staticmethod
    def _goes_before(session: X2GoSession, master: X2GoSession) -> bool:
        if not master.has_terminal_session():
            return True
        whole = session.is_desktop_session() or session.is_published_applications_provider()
        return whole and not (master.is_desktop_session() or master.is_published_applications_provider())

    def _drop_master(self, session: X2GoSession) -> None:
        with self._lists.guard:
            if self.master_sessions.get(session.profile_name) is not session:
                return
            del self.master_sessions[session.profile_name]
        session.unset_master_session()

    def choose_masters(self) -> None:
        """Every profile that shows sessions has a master: a desktop, else published applications, else the first."""
        for name in self._lists.connected_profiles(return_profile_names=True):
            with self._lists.guard:
                master = self.master_sessions.get(name)
                if master is not None and master.has_terminal_session():
                    continue
                shown = [
                    session for session in self._lists.associated_sessions_of_profile_name(name) if session.running
                ]
                if not shown:
                    continue
                chosen = min(shown, key=_rank)
                self.master_sessions[name] = chosen
            chosen.set_master_session(wait=LATE_MASTER_SECONDS)

    def sweep(self) -> None:
        """Forget sessions that ended a minute ago; the last one of a profile may be started anew."""
        now = time.monotonic()
        for session_uuid, ended in list(self._ended_at.items()):
            if now - ended < TERMINATED_SECONDS:
                continue
            self._ended_at.pop(session_uuid, None)
            session = self._lists.registry.get(session_uuid)
            if session is None or not session.terminated or session.is_locked():
                continue
            if len(self._lists.registered_sessions_of_profile_name(session.profile_name)) > 1:
                self.forget(session_uuid)
            else:
                session.renew()

    def forget(self, session_uuid: str) -> None:
        """Take a session out of the registry. Its connection stays as it is."""
        with self._lists.guard:
            session = self._lists.registry.pop(session_uuid, None)
            self._ended_at.pop(session_uuid, None)
        if session is not None:
            self._drop_master(session)


def _rank(session: X2GoSession) -> int:
    if session.is_desktop_session():
        return 0
    return 1 if session.is_published_applications_provider() else 2
