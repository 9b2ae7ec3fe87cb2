"""The broker over SSH: `x2gobroker-ssh`."""
