"""Local folders in a session: an SFTP server in this process, which the X2Go Server mounts."""
