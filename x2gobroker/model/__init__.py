"""Values that the other floors exchange. Nothing here reads a file, a clock or a network."""
