"""Auth mechanisms: who checks a password, or who already has. Registered under `x2gobroker.authmechs`."""
