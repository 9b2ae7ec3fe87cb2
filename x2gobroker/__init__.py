"""X2Go Session Broker: tells X2Go clients which session profiles a user has and which X2Go Server to use."""

from __future__ import annotations

__version__ = "1.0.0a1"
