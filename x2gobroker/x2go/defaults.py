"""Places and names that an X2Go client uses by default, as Python X2Go has them."""

from __future__ import annotations

import os

LOCAL_HOME = os.path.expanduser("~")
CLIENT_ROOTDIR = os.path.join(LOCAL_HOME, ".x2goclient")
SESSIONS_ROOTDIR = os.path.join(LOCAL_HOME, ".x2go")
SSH_ROOTDIR = os.path.join(LOCAL_HOME, ".ssh")

LINKS = ("modem", "isdn", "adsl", "wan", "lan")
PUBAPP_MAX_NO_SUBMENUS = 10
COMMAND_SECONDS = 20.0
GENERIC_APPLICATIONS = ("WWWBROWSER", "MAILCLIENT", "OFFICE", "TERMINAL")

# The only backend of each kind. Their names are parameters of the public API, where Python X2Go has several.
CONTROL_BACKEND = TERMINAL_BACKEND = INFO_BACKEND = LIST_BACKEND = "PLAIN"
PROXY_BACKEND = "NX3"
SETTINGS_BACKEND = PRINTING_BACKEND = "FILE"
BACKENDS = ("PLAIN", "NX3", "FILE")
