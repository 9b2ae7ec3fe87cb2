"""A user's sessions on X2Go Servers, without broker agents: over SSH, with the user's own password or key.

For what runs inside of the broker and has somebody's login at hand, as a portal has. No display is needed. Host keys
and the SSH proxy are those of the broker agents (agents/rules.py): the broker's `known_hosts`, `agent-hostkey-policy`,
and `agent-ssh-proxy`, where the broker logs in with its own key. Nothing is kept between two calls.
"""

from __future__ import annotations

from x2gobroker.user_sessions.sessions import UserSessions
from x2gobroker.user_sessions.values import ClientWish, FoundSessions, UserLogin, UserSession, WaitingSession

__all__ = ["ClientWish", "FoundSessions", "UserLogin", "UserSession", "UserSessions", "WaitingSession"]
