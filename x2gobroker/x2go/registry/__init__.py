"""X2GoSessionRegistry: what a client knows of all its sessions."""

from x2gobroker.x2go.registry.registry import X2GoSessionRegistry

__all__ = ["X2GoSessionRegistry"]
