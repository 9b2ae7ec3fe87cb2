"""Scripts: code of a site's own that looks at logins and selections. Plug-ins of `x2gobroker.scripts`."""
