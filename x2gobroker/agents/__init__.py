"""Broker agents: programs on X2Go Servers that the broker asks. Query modes are plug-ins of `x2gobroker.agents`."""
