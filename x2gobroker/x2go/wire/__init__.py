"""What goes to and comes from an X2Go Server: command lines, parameters, lists. Nothing here does input or output."""
