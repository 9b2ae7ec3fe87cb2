"""Name services: who the users are and which groups they have. Registered under `x2gobroker.nameservices`."""
