"""The tests that need no real programs, on Debian 13 and its Python."""
