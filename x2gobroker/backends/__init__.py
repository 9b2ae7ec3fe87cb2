"""Backends: where session profiles come from. Each is registered under `x2gobroker.backends`."""
