"""Frontends: HTTP in, a call on the broker, bytes out. Registered under `x2gobroker.frontends`."""
