"""Files between browsers and the home folders of desktops' users."""
