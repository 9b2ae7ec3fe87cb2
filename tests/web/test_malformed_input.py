"""Whatever a client sends or a file holds: no 5xx, no traceback, no file outside the state folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webtest import TestResponse

from tests.web.conftest import ADDRESS, Bench

FIELDS = (
    "user password authid task sid profile-id login pubkey newpass event server client cmd display start elapsed "
    "version os".split()
)
TASKS = ["", "testcon", "listsessions", "listprofiles", "selectsession", "setpass", "clientevent", "nonesuch"]
PATHS = ["/plain/inifile/", "/plain/zeroconf", "/json/inifile", "/json/zeroconf/", "/plain", "/json/"]
SPECIAL = ["../x", "a/b", "a\nb=c", "\0", "x" * 5000, "é" * 300, "%00", "'\"", "${jndi:x}", "[x]", "DEFAULT", "\ud7ff"]
text = st.one_of(st.sampled_from(SPECIAL), st.text(max_size=60))
relaxed = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One broker for all examples, and the promise that its folder holds afterwards what it held before."""
    folder = tmp_path_factory.mktemp("malformed")
    made = Bench(folder)
    made.post()
    before = tree(folder)
    yield made
    assert tree(folder) - before <= {Path("state")}


def tree(folder: Path) -> set[Path]:
    """Everything below a folder, but for what is in its state folder."""
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    return {path for path in found if path.parts[0] != "state" or len(path.parts) == 1}


def assert_decent(response: TestResponse) -> None:
    """No server error, and nothing of the broker's inside in the answer."""
    assert response.status_int < 500, response.text
    assert b"Traceback" not in response.body
    assert b'File "' not in response.body


@relaxed
@given(path=st.sampled_from(PATHS), task=st.sampled_from(TASKS), fields=st.dictionaries(st.sampled_from(FIELDS), text))
def test_any_field_may_hold_anything(bench: Bench, path: str, task: str, fields: dict[str, str]) -> None:
    assert_decent(bench.app.post(path, {**fields, "task": task}, expect_errors=True))


@relaxed
@given(task=st.sampled_from(TASKS), fields=st.dictionaries(st.sampled_from(FIELDS), text))
def test_any_field_of_a_user_who_is_let_in_may_hold_anything(bench: Bench, task: str, fields: dict[str, str]) -> None:
    fields = {**fields, "task": task, "user": "anna", "password": "x"}
    fields.pop("authid", None)
    assert_decent(bench.app.post("/plain/zeroconf", fields, expect_errors=True))
    assert_decent(bench.app.post("/json/zeroconf", fields, expect_errors=True))


@relaxed
@given(body=st.binary(max_size=400), content_type=st.one_of(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30), st.sampled_from(["multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded; charset=utf-16"])))  # fmt: skip  # noqa: E501
def test_any_body_under_any_content_type(bench: Bench, body: bytes, content_type: str) -> None:
    environ = {"CONTENT_TYPE": content_type, "REMOTE_ADDR": ADDRESS}
    assert_decent(bench.app.request("/plain/inifile/", method="POST", body=body, environ=environ, expect_errors=True))


@relaxed
@given(
    name=st.one_of(st.sampled_from([*SPECIAL, "..", "__import__('os')", "inifile;x", "*", "1"]), st.text(min_size=1))
)
def test_any_backend_name(bench: Bench, name: str) -> None:
    environ = {"REMOTE_ADDR": ADDRESS, "REQUEST_METHOD": "POST", "PATH_INFO": ""}
    for frontend in ("plain", "json", "uccs"):
        path = f"/{frontend}/{name}".encode().decode("latin-1")
        assert_decent(bench.app.request("/", environ={**environ, "PATH_INFO": path}, method="POST", expect_errors=True))


@relaxed
@given(query=st.binary(max_size=100))
def test_any_query(bench: Bench, query: bytes) -> None:
    environ = {"REMOTE_ADDR": ADDRESS, "QUERY_STRING": query.decode("latin-1")}
    assert_decent(bench.app.request("/plain/inifile/", method="POST", environ=environ, expect_errors=True))


@relaxed
@given(header=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=200))
def test_any_authorization_header(bench: Bench, header: str) -> None:
    bench.configure("enable-uccs-output = true")
    assert_decent(bench.app.get("/uccs/inifile/api/5", headers={"Authorization": header}, expect_errors=True))


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 10_000_000])
@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x/y"]
)
def test_a_huge_body_is_a_413(bench: Bench, size: int, content_type: str) -> None:
    body = b"user=" + b"\xff" * size
    response = bench.app.post("/plain/", body, {"Content-Type": content_type}, expect_errors=True)
    assert response.status_int == 413


def test_many_fields_are_a_400(bench: Bench) -> None:
    assert bench.app.post("/plain/", b"a=1&" * 20_000, expect_errors=True).status_int == 400


def test_what_is_no_utf8_is_a_400(bench: Bench) -> None:
    assert bench.app.post("/plain/", b"user=%ff", expect_errors=True).status_int == 400
    assert bench.app.post("/plain/", b"user=\xff", expect_errors=True).status_int == 400


ini_lines = st.lists(
    st.one_of(
        st.sampled_from(
            ["[a]", "[DEFAULT]", "[global]", "[broker_inifile]", "host = h (::1)", "host = h (",
             "acl-users-allow = anna",
             "acl-clients-deny = 1.2.3.*", "enable = maybe", "x", " continued", "= y", "command = SHADOW", "dpi = many",
             "user = BROKER_USER", "host = [h2]", "acl-any-order = up", "sshport = 99999", "name = not-set"]
        ),
        st.text(max_size=30),
    ),
    max_size=12,
).map("\n".join)  # fmt: skip


@relaxed
@given(profiles=ini_lines, task=st.sampled_from(TASKS))
def test_any_profile_file(bench: Bench, profiles: str, task: str) -> None:
    bench.configure("require-password = false\nenable-uccs-output = true")
    bench.write("profiles.conf", profiles.encode("utf-8", "replace").decode())
    for path in ("/plain/inifile", "/json/inifile"):
        assert_decent(bench.app.post(path, {"user": "anna", "task": task, "sid": "a"}, expect_errors=True))
    assert_decent(bench.app.get("/uccs/inifile/api/4", expect_errors=True))


@relaxed
@given(config=ini_lines, restart=st.booleans())
def test_any_main_configuration(bench: Bench, config: str, restart: bool) -> None:
    bench.write(
        "x2gobroker.conf",
        # the title takes in what begins with blanks: another place of the state store would be this machine's
        f"[global]\ndefault-auth-mech = none\ncookie-directory = {bench.folder}/state\nportal-title = any\n"
        + config.encode("utf-8", "replace").decode(),
    )
    if restart:
        bench.start()
    for path in ("/plain/", "/json/"):
        assert_decent(
            bench.app.post(path, {"user": "anna", "password": "x", "task": "listsessions"}, expect_errors=True)
        )
    assert_decent(bench.app.get("/"))
