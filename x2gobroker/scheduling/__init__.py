"""Scheduling: which of a session profile's X2Go Servers a user is sent to."""
