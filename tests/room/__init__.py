"""What `tests.rooms` makes a room of."""
