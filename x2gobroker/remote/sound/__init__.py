"""Sound of desktops: from a sound server of the desktop's own to the pages of its user."""
