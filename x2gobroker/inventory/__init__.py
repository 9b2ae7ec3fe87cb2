"""Who is on which X2Go Server: what agents, clients and brokers said, as one picture; and what can be read in it."""
