"""The terminal session: one session on an X2Go Server, and what shows it here."""

from x2gobroker.x2go.terminal.session import X2GoTerminalSession

__all__ = ["X2GoTerminalSession"]
