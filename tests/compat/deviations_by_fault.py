"""The deviations that answer a fault of the reference; the scenarios of the same id show each of them."""

from __future__ import annotations

from tests.compat.deviation import Deviation

FAULTS: tuple[Deviation, ...] = (
    Deviation(
        "bad-value",
        "A bad value costs one option, not the broker",
        "One value of the wrong type in one profile makes every listing a 500, even for users who may not see that "
        "profile.",
        "The value of `[DEFAULT]` or the built-in one takes its place; `x2gobroker check-config` and the log report "
        "it.",
        "A mistake in one profile must not lock everybody out.",
        ("F16",),
    ),
    Deviation(
        "broken-file",
        "A file that cannot be read changes nothing",
        "Every request is a 500 until the file is repaired.",
        "The last good configuration stays in service; the log and `x2gobroker check-config` report the fault.",
        "An editing mistake must not stop the service.",
    ),
    Deviation(
        "bad-client-rule",
        "A bad entry in a list of clients fails closed",
        "It voids both lists of the profile: nobody is denied any more, or nobody is allowed.",
        "In `acl-clients-deny` it denies every client, in `acl-clients-allow` it matches none; an empty entry (a "
        "trailing comma) is ignored.",
        "A mistake in a deny list must not let anybody in, and one in an allow list should cost only its own entry.",
        ("F5",),
    ),
    Deviation(
        "unknown-acl-rule",
        "A misspelt access rule lets nobody in",
        "An unknown `acl-` option is ignored.",
        "Nobody is offered the profile; `x2gobroker check-config` names the nearest known rule.",
        "Somebody wanted to protect this profile.",
    ),
    Deviation(
        "deny-spelling",
        "Deny lists match names in any spelling",
        "`acl-users-deny = anna` does not apply to a user who logs in as `Anna`.",
        "It does: deny lists ignore the case of letters, and match other names of the account that the system knows, "
        "such as `EXAMPLE\\anna`. Allow lists match the name exactly, as the user writes it or as the system itself "
        "calls the account.",
        "Directories treat them as one user, who could get around the rule this way.",
    ),
    Deviation(
        "bad-name-rule",
        "A slip in a list of users or groups fails closed",
        "An entry such as `bert;anna`, `anna # remark`, `all` or `'anna` is a name that nobody has: a deny list of it "
        "denies nobody.",
        "In a deny list it denies everybody, in an allow list it allows nobody; `x2gobroker check-config` names it.",
        "A mistake in a deny list must not let anybody in.",
    ),
    Deviation(
        "quoted-names",
        "Quotes around a name in a list of users or groups are not part of it",
        'With `acl-users-deny = "anna"`, anna is not denied, because the quotes count as part of the name.',
        "The name between the quotes counts; it may contain commas and blanks.",
        "Everybody writes it in one of these ways, and expects the same.",
    ),
    Deviation(
        "profile-layout",
        "A slip in the layout of a session profile closes it",
        "Text after `[desk]` is ignored, with the rules in it. An indented option or section continues the value above "
        "it, so a rule has no effect.",
        "Nobody is offered the profile; `x2gobroker check-config` names the line. In `[DEFAULT]`, such a slip closes "
        "all profiles of the file.",
        "Somebody wanted to protect this profile.",
    ),
    Deviation(
        "default-section",
        "A section that is meant to be `[DEFAULT]` opens nothing",
        "`[default]` and `[Defaults]` are session profiles: their rules do not count for the others.",
        "Nobody is offered such a profile. If it has access rules, nobody is offered any profile of the file; "
        "`x2gobroker check-config` says what to write.",
        "Somebody wanted to protect all profiles.",
    ),
    Deviation(
        "acl-any-order",
        "`acl-any-order` works",
        "Documented, but never used.",
        "It sets the order for users, groups and clients that have no order of their own.",
        "It is documented.",
        ("F17",),
    ),
    Deviation(
        "client-host-names",
        "Host names in client rules work",
        "Documented, but they void the list like any other bad entry.",
        "The broker resolves names. One that does not resolve matches in a deny list, but not in an allow list.",
        "It is documented.",
        ("F17", "F5"),
    ),
    Deviation(
        "host-forms",
        "Server entries are read as they are meant",
        "Several blanks, a port alone, an IP address as the name, IPv6 and other forms give `0.0.0.0`, half a name or "
        "a wrong port.",
        "`name`, `name:port`, `name (address)`, `name (address:port)`, `name (port)` with IPv4, IPv6 (in brackets "
        "before a port) and host names, including non-ASCII ones; any other entry is left out and reported. A plain "
        "answer cannot contain an IPv6 address, so it contains the name.",
        "Clients would connect to the wrong place.",
        ("F19",),
    ),
    Deviation(
        "broker-booleans",
        "`broker-` options accept every spelling of true",
        "`yes` and `on` count as false.",
        "They count as true, as in every other option.",
        "Nobody would guess that.",
        ("F21",),
    ),
    Deviation(
        "profile-named-as-option",
        "A profile may have the name of an option",
        "A profile `[sound]` makes every other profile lose its option `sound`.",
        "Names of profiles and names of options do not affect each other.",
        "Nobody would guess that.",
        ("F18",),
    ),
    Deviation(
        "bracket-lists",
        "Lists in brackets are lists",
        "They are evaluated as Python code; `[h2]` is a 500.",
        "They are read as lists, with or without quotes; nothing is ever evaluated.",
        "A configuration file is not a program.",
        ("F6",),
    ),
    Deviation(
        "pre-shared-authid",
        "A pre-shared authid works together with a password",
        "Every first contact is a 500.",
        "The first contact needs both the pre-shared authid and the password; the client then gets a new authid.",
        "It is documented.",
        ("F9",),
    ),
    Deviation(
        "dead-authid",
        "An invalid authid does not block a login with the right password",
        "A request with an authid that is unknown, expired or used up is refused, whatever else it contains.",
        "If the request also has a password, or comes over SSH, it counts as a login without the authid.",
        "X2Go Client keeps sending a dead authid with the password that its user has just typed, so it could never "
        "log in again.",
    ),
    Deviation(
        "testcon-keeps-authid",
        "A connection test does not use up the login",
        "It uses up the authid and returns none, so the next request is refused.",
        "The authid stays as it was.",
        "A test must not change what it tests.",
        ("F20",),
    ),
    Deviation(
        "json-zeroconf",
        "`/json/zeroconf` lists its profile",
        "500.",
        "The profile that `/plain/zeroconf` lists.",
        "Both frontends are documented.",
        ("F11",),
    ),
    Deviation(
        "user-names",
        "Names that no user can have are refused",
        "An empty name is granted access and gets an authid that is never valid; line feeds reach the listing; a name "
        "of more than about 218 bytes is a 500.",
        "While passwords are required, the broker refuses an empty name, a name with line ends or other unprintable "
        "characters, and a name of more than 256 characters.",
        "Names end up in answers, logs and commands.",
        ("F8", "F10"),
    ),
    Deviation(
        "user-paths",
        "A user's name is never a path",
        "Names with `/` are a 500, or create files outside the cookie directory.",
        "They are names like any other; the auth mechanism decides whether they are valid.",
        "What a client sends must not reach the file system.",
        ("F3", "F4", "F10"),
    ),
    Deviation(
        "odd-backends",
        "An unknown backend is a 404, whatever its name",
        "Names with odd characters are a 500, because they are pasted into Python code. `base` counts as a backend.",
        "404. The broker finds backends by their registered names.",
        "A URL must never become code.",
        ("F2", "F11"),
    ),
    Deviation(
        "no-slash",
        "`/plain` and `/json` work like `/plain/` and `/json/`",
        "404 without the slash.",
        "The default backend answers, with and without it.",
        "The slash is easy to forget when you type a URL.",
    ),
    Deviation(
        "longer-paths",
        "Nothing may follow the backend in a URL",
        "Whatever follows the backend's name is ignored.",
        "404; a second slash does no harm.",
        "A mistyped URL should be noticed.",
    ),
    Deviation(
        "plain-listprofiles",
        "`listprofiles` lists profiles at `/plain/` too",
        "Only `/json/` knows the newer name of `listsessions`; at `/plain/` it is an unknown task.",
        "Both names work at both frontends.",
        "One name less to remember.",
    ),
    Deviation(
        "odd-bodies",
        "A body that is not UTF-8 is the client's mistake",
        "500, unless the body is declared as a form.",
        "400.",
        "It is not the server's fault.",
        ("F10",),
    ),
    Deviation(
        "silence",
        "Every request is answered",
        "Wrong methods at `/`, `/pubkeys` and `/uccs/<backend>` are never answered; the connection stays open.",
        "405.",
        "Open connections are a cheap way to stop a server.",
        ("F13",),
    ),
    Deviation(
        "auth-mech-crash",
        "A password that cannot be checked is a 503",
        "401, as after a wrong password, also when the broker asks PAM itself because the authentication service is "
        "down. `https_get` is always a 500, and so is an unknown mechanism whose name is not a Python identifier.",
        "503 with an explanation, at `/plain/` too, and no failure is counted. The broker asks PAM without the "
        "service only as root, or with `without-authservice = true`. `https_get` works.",
        "Users who are told that a right password is wrong try others, and ask for new ones.",
        ("F15",),
    ),
    Deviation(
        "port-scan",
        "The port scan works for every host",
        "500 if `localhost` is the only host and is down, and for names that cannot exist.",
        "The broker gives out a single host whether it is up or down; it leaves out a name that cannot exist.",
        "This is what 0.0.4.3 does with every other host.",
        ("F14",),
    ),
    Deviation(
        "uccs-password",
        "Passwords work at the UCCS frontend",
        "With any `Authorization` header, the connection is closed without an answer.",
        "HTTP Basic authentication, including passwords with colons; 401 for anything that cannot be understood.",
        "It is documented.",
        ("F12",),
    ),
    Deviation(
        "uccs-versions",
        "Unknown versions of the UCCS protocol are a 404",
        "Any other digit is answered like version 5.",
        "404 for all versions but 4 and 5.",
        "A client of another version would misread the answer.",
        ("F22",),
    ),
    Deviation(
        "uccs-hostless",
        "A profile without a host does not break the UCCS frontend",
        "500, for every user who may see the profile.",
        "Its server is `no-server-available`, as in the answer to `selectsession`.",
        "One profile must not break the others.",
    ),
    Deviation(
        "uccs-nameless",
        "RDP profiles without a name do not break the UCCS frontend",
        "500.",
        "The profile's id is its name.",
        "As in the listings.",
        ("F11",),
    ),
)
