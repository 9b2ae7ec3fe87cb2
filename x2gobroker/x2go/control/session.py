"""The control session: one connection to an X2Go Server, and everything that is done over it."""

from __future__ import annotations

from x2gobroker.x2go.control.sessions import ControlSessions


class X2GoControlSession(ControlSessions):
    """A connection to an X2Go Server, and what X2Go does over it. With Python X2Go's methods and parameters."""
