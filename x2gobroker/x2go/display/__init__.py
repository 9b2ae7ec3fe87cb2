"""Showing a session here: nxproxy, and windows on the display."""
