"""SSH connections to servers, by paramiko; `x2go/` alone uses paramiko beside this. Nothing of it knows of brokers' agents."""
