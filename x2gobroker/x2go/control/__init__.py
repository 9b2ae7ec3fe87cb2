"""The control session: one connection to an X2Go Server, and everything that is done over it."""

from x2gobroker.x2go.control.session import X2GoControlSession

__all__ = ["X2GoControlSession"]
