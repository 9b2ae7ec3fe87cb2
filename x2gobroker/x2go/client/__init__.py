"""X2GoClient: several sessions, by profiles, under one roof."""

from x2gobroker.x2go.client.client import X2GoClient

__all__ = ["X2GoClient"]
