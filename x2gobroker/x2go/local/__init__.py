"""Programs and files of this machine that have to do with files from a server."""
