"""`x2gobroker-daemon`."""
