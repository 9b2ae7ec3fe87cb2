"""Scenarios without any fault of the reference's that chance does not find: ports, authids, changed files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.compat.exchange import FORM, Authid, Fields, Request
from tests.compat.faults import AGAIN, ANNA, PRE_SHARED, ask, files, listings
from tests.compat.scenario import Scenario, Step, conf_text

BERT: Fields = (("user", "bert"), ("password", "x"), ("authid", ""))


def ports() -> Iterator[Scenario]:
    """The port scan: who answers is chosen; nobody answers; one host is chosen whatever it does."""
    chosen = [ask(frontend, "selectsession", sid="one") for frontend in ("plain", "json")]
    scan = conf_text({"default-portscan-x2goservers": "yes"})
    for label, hosts, flag in (
        ("the second", "a (127.0.0.1:{dead}), b (127.0.0.1:{alive})", {}),
        ("the first", "a (127.0.0.1:{alive}), b (127.0.0.1:{dead})", {}),
        ("none", "a (127.0.0.1:{dead}), b (127.0.0.2:{dead})", {"sshport": "{dead}"}),
        ("the only one is down", "a (127.0.0.1:{dead})", {}),
        ("the only one is up", "a (127.0.0.1:{alive})", {}),
        ("sharing, the first is up", "a (127.0.0.1:{alive}), b (127.0.0.1:{alive})", {"command": "SHADOW"}),
    ):
        yield Scenario.of(f"port scan: {label}", files({"host": hosts, **flag}, conf=scan), chosen * 2)
        own = files({"host": hosts, "broker-portscan-x2goservers": "true", **flag})
        yield Scenario.of(f"port scan of one profile: {label}", own, chosen)
    off = files({"host": "a (127.0.0.1:{dead})", "broker-portscan-x2goservers": "false"}, conf=scan)
    yield Scenario.of("port scan: off for one profile", off, chosen)


def logins() -> Iterator[Scenario]:
    """Whose authid it is, where from, how long, and how often."""
    for word in ("true", "false"):
        elsewhere = replace(ask("plain", "listsessions", AGAIN), address="127.0.0.9")
        yield Scenario.of(
            f"authids: another address, verify-ip = {word}", files({}, conf=conf_text({"verify-ip": word})),
            [ask("plain", "listsessions"), elsewhere, ask("plain", "listsessions", AGAIN)],
        )  # fmt: skip
    stolen: Fields = (("user", "bert"), ("authid", Authid.FOREIGN))
    used: Fields = (("user", "anna"), ("authid", Authid.USED))
    for flags in ({}, {"use-static-cookie": "true"}):
        yield Scenario.of(
            f"authids: whose and how often, {flags or 'dynamic'}", files({}, conf=conf_text(flags)),
            [*listings(), ask("json", "listprofiles", stolen), ask("json", "listprofiles", AGAIN),
             ask("plain", "listsessions", AGAIN), ask("plain", "listsessions", used),
             ask("plain", "listsessions", AGAIN), ask("json", "", BERT), ask("json", "listprofiles", stolen),
             ask("plain", "selectsession", AGAIN, sid="one"), ask("plain", "no-such-task", AGAIN),
             ask("plain", "listsessions", AGAIN, path="/plain/nosuch"), ask("plain", "listsessions", AGAIN)],
        )  # fmt: skip
    yield Scenario(
        "authids: too old", files({}, conf=conf_text({"auth-timeout": "2"})),
        [Step.of(ask("plain", "listsessions")), Step.of(ask("plain", "listsessions", AGAIN)),
         Step(ask("plain", "listsessions", AGAIN), None, after=2.2),
         Step(ask("json", "listprofiles", AGAIN), None)],
    )  # fmt: skip


def pre_shared() -> Iterator[Scenario]:
    """Authids that stand in the configuration."""
    required = {"require-cookie": "true"}
    yield Scenario.of(
        "authids: required and none there", files({}, conf=conf_text(required)),
        [ask("plain", "listsessions"), ask("json", "listprofiles"), ask("plain", "listsessions", AGAIN)],
    )  # fmt: skip
    first: Fields = (("user", "anna"), ("authid", PRE_SHARED))
    text = f"# a comment\n\n{PRE_SHARED} and more\nsecond\n"
    conf = conf_text({**required, "require-password": "false", "my-cookie-file": "{authid-file}", "my-cookie": "other"})
    other: Fields = (("user", "anna"), ("authid", "other"))
    yield Scenario.of(
        "authids: a pre-shared one in a file", replace(files({}, conf=conf), authid=text),
        [ask(frontend, "listsessions", fields) for frontend in ("plain", "json") for fields in (first, ANNA, other)],
    )  # fmt: skip
    dummy = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
    conf = conf_text({**required, "require-password": "false", "my-cookie": dummy})
    sample: Fields = (("user", "anna"), ("authid", dummy))
    yield Scenario.of(
        "authids: the placeholder of the sample file", files({}, conf=conf), [ask("plain", "listsessions", sample)]
    )


def bodies() -> Iterator[Scenario]:
    """Forms of every kind."""
    parts = {"task": "listsessions", "user": "Änne", "password": "x"}
    boundary = "xXx"
    multipart = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in parts.items()
    )
    forms = [
        (f"multipart/form-data; boundary={boundary}", f"{multipart}--{boundary}--\r\n".encode()),
        ("multipart/form-data", b"user=anna&password=x"),
        (FORM, "task=listsessions&user=Änne&password=x".encode()),
        (f"{FORM}; charset=ISO-8859-1", b"task=listsessions&user=%C3%84nne&password=x"),
        (FORM, b"task=listsessions&&user&user=anna&password"),
        (FORM, b"user=anna&task=listsessions;sid=one"),
        ("application/json", b"task=listsessions&user=anna"),
        (FORM, b"task=list%73essions&user=an%2&password=%&x=%zz&authid=+"),
        (FORM, b"task=listsessions&user=anna&task=selectsession&sid=one&sid=two"),
        (FORM, b"TASK=listsessions&User=anna&user=anna"),
    ]
    requests = [
        Request(frontend, f"/{frontend}/inifile", raw=body, content_type=kind)
        for frontend in ("plain", "json")
        for kind, body in forms
    ]
    yield Scenario.of("bodies of every kind", files({}, conf=conf_text({"use-static-cookie": "on"})), requests)


def autologin() -> Iterator[Scenario]:
    """Who decides about autologin: the broker's options before those for the client."""
    for flag in ("true", "false", ""):
        for word in ("true", "false", None):
            own = {"autologin": word, "key": "/home/x/.ssh/key"} if word else {}
            conf = conf_text({"default-session-autologin": "true" if flag == "" else "false"})
            yield Scenario.of(
                f"autologin: broker-session-autologin = {flag or '-'}, autologin = {word}",
                files({"broker-session-autologin": flag, **own}, conf=conf), listings(),
            )  # fmt: skip


def profiles() -> Iterator[Scenario]:
    """Profiles that say little."""
    selected = [ask(frontend, "selectsession", sid="one") for frontend in ("plain", "json")]
    for label, profile, drop in (
        ("no host", {"host": ""}, ""), ("only commas", {"host": ", ,"}, ""), ("host left out", {}, "host"),
        ("no name", {}, "name"), ("a name of nothing", {"name": ""}, ""), ("no command", {"command": ""}, ""),
        ("name = not-set", {"name": "not-set"}, ""), ("user = not-set", {"user": "not-set"}, ""),
        ("sharing", {"command": "SHADOW", "host": "a (10.0.2.1:2022), b"}, ""),
    ):  # fmt: skip
        yield Scenario.of(f"profiles: {label}", files(profile, drop), [*listings(), *selected])
    yield Scenario.of("profiles: nothing in one", replace(files({}), profiles="[one]\n[two]\n"), listings())
    text = "[DEFAULT]\nname = %(x)s ${y} ; no comment\n; a comment\n# another\nhost : h1\n[One]\nkey\t=\ta = b : c\n"
    yield Scenario.of("profiles: ways to write", replace(files({}), profiles=text), listings())


def mechanisms() -> Iterator[Scenario]:
    """Auth mechanisms: a backend's own wins."""
    own = conf_text({"default-auth-mech": "nosuch"}, broker_inifile={"auth-mech": "None"})
    yield Scenario.of("auth mechanisms: the backend's own", files({}, conf=own), listings())


def changed_files() -> Iterator[Scenario]:
    """A change counts from the next request on; one that cannot be read does not count."""
    good, other = files({}), files({"name": "Changed", "host": "h7"})
    steps = [Step.of(request) for request in listings()]
    later = [replace(steps[0], files=other), steps[1]]
    yield Scenario("changed files: profiles", good, [*steps, *later])
    refused = files({}, conf=conf_text({"enable-plain-output": "false"}))
    yield Scenario("changed files: configuration", good, [*steps, replace(steps[0], files=refused), steps[1]])
    for label, broken in (
        ("no section", replace(good, profiles="name = x\n" + good.profiles)),
        ("a section twice", replace(good, profiles=good.profiles + "\n" + good.profiles)),
        ("no option", replace(good, profiles=good.profiles + "\nnonsense\n")),
        ("configuration", replace(good, conf=good.conf + "\nnonsense\n")),
    ):
        yield Scenario(
            f"broken-file: {label}", good, [*steps, replace(steps[0], files=broken), steps[1]], "broken-file", good
        )


def corners() -> Iterator[Scenario]:
    """All of them."""
    for group in (ports, logins, pre_shared, bodies, autologin, profiles, mechanisms, changed_files):
        yield from group()
