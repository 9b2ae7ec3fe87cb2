"""X2Go sessions over SSH: a library that does what an X2Go client does, with the public API of Python X2Go."""
