"""The name under which scripts of CEI Nexus import their base class; those scripts run here unchanged."""

from x2gobroker.remote.script import RemoteServiceScript

__all__ = ["RemoteServiceScript"]
