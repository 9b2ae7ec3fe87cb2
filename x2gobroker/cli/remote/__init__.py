"""`x2gobroker-remote`, and the commands that set up desktops in the browser."""
