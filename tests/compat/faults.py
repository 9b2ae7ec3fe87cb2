"""Scenarios in which the reference has a known fault, each with the same thing said so that it gets it right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.compat.exchange import Authid, Fields, Request
from tests.compat.scenario import Files, Scenario, Step, conf_text, ini

ANNA: Fields = (("user", "anna"), ("password", "secret"), ("authid", ""))
AGAIN: Fields = (("user", "anna"), ("authid", Authid.LAST))
PROFILE = {"name": "One", "host": "h1", "command": "kde", "sound": "false", "fullscreen": "true"}
PRE_SHARED = "0f0f0f0f-aaaa-bbbb-cccc-0123456789ab"


def ask(frontend: str, task: str, fields: Fields = ANNA, path: str = "", **more: str) -> Request:
    """A request of user anna at the inifile backend; `more` are further fields."""
    named = tuple((key.replace("_", "-"), value) for key, value in more.items())
    return Request(frontend, path or f"/{frontend}/inifile/", (("task", task), *named, *fields))


def listings() -> list[Request]:
    """The listings of both frontends."""
    return [ask("plain", "listsessions"), ask("json", "listprofiles")]


def files(
    profile: Mapping[str, str],
    drop: str = "",
    conf: str = "",
    others: Mapping[str, Mapping[str, str]] | None = None,
) -> Files:
    """A profile file with the profile `one` (`drop` names an option to leave out) and others."""
    merged = {key: value for key, value in {**PROFILE, **profile}.items() if key != drop}
    return Files(conf or conf_text(), ini({**(others or {}), "one": merged}))


def repaired(fault: str, label: str, wrong: Files, right: Files, requests: list[Request]) -> Scenario:
    """A scenario that asks both reference brokers the same, of different files."""
    return Scenario(f"{fault}: {label}", wrong, [Step.of(request) for request in requests], fault, right)


def bad_values() -> Iterator[Scenario]:
    """F16: one bad value and nobody is listed anything."""
    other = {"other": {"name": "Other", "host": "h2"}}
    for key, value, default in (
        ("fullscreen", "maybe", "false"), ("dpi", "many", "96"), ("dpi", "", "96"), ("usekbd", "not-set", "true"),
        ("sound", "", "true"), ("width", "80 0", "800"), ("quality", "0x9", "9"), ("height", "6.0", "600"),
    ):  # fmt: skip
        yield repaired(
            "bad-value", f"{key} = {value or '-'}", files({key: value}, others=other),
            files({key: default}, others=other), [*listings(), ask("plain", "selectsession", sid="other")],
        )  # fmt: skip
    common = {"DEFAULT": {"dpi": "120"}}
    yield repaired(
        "bad-value", "over one of [DEFAULT]", files({"dpi": "x"}, others=common), files({"dpi": "120"}, others=common),
        listings(),
    )  # fmt: skip
    hidden = {"name": "Hidden", "host": "h2", "acl-users-allow": "nobody-here"}
    for key, value in (("dpi", "x"), ("sshport", "x"), ("rootless", "not-set")):
        yield repaired(
            "bad-value", f"{key} = {value} in a profile that is denied",
            files({}, others={"hidden": {**hidden, key: value}}), files({}, others={"hidden": hidden}), listings(),
        )  # fmt: skip
    yield repaired(
        "bad-value", "sshport = not-set, selected", files({"sshport": "not-set"}), files({"sshport": "22"}),
        [ask("plain", "selectsession", sid="one"), ask("json", "selectsession", sid="one")],
    )  # fmt: skip


def client_rules() -> Iterator[Scenario]:
    """F5: a bad entry in a list of clients."""
    everyone = {"acl-clients-allow": "ALL"}
    for entry in ("127.0.2.*", "10.0.0.1-10.0.0.9", "not a name", "300.1.2.3", "10.0.0.0/99"):
        yield repaired(
            "bad-client-rule", f"deny {entry}",
            files({**everyone, "acl-clients-deny": f"10.0.0.0/8, {entry}"}),
            files({**everyone, "acl-clients-deny": "ALL"}), listings(),
        )  # fmt: skip
        yield repaired(
            "bad-client-rule", f"allow {entry}",
            files({"acl-clients-allow": f"127.0.0.0/8, {entry}"}),
            files({"acl-clients-allow": "127.0.0.0/8"}), listings(),
        )  # fmt: skip
    yield repaired(
        "bad-client-rule", "trailing comma", files({**everyone, "acl-clients-deny": "127.0.0.0/8,"}),
        files({**everyone, "acl-clients-deny": "127.0.0.0/8"}), listings(),
    )  # fmt: skip
    yield repaired(
        "unknown-acl-rule", "acl-user-allow", files({"acl-user-allow": "bert"}), files({"acl-users-allow": "bert"}),
        listings(),
    )  # fmt: skip
    denied = {"acl-users-allow": "ALL", "acl-users-deny": "Anna"}
    yield repaired("deny-spelling", "Anna", files(denied), files({**denied, "acl-users-deny": "anna"}), listings())
    for kind, who in (("users", "anna"), ("groups", "ALL"), ("clients", "127.0.0.1")):
        rules = {f"acl-{kind}-allow": who, f"acl-{kind}-deny": "ALL"}
        yield repaired(
            "acl-any-order", kind, files({**rules, "acl-any-order": "allow-deny"}),
            files({**rules, f"acl-{kind}-order": "allow-deny"}), listings(),
        )  # fmt: skip
    yield repaired(
        "client-host-names", "allow", files({"acl-clients-allow": "localhost"}),
        files({"acl-clients-allow": "127.0.0.1"}), listings(),
    )  # fmt: skip
    yield repaired(
        "client-host-names", "deny", files({**everyone, "acl-clients-deny": "localhost"}),
        files({**everyone, "acl-clients-deny": "127.0.0.1"}), listings(),
    )  # fmt: skip


def name_rules() -> Iterator[Scenario]:
    """Slips in lists of users and groups, which nobody is called, and quotes around names."""
    for kind in ("users", "groups"):
        everybody = {f"acl-{kind}-allow": "ALL"}
        for slip in ("bert;anna", "bert\nanna", "anna # no longer here", "all", "'anna", "@staff"):
            yield repaired(
                "bad-name-rule", f"{kind}: deny {slip!r}", files({**everybody, f"acl-{kind}-deny": slip}),
                files({**everybody, f"acl-{kind}-deny": "ALL"}), listings(),
            )  # fmt: skip
    yield repaired(
        "bad-name-rule", "users: deny 'bert anna'", files({"acl-users-allow": "ALL", "acl-users-deny": "bert anna"}),
        files({"acl-users-allow": "ALL", "acl-users-deny": "ALL"}), listings(),
    )  # fmt: skip
    for written in ('"anna"', "'anna'", "bert, 'anna'", "\"a,b\", 'anna'"):
        yield repaired(
            "quoted-names", f"allow {written}", files({"acl-users-allow": written}),
            files({"acl-users-allow": "anna"}), listings(),
        )  # fmt: skip
        yield repaired(
            "quoted-names", f"deny {written}", files({"acl-users-allow": "ALL", "acl-users-deny": written}),
            files({"acl-users-allow": "ALL", "acl-users-deny": "anna"}), listings(),
        )  # fmt: skip


def layout() -> Iterator[Scenario]:
    """Slips in the layout of the profile file, each in a profile `one` that anna is not to have, before `other`."""
    other = ini({"other": {"name": "Other", "host": "h2"}})
    denied = ini({"one": {**PROFILE, "acl-users-allow": "bert"}})
    for label, text in (
        ("text behind the header", "[one] acl-users-allow = bert\nname = One\nhost = h1\n\n"),
        ("an indented rule", "[one]\nhost = h1\nname = One\n  acl-users-allow = bert\n\n"),
        ("an indented section", "[one]\nhost = h1\nname = One\n  [two]\n  acl-users-allow = bert\n\n"),
    ):
        yield repaired(
            "profile-layout", label, Files(conf_text(), text + other), Files(conf_text(), denied + other), listings()
        )
    both = ini({"DEFAULT": {"acl-users-allow": "bert"}, "one": PROFILE})
    yield repaired(
        "profile-layout", "an indented rule in [DEFAULT]",
        Files(conf_text(), "[DEFAULT]\ntype = auto\n  acl-users-allow = bert\n\n" + ini({"one": PROFILE}) + other),
        Files(conf_text(), both + other), listings(),
    )  # fmt: skip
    for name in ("default", "Default", "Defaults"):
        rule = ini({name: {"acl-users-allow": "bert"}, "one": PROFILE})
        yield repaired(
            "default-section", f"[{name}] with a rule", Files(conf_text(), rule + other),
            Files(conf_text(), both + other), listings(),
        )  # fmt: skip
        yield repaired(
            "default-section", f"[{name}] without a rule", files({}, others={name: {"name": "D", "host": "h3"}}),
            files({}), listings(),
        )  # fmt: skip


def hosts() -> Iterator[Scenario]:
    """F19: ways to write a server that the reference gets wrong, and one that it gets right."""
    for wrong, right, port in (
        ("h  (10.0.2.18)", "h (10.0.2.18)", "22"),
        ("h (2222)", "h", "2222"),
        ("h:2222", "h", "2222"),
        ("10.0.2.17 (10.0.2.18)", "h (10.0.2.18)", "22"),
        ("h ([2001:db8::7]:2222)", "h", "2222"),
        ("h (::1)", "h", "22"),
        ("h ()", "", "22"),
        ("my own (10.0.2.19)", "", "22"),
        ("h (10.0.2.18:99999)", "", "22"),
        ("h (10.0.2.18:-1)", "", "22"),
        ("h (10.0.2.18)x", "", "22"),
    ):
        request = ask("plain", "selectsession", sid="one")
        yield repaired("host-forms", wrong, files({"host": wrong}), files({"host": right, "sshport": port}), [request])


def broker_options() -> Iterator[Scenario]:
    """F21, F18, F6 and the like: options that are read in a way that nobody expects."""
    for word in ("yes", "on", "Yes"):
        yield repaired(
            "broker-booleans", f"broker-session-autologin = {word}", files({"broker-session-autologin": word}),
            files({"broker-session-autologin": "true"}), listings(),
        )  # fmt: skip
    hidden = {"name": "Hidden", "acl-users-allow": "nobody-here"}
    yield repaired(
        "profile-named-as-option", "[sound]", files({}, others={"sound": hidden}),
        files({}, others={"other": hidden}), listings(),
    )  # fmt: skip
    yield repaired(
        "bracket-lists", "[h2]", files({"host": "[h2, h3]"}), files({"host": "h2, h3"}), listings(),
    )  # fmt: skip


def authids() -> Iterator[Scenario]:
    """F9 and F20: authids that get lost."""
    wanted = {"require-cookie": "true", "my-cookie": PRE_SHARED}
    first = ask("plain", "listsessions", (("user", "anna"), ("password", "x"), ("authid", PRE_SHARED)))
    steps = [
        Step(first, ask("plain", "listsessions")),
        Step.of(ask("plain", "selectsession", AGAIN, sid="one")),
        Step.of(ask("json", "listprofiles", AGAIN)),
    ]
    yield Scenario(
        "pre-shared-authid: with a password", files({}, conf=conf_text(wanted)), steps, "pre-shared-authid", files({})
    )
    for dead in ("0123456789abcdef", Authid.USED):
        shown: Fields = (("user", "anna"), ("password", "secret"), ("authid", dead))
        yield Scenario(
            f"dead-authid: {dead}", files({}),
            [Step.of(ask("plain", "listsessions")), Step.of(ask("plain", "listsessions", AGAIN)),
             Step(ask("plain", "listsessions", shown), ask("plain", "listsessions")),
             Step.of(ask("json", "listprofiles", AGAIN))],
            "dead-authid", files({}),
        )  # fmt: skip
    for frontend in ("plain", "json"):
        test = ask(frontend, "testcon", AGAIN)
        yield Scenario(
            f"testcon-keeps-authid: {frontend}", files({}),
            [Step.of(ask(frontend, "listsessions")), Step(test, None), Step.of(ask(frontend, "listsessions", AGAIN))],
            "testcon-keeps-authid", files({}),
        )  # fmt: skip


def zeroconf() -> Iterator[Scenario]:
    """F11: the JSON listing of zeroconf; the plain listing and a profile file say what belongs in it."""
    shell = conf_text(broker_zeroconf={"desktop-shell": "xfce"})
    same = {"user": "", "host": "localhost", "name": "LOCALHOST", "command": "XFCE", "rootless": "false"}
    yield Scenario(
        "json-zeroconf: listing", Files(shell),
        [Step(ask("json", "listprofiles", path="/json/zeroconf/"), ask("json", "listprofiles"))],
        "json-zeroconf", Files(shell, ini({"12345678-1234-1234-1234-123456789012": same})),
    )  # fmt: skip


def faults() -> Iterator[Scenario]:
    """All of them."""
    for group in (bad_values, client_rules, name_rules, layout, hosts, broker_options, authids, zeroconf):
        yield from group()
