"""X2GoSession: one session on one server, from the connect to the end."""

from x2gobroker.x2go.session.session import X2GoSession

__all__ = ["X2GoSession"]
