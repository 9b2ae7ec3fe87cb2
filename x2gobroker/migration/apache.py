"""What Apache has enabled of the former broker: Debian's snippet, and VirtualHosts of the site's own."""

from __future__ import annotations

import re

from x2gobroker.migration.reader import Reader
from x2gobroker.migration.site import ApacheFile

FOLDERS = ("/etc/apache2/conf-enabled", "/etc/apache2/sites-enabled")
SNIPPET = "/etc/apache2/conf-enabled/x2gobroker-wsgi.conf"
OURS = "/etc/apache2/conf-available/x2gobroker.conf"
# x2goroker-wsgi: a slip in the VirtualHost that Debian's package ships
FORMER_ENTRY = re.compile(r"WSGIScriptAlias\s+(?P<alias>\S+)\s+\"?\S*/x2go(?:b)?roker-wsgi\b", re.IGNORECASE)
OUR_ENTRY = re.compile(r"WSGIScriptAlias\s+\S+\s+\S*x2gobroker\.wsgi", re.IGNORECASE)
GROUP = re.compile(r"WSGIDaemonProcess\s+\"?x2gobroker\"?(?:\s|$)", re.IGNORECASE)
VARIABLE = re.compile(r"SetEnv\s+(?P<name>X2GOBROKER_[A-Z0-9_]+)\s+(?P<value>.*)", re.IGNORECASE)
REQUIRE = re.compile(r"Require\s+(?P<who>.*)", re.IGNORECASE)
PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@+-]+")


def read_apache(reader: Reader) -> tuple[tuple[ApacheFile, ...], bool]:
    """The enabled files that run the former broker, and whether one of them runs this one."""
    found, ours = [], False
    for folder in FOLDERS:
        for name in reader.names(folder):
            path = f"{folder}/{name}"
            text = reader.text(path)
            if text is None or not name.endswith(".conf"):
                continue
            lines = logical_lines(text)
            ours = ours or any(OUR_ENTRY.match(line) for _, line in lines)
            former = read_file(path, lines)
            if former is not None:
                found.append(former)
    return tuple(found), ours


def logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines that are no comments, with their numbers; those that a backslash continues are one."""
    found: list[tuple[int, str]] = []
    begun: tuple[int, str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip()
        number, words = (begun[0], f"{begun[1]} {words}") if begun else (number, words)
        begun = (number, words.removesuffix("\\").rstrip()) if words.endswith("\\") else None
        if begun is None and words and not words.startswith("#"):
            found.append((number, words))
    return found


def read_file(path: str, lines: list[tuple[int, str]]) -> ApacheFile | None:
    """What one file says of the former broker; None where it says nothing of it."""
    entries = [(number, match["alias"]) for number, line in lines if (match := FORMER_ENTRY.match(line))]
    groups = [number for number, line in lines if GROUP.match(line)]
    if not entries and not (groups and not any(OUR_ENTRY.match(line) for _, line in lines)):
        return None
    variables, odd, requires = {}, [], []
    for _, line in lines:
        if match := VARIABLE.match(line):
            value = match["value"].strip().strip('"')
            if PLAIN_VALUE.fullmatch(value):
                variables[match["name"].upper()] = value
            else:
                odd.append(line)
        elif match := REQUIRE.match(line):
            requires.append(match["who"].strip())
    number, alias = entries[0] if entries else (groups[0], "")
    return ApacheFile(path, number, path == SNIPPET, alias, variables, tuple(requires), tuple(odd))


def our_text(sample: str, former: ApacheFile, prefix: str) -> str:
    """The text of our snippet for what the site's says: path, files, backend, and who may come.

    `prefix`: the virtual environment.
    """
    values = dict(former.variables)
    lines = ["# From x2gobroker-wsgi.conf of Debian's package, by `x2gobroker migrate`."]
    if PLAIN_VALUE.fullmatch(former.alias) and former.alias != "/":
        lines.append(f"Define X2GOBROKER_PATH {former.alias.rstrip('/')}")
    lines.append(f"Define X2GOBROKER_VENV {prefix}")
    for name in ("X2GOBROKER_CONFIG", "X2GOBROKER_SESSIONPROFILES", "X2GOBROKER_DEFAULT_BACKEND"):
        if name in values:
            lines.append(f"Define {name} {values.pop(name)}")
    lines += [f"SetEnv {name} {value}" for name, value in sorted(values.items())]
    text = sample
    if former.requires:
        rules = "\n".join(f"        Require {who}" for who in former.requires)
        text = text.replace("        Require all granted", rules, 1)
    return "\n".join(lines) + "\n\n" + text
