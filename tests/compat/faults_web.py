"""Requests that the reference answers with a crash, with silence, or with less than its documentation promises."""

from __future__ import annotations

from collections.abc import Iterator

from tests.compat.exchange import FORM, Authid, Fields, Request
from tests.compat.faults import ANNA, PROFILE, ask, files, repaired
from tests.compat.scenario import Files, Scenario, Step, conf_text, ini
from tests.support.processes import free_port

UCCS = {"enable-uccs-output": "true", "my-uccs-url-base": "https://broker.example.org/x2go/"}
OPEN = {"require-password": "false", "require-cookie": "false"}


def demanded(fault: str, label: str, setting: Files, requests: list[tuple[Request, int]]) -> Scenario:
    """A scenario in which only a status is to be said, which ours has to say."""
    steps = [Step(request, None, status) for request, status in requests]
    return Scenario(f"{fault}: {label}", setting, steps, fault, setting)


def user_names() -> Iterator[Scenario]:
    """F8, F10: names that no user can have."""
    names = ["", "  ", "an\nna", "an\r\n[x]", "an\x7fna", "an\u0085na", "a" * 300]
    requests = []
    for name in names:
        fields: Fields = (("user", name), ("password", "x"), ("authid", ""))
        requests += [(ask("plain", "listsessions", fields), 401), (ask("json", "listprofiles", fields), 401)]
    body = b'{"task": "listsessions", "user": "anna"}'
    requests += [(Request("json", "/json/inifile", raw=body, content_type="application/json"), 401)]
    yield demanded("user-names", "no user's name", files({}), requests)
    fixed = files({"user": "fixed"})
    for name in ("a/b", "no-such/../x", "/etc/passwd"):
        said, right = ((("user", user), ("password", "x"), ("authid", "")) for user in (name, "somebody"))
        asked = [Step(ask(frontend, "listsessions", said), ask(frontend, "listsessions", right))
                 for frontend in ("plain", "json")]  # fmt: skip
        yield Scenario(f"user-paths: {name}", fixed, asked, "user-paths", fixed)
    odd = [
        "an\x00na",
        "an\x1bna",
        "\x01anna\x02",
        "\u00a0anna\u2003",
        "an na",
        "anna@example.org",
        "%s{}",
        "a,b",
        "ALL",
    ]
    lists = [ask("plain", "listsessions", (("user", name), ("password", "x"))) for name in odd]
    yield Scenario.of("odd names of users", files({}), lists)


def odd_urls() -> Iterator[Scenario]:
    """F2, F11: backend names that are none, and a class that is no backend."""
    base = conf_text(UCCS, broker_base={"enable": "true"})
    names = ["foo%20bar", "1", "*", "a%27b", "..", "%22", "a;b", "%0a", "é".encode().hex(), "base"]
    requests = []
    for name in names:
        requests += [(ask("plain", "selectsession", path=f"/plain/{name}", sid="one"), 404),
                     (ask("json", "selectsession", path=f"/json/{name}", sid="one"), 404)]  # fmt: skip
    yield demanded("odd-backends", "names that are no backend", files({}, conf=base), requests)


def paths() -> Iterator[Scenario]:
    """URLs without the slash, and with more behind the backend than there is."""
    asked = (("task", "listsessions"), *ANNA)
    yield Scenario(
        "no-slash: no backend either", files({}),
        [Step(Request(f, f"/{f}", asked), Request(f, f"/{f}/", asked)) for f in ("plain", "json")],
        "no-slash", files({}),
    )  # fmt: skip
    requests = [
        (Request(f, f"/{f}/inifile{tail}", asked), 404) for f in ("plain", "json") for tail in ("/more", "/a/b/", "///")
    ]
    yield demanded("longer-paths", "behind the backend", files({}), requests)
    yield Scenario(
        "plain-listprofiles: the other name", files({}),
        [Step(ask("plain", "listprofiles"), ask("plain", "listsessions"))], "plain-listprofiles", files({}),
    )  # fmt: skip


def bodies() -> Iterator[Scenario]:
    """F10: bodies and fields that are not UTF-8."""
    requests = [
        (Request("plain", "/plain/inifile", raw=b"user=\xff\xfe&password=x", content_type=None), 400),
        (Request("plain", "/plain/inifile", raw=b"\x00\x01\xff\x80" * 100, content_type="image/png"), 400),
        (Request("json", "/json/inifile", raw=b"user=%ff%fe&password=x", content_type=FORM), 400),
    ]
    yield demanded("odd-bodies", "not UTF-8", files({}), requests)


def silence() -> Iterator[Scenario]:
    """F13: requests that are never answered."""
    requests = [
        (Request("page", "/", method="POST", silent=True), 405),
        (Request("page", "/", method="PUT", silent=True), 405),
        (Request("page", "/pubkeys", method="POST", silent=True), 405),
        (Request("uccs", "/uccs/inifile", method="POST", silent=True), 405),
        (Request("uccs", "/uccs/inifile", method="GET", silent=True), 405),
    ]
    yield demanded("silence", "wrong methods", files({}, conf=conf_text(UCCS)), requests)


def auth_mechs() -> Iterator[Scenario]:
    """F15: auth mechanisms that crash instead of saying that they cannot tell."""
    requests = [(ask("plain", "listsessions"), 503), (ask("json", "listprofiles"), 503)]
    for name in ("https_get", "no-such-mech", "no such mech"):
        server = {"host": "127.0.0.1", "port": str(free_port())}
        conf = conf_text({"default-auth-mech": name}, authmech_https_get=server)
        yield demanded("auth-mech-crash", name, files({}, conf=conf), requests)


def port_scan() -> Iterator[Scenario]:
    """F14: the port scan."""
    port = str(free_port())
    scan = conf_text({"default-portscan-x2goservers": "true"})
    yield repaired(
        "port-scan", "only localhost, and it is down", files({"host": "localhost", "sshport": port}, conf=scan),
        files({"host": "localhost", "sshport": port}), [ask("plain", "selectsession", sid="one")],
    )  # fmt: skip
    for host in ("a..b", "x" * 64):
        yield repaired(
            "port-scan", f"host {host[:8]}", files({"host": host}, conf=scan), files({"host": ""}),
            [ask("plain", "selectsession", sid="one")],
        )  # fmt: skip


def uccs(version: str = "5", basic: str | None = None, backend: str = "inifile") -> Request:
    """A UCCS request."""
    return Request("uccs", f"/uccs/{backend}/api/{version}", method="GET", content_type=None, basic=basic)


def greeters() -> Iterator[Scenario]:
    """F11, F12, F22: the UCCS frontend. An open broker calls everybody `anonymous`; so does our user here."""
    others: dict[str, dict[str, str]] = {
        "two": {"name": "Two", "host": "h2", "directrdp": "true", "acl-users-allow": "anonymous"},
        "three": {"name": "Three", "host": "h3 (10.0.2.3:2223)", "acl-users-allow": "bert"},
    }
    yield Scenario(
        "uccs-password: accepted", files({}, "", conf_text(UCCS), others),
        [Step(uccs(v, secret), uccs(v)) for v in "45" for secret in ("anonymous:x", "anonymous:x:y", "anonymous:")],
        "uccs-password", files({}, "", conf_text({**UCCS, **OPEN}), others),
    )  # fmt: skip
    yield demanded(
        "uccs-password", "not understood", files({}, conf=conf_text(UCCS)),
        [(uccs("5", "no-colon"), 401), (uccs("5", ":"), 401)],
    )  # fmt: skip
    yield demanded(
        "uccs-unavailable", "unknown backend", files({}, conf=conf_text(UCCS)), [(uccs(backend="nosuch"), 404)]
    )
    yield demanded("uccs-unavailable", "switched off", files({}), [(uccs(), 404)])
    yield demanded(
        "uccs-versions", "unknown versions", files({}, conf=conf_text({**UCCS, **OPEN})),
        [(uccs(version), 404) for version in "012367"],
    )  # fmt: skip
    nameless = {"name": "two", "host": "h2 (10.0.2.9)", "directrdp": "true"}
    yield repaired(
        "uccs-nameless", "an RDP profile", files({"directrdp": "true"}, "name", conf_text({**UCCS, **OPEN})),
        files({"directrdp": "true", "name": "one"}, conf=conf_text({**UCCS, **OPEN})), [uccs("4"), uccs("5")],
    )  # fmt: skip
    both = {"other": {"name": "Other", "host": "h2"}}
    yield repaired(
        "uccs-hostless", "no host", files({"host": ""}, "", conf_text({**UCCS, **OPEN}), both),
        files({"host": "no-server-available"}, "", conf_text({**UCCS, **OPEN}), both), [uccs("4"), uccs("5")],
    )  # fmt: skip
    yield Scenario.of(
        "uccs: an open broker", files({}, "", conf_text({**UCCS, **OPEN}), {"two": nameless}),
        [uccs("4"), uccs("5"), uccs("5", "anna:x"), Request("uccs", "/uccs/inifile/api/5/", method="GET"),
         Request("uccs", "/uccs/inifile", method="HEAD"), Request("uccs", "/uccs/inifile/", method="HEAD")],
    )  # fmt: skip


def debugging() -> Iterator[Scenario]:
    """Debug mode: GET is as good as POST."""
    asked: Fields = (("task", "listsessions"), *ANNA)
    again: Fields = (("task", "selectsession"), ("sid", "one"), ("user", "anna"), ("authid", Authid.LAST))
    yield Scenario.of(
        "debug: GET", files({}, conf=conf_text(UCCS)),
        [Request("plain", "/plain/inifile", method="GET", query=asked),
         Request("json", "/json/inifile/", method="GET", query=asked),
         Request("plain", "/plain/", method="GET", query=again),
         Request("plain", "/plain/nosuch", method="GET", query=asked),
         Request("plain", "/plain/inifile", asked),
         Request("plain", "/plain/inifile", asked, method="PUT"),
         Request("uccs", "/uccs/inifile", method="GET")],
        debug=True,
    )  # fmt: skip


def connections() -> Iterator[Scenario]:
    """Connection tests, as X2Go Client sends them and as a logged-in client might."""
    requests = [ask(frontend, "testcon", fields) for frontend in ("plain", "json") for fields in ((), ANNA)]
    yield Scenario.of("connection tests", Files(conf_text(), ini({"one": PROFILE})), requests)
    for flags in (OPEN, {"use-static-cookie": "yes"}, {"plain-refusal": "status"}):
        yield Scenario.of("connection tests", Files(conf_text(flags)), requests)


def web_scenarios() -> Iterator[Scenario]:
    """All of them."""
    groups = (user_names, odd_urls, paths, bodies, silence, auth_mechs, port_scan, greeters, debugging, connections)
    for group in groups:
        yield from group()
