"""SSH connections to servers, by paramiko. It knows nothing of broker agents. Only `x2go/` uses paramiko beside it."""
