"""Where our answers differ from those of x2gobroker 0.0.4.3 on purpose: what, how, and why.

The comparison starts from the reference's answer, or, where the reference has a fault, from its answer to the same
thing said in a way that it gets right. Each deviation that applies rewrites that into what ours has to answer. Nothing
else may differ.
"""

from __future__ import annotations

import configparser
import re
from dataclasses import replace
from typing import Any

from tests.compat.deviation import Deviation
from tests.compat.deviations_by_fault import FAULTS
from tests.compat.meaning import Meaning, Profile, as_text
from tests.compat.not_compared import not_compared_markdown
from tests.compat.reference_results import reference_tests_markdown
from tests.compat.runner import Exchange

ZEROCONF = "localhost"
PLAIN_TYPE = "text/plain;charset=utf-8"
UNKNOWN_SERVER = ("no-server-available", "22")
NO_STORE = "Cache-Control: no-store"


PYHOCA_BOOLEANS = ("autologin", "published", "krblogin")  # of those that the scenarios use
PYHOCA_INTEGERS = ("rdpport",)
PYHOCA_TEXTS = """
    applications clipboard command directrdpsettings export host icon iconvfrom iconvto key layout mimeboxaction
    mimeboxextensions name pack rdpclient rdpoptions rdpserver sessiontitle soundsystem sshproxyhost sshproxykeyfile
    sshproxytype sshproxyuser type user variant xdmcpserver
"""


def _headers(exchange: Exchange, said: Meaning) -> Meaning:
    if said.status != 200:
        return said
    kind, path = said.content_type, exchange.request.path
    if "/api/" in path:
        kind = "application/json"
    elif path.startswith(("/pubkeys", "/uccs")):
        kind = PLAIN_TYPE
    return replace(said, content_type=kind, caching=NO_STORE)


def _uccs_unavailable(exchange: Exchange, said: Meaning) -> Meaning:
    request = exchange.request
    if request.frontend != "uccs" or "/api/" not in request.path or said.status != 401:
        return said
    conf = configparser.RawConfigParser()
    conf.read_string(exchange.scenario.files.conf)
    if conf.getboolean("global", "enable-uccs-output", fallback=False):
        backend = request.path.split("/")[2]
        if conf.getboolean(f"broker_{backend}", "enable", fallback=backend == "inifile"):
            return said
    return Meaning(404)


def _zeroconf(exchange: Exchange, said: Meaning) -> Meaning:
    if "zeroconf" not in exchange.request.path:
        return said
    if said.profiles:
        return replace(said, profiles=tuple((ZEROCONF, profile) for _, profile in said.profiles))
    if said.server is not None and exchange.request.sid != ZEROCONF:
        return replace(said, server=UNKNOWN_SERVER)
    return said


def _plain_refusal(exchange: Exchange, said: Meaning) -> Meaning:
    if said.status != 401 or exchange.request.frontend != "plain":
        return said
    if "plain-refusal = status" in exchange.scenario.files.conf:
        return said
    return Meaning(200, content_type=PLAIN_TYPE, caching=NO_STORE)


def _denied(exchange: Exchange, said: Meaning) -> Meaning:
    if said.server is None or exchange.offered is None or "zeroconf" in exchange.request.path:
        return said
    return said if exchange.request.sid in exchange.offered else replace(said, server=UNKNOWN_SERVER)


def _nameless(_: Exchange, said: Meaning) -> Meaning:
    if not said.profiles:
        return said
    return replace(said, profiles=tuple(
        (id_, profile if any(key == "name" for key, _ in profile) else (*profile, ("name", id_)))
        for id_, profile in said.profiles
    ))  # fmt: skip


def _json_texts(exchange: Exchange, said: Meaning) -> Meaning:
    if exchange.request.frontend != "json" or not said.profiles:
        return said
    known = PYHOCA_TEXTS.split()
    return replace(said, profiles=tuple(
        (id_, tuple(item for item in sorted(profile) if not isinstance(item[1], str) or item[0] in known))
        for id_, profile in said.profiles
    ))  # fmt: skip


def _testcon(exchange: Exchange, said: Meaning) -> Meaning:
    if exchange.request.task != "testcon" or said.status != 200:
        return said
    if exchange.request.frontend == "plain":
        return replace(said, granted=True, connection=True)
    return replace(said, granted=True, payload={"task": "testcon"})


def _folders(written: str) -> dict[str, bool]:
    """Shared folders as Python X2Go would take them apart, did it get that far."""
    entries = [entry.strip() for entry in written.split(";")]
    return {entry[:-2] if entry[-2:] in (":0", ":1") else entry: entry[-2:] != ":0" for entry in entries if entry}


def _json_types(exchange: Exchange, said: Meaning) -> Meaning:
    """Options that Python X2Go wants as booleans or integers, and of which the broker knows no type itself."""
    if exchange.request.frontend != "json" or not said.profiles:
        return said

    def typed(item: tuple[str, Any]) -> tuple[str, Any] | None:
        name, value = item
        if name == "export":
            return name, _folders(value)
        if not isinstance(value, str) or name not in (*PYHOCA_BOOLEANS, *PYHOCA_INTEGERS):
            return item
        if name in PYHOCA_BOOLEANS:
            return (name, value in ("true", "yes")) if value in ("true", "yes", "false", "0") else None
        return (name, int(value)) if value.isdigit() else None

    return replace(
        said,
        profiles=tuple((id_, tuple(new for item in profile if (new := typed(item)))) for id_, profile in said.profiles),
    )


def _setpass(exchange: Exchange, said: Meaning) -> Meaning:
    if exchange.request.task != "setpass" or not said.granted:
        return said
    if exchange.request.frontend == "plain":
        return replace(said, rest=("PASSWORD CHANGED:",))
    return replace(said, payload={**said.payload, "password-changed": False, "reason": True})


def _quoted(exchange: Exchange, said: Meaning) -> Meaning:
    if exchange.request.frontend != "plain" or not said.profiles:
        return said
    known = {*PYHOCA_TEXTS.split()} - {"host", "applications"}

    def quoted(key: str, value: str) -> str:
        special = (
            not value.isascii()
            or any(mark in value for mark in '"\\;\n')
            or value.startswith("@")
            or value != value.strip()
            or ("," in value and key in known)
        )
        return as_text(value) if special else value

    return replace(
        said,
        profiles=tuple(
            (id_, tuple((key, quoted(key, value)) for key, value in profile)) for id_, profile in said.profiles
        ),
    )


def _names(exchange: Exchange, said: Meaning) -> Meaning:
    if exchange.request.frontend != "plain" or not said.profiles:
        return said

    def written(name: str) -> str:
        return "".join(
            f"%{ord(letter):02X}" if letter in '%"#;,' or not letter.isascii() else letter for letter in name
        )

    return replace(said, profiles=tuple((written(id_), profile) for id_, profile in said.profiles))


def _spelling(exchange: Exchange, said: Meaning) -> Meaning:
    """`Height`, the one misspelt option of the scenarios."""
    if not said.profiles:
        return said
    file = configparser.RawConfigParser(default_section="none")
    file.optionxform = str  # type: ignore[assignment,method-assign]
    file.read_string(exchange.scenario.files.profiles)

    def counts(id_: str) -> bool:
        for section in (id_, "DEFAULT"):
            if file.has_section(section):
                if file.has_option(section, "height"):
                    return False
                if file.has_option(section, "Height"):
                    return True
        return False

    def spelt(id_: str, profile: Profile) -> Profile:
        if not any(key == "Height" for key, _ in profile):
            return profile
        if not counts(id_):
            return tuple((key, value) for key, value in profile if key != "Height")
        height = next(value for key, value in profile if key == "height")
        return tuple(
            ("height", type(height)(value)) if key == "Height" else (key, value)
            for key, value in profile
            if key != "height"
        )

    return replace(said, profiles=tuple((id_, spelt(id_, profile)) for id_, profile in said.profiles))


def _clientevent(exchange: Exchange, said: Meaning) -> Meaning:
    if exchange.request.task != "clientevent" or not said.granted or exchange.request.frontend != "json":
        return said
    return replace(said, payload={**said.payload, "recorded": True})


def _rdp_address(exchange: Exchange, said: Meaning) -> Meaning:
    if exchange.request.frontend != "uccs" or not isinstance(said.payload, dict):
        return said
    servers = []
    for server in said.payload["RemoteDesktopServers"]:
        name = server["URL"].removeprefix("http://").rstrip("/")
        found = re.search(rf"{re.escape(name)} \(([^():]+)", exchange.scenario.files.profiles)
        known = server["Protocol"] == "rdp" and found
        servers.append({**server, "URL": f"http://{found[1]}/"} if known and found else server)
    return replace(said, payload={**said.payload, "RemoteDesktopServers": servers})


def _page(exchange: Exchange, said: Meaning) -> Meaning:
    return replace(said, payload="page") if said.payload == "It works" else said


REWRITES: tuple[Deviation, ...] = (
    Deviation(
        "denied-profile",
        "A denied profile is denied in every task",
        "`selectsession` gives any logged-in user the server of any profile.",
        "A profile that the ACLs deny is answered like one that does not exist: `SERVER:no-server-available:22`.",
        "ACLs that only hide profiles protect nothing.",
        ("F1",),
        _denied,
    ),
    Deviation(
        "zeroconf-id",
        "The profile of `zeroconf` keeps its id",
        "Every listing has a new UUID; `selectsession` accepts any id.",
        "Its id is `localhost`; any other id is answered like a profile that does not exist.",
        "Clients remember profiles by their ids.",
        (),
        _zeroconf,
    ),
    Deviation(
        "uccs-unavailable",
        "UCCS answers 404 for what it does not offer",
        "401, even when the frontend is switched off or the backend does not exist.",
        "404.",
        "Nobody should be asked for a password that cannot help.",
        ("F22",),
        _uccs_unavailable,
    ),
    Deviation(
        "uccs-rdp-address",
        "UCCS gives the address of an RDP server",
        "The name of the first host, even if the profile gives its address.",
        "The address, as for X2Go Servers.",
        "The client connects to it.",
        (),
        _rdp_address,
    ),
    Deviation(
        "nameless-profile",
        "A profile without a name gets its id as its name",
        "The profile is listed without `name`, and the UCCS frontend answers 500 for RDP profiles.",
        "`name` is the profile's id.",
        "Clients show the name and sort by it.",
        ("F11",),
        _nameless,
    ),
    Deviation(
        "misspelt-options",
        "A misspelt option name is an error and is not sent to clients",
        "An option name in another case, such as `Host` or `ACL-Users-Allow`, is taken for an option of the client: "
        "the rule or value has no effect, and all clients are sent it.",
        "A known client option counts even if its name differs in case, hyphens, underscores or blanks. A name with a "
        "wrong letter is left out. A name that is nearly an access rule closes the profile. `check-config` names each "
        "of them.",
        "A mistake in a name must not open a profile.",
        (),
        _spelling,
    ),
    Deviation(
        "json-types",
        "JSON answers use the option types that PyHoca expects",
        'Options whose type the broker does not know are text, such as `"published": "true"`.',
        "Options that Python X2Go knows as booleans or integers are sent as such, and left out if their value does "
        'not fit. `export` is an object, `{"/home/anna/a": true}`.',
        "Python X2Go takes the text `false` for true, and stops with a traceback if `export` is text.",
        (),
        _json_types,
    ),
    Deviation(
        "json-unknown-text",
        "JSON answers contain no text options that PyHoca does not know",
        "Every key of the file is passed on.",
        "`/json/` leaves out text options that Python X2Go does not know; `/plain/` sends them.",
        "PyHoca stops with a traceback on a text option that it does not know.",
        (),
        _json_texts,
    ),
    Deviation(
        "testcon-answer",
        "A connection test says `Access granted`",
        "`/plain/` answers with `OK` alone, `/json/` with an empty body.",
        "`/plain/` answers with `OK` and `Access granted`, `/json/` with the usual object.",
        "Without `Access granted`, X2Go Client treats the test as failed; an empty body is not JSON.",
        ("F20",),
        _testcon,
    ),
    Deviation(
        "quoted-text",
        "`/plain/` quotes text that X2Go Client would misread",
        "Values are sent as they are written in the file: `name=Büro, 2. Stock`.",
        "Text with non-ASCII characters, commas, semicolons, quotes, backslashes, line ends or anything else that is "
        'special in its format is quoted and escaped: `name="B\\xfcro, 2. Stock"`. If a value stands between double '
        "quotes in the file, the text between them counts.",
        "X2Go Client reads the list with QSettings: it would show that name as empty and `Büro` as `BÃ¼ro`, and take "
        "`user=SITE\\anna` for another user.",
        (),
        _quoted,
    ),
    Deviation(
        "section-names",
        "Ids of session profiles reach X2Go Client unchanged",
        "Ids are sent as they are written in the file: `[Büro]`.",
        "`/plain/` escapes non-ASCII characters, percent signs and other special characters: `[B%FCro]`.",
        "X2Go Client reads the list with QSettings, and would ask for a profile `BÃ¼ro`, which does not exist.",
        (),
        _names,
    ),
    Deviation(
        "setpass-answer",
        "The answer to `setpass` says whether the password has changed",
        "`setpass` is granted, but nothing happens.",
        "`PASSWORD CHANGED: OK`, or `PASSWORD CHANGED: NO:` and the reason; `password-changed` in JSON.",
        "X2Go Client waits for that line.",
        (),
        _setpass,
    ),
    Deviation(
        "clientevent-answer",
        "Client events are recorded",
        "`clientevent` is an unknown task.",
        "The broker keeps the event; `recorded` in the JSON answer says so.",
        "X2Go Client 4.1.2.2 and later reports what its sessions do.",
        (),
        _clientevent,
    ),
    Deviation(
        "root-page",
        "`/` is a helpful page",
        "One line of HTML: `It works...`.",
        "A page that says what this is, which URLs exist, and how to point a client at them.",
        "It is the first thing that an administrator opens.",
        (),
        _page,
    ),
    Deviation(
        "plain-refusal",
        "A refused login is a 200 without `Access granted` at `/plain/`",
        "401.",
        "200 with a short text, unless you set `plain-refusal = status`; `/json/` answers 401, or 429 while somebody "
        "has to wait.",
        "X2Go Client quits on a 401, but shows its form again on a 200 without `Access granted`.",
        (),
        _plain_refusal,
    ),
    Deviation(
        "headers",
        "Headers that mean something",
        "`Content-Type: text/plain` for UCCS, `text/html` for keys; `Expires: +1h`, which is not a date.",
        "`application/json` for UCCS, `text/plain` for keys; `Cache-Control: no-store`. `/json/` stays `text/json`, "
        "although that is not a registered type, because Python X2Go does not read a list of profiles of any other "
        "type.",
        "Answers contain authids, so no cache may keep them.",
        ("F22",),
        _headers,
    ),
)
DEVIATIONS = (*REWRITES, *FAULTS)
BY_ID = {deviation.id: deviation for deviation in DEVIATIONS}


def expected(exchange: Exchange) -> Meaning:
    """What ours has to answer; the deviations that made a difference are noted in `exchange.applied`."""
    said = exchange.reference
    if exchange.status is not None:
        said = Meaning(exchange.status, challenge=exchange.status == 401 and exchange.request.frontend == "uccs")
    elif exchange.repaired is not None:
        said = exchange.repaired
    if said != exchange.reference:
        exchange.applied.append(exchange.scenario.fault)
    for deviation in REWRITES:
        if deviation.rewrite is None:
            continue
        changed = deviation.rewrite(exchange, said)
        if changed != said:
            exchange.applied.append(deviation.id)
        said = changed
    return said


def deviations_markdown() -> str:
    """The page that lists every wanted deviation."""
    lines = [
        "# Deviations from x2gobroker 0.0.4.3",
        "",
        "Where this broker answers differently from Debian's x2gobroker 0.0.4.3, it does so on purpose. This page is",
        "written from the table that the compatibility test uses. The test runs both brokers side by side, and allows",
        "no difference that is not listed here. What it cannot show has [a section of its own](#not-compared).",
        "",
    ]
    for deviation in sorted(DEVIATIONS, key=lambda one: one.title.strip("`").lower()):
        lines += [
            f"({deviation.id})=",
            f"## {deviation.title}",
            "",
            f"- x2gobroker 0.0.4.3: {deviation.reference}",
            f"- Here: {deviation.ours}",
            f"- Why: {deviation.why}",
            "",
        ]
    titles = {one.id: one.title for one in DEVIATIONS}
    return "\n".join([*lines, *not_compared_markdown(), *reference_tests_markdown(titles)])
