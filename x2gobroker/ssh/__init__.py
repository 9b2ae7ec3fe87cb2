"""SSH connections to servers: the one room that uses paramiko. Nothing of it knows of brokers' agents."""
