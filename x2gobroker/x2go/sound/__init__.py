"""Sound of a session, and the sound server of this client."""
