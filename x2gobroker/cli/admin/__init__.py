"""The commands of `x2gobroker`, the administrator's program."""
