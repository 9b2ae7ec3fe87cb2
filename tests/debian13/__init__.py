"""The unit tests, on Debian 13 and its Python."""
