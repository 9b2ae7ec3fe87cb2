"""The SSH connection to an X2Go Server: the way there, trust in host keys, commands, tunnels, streams."""
