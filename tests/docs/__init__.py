"""The tests that hold the documentation against the program."""
