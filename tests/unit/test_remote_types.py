"""The JSON file of session types."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.remote_types import NEXUS, write_types
from tests.unit.configured import Files
from tests.unit.properties import MANY, SOME
from x2gobroker.model.accounts import UserNames
from x2gobroker.model.acl import Requester, parse_client
from x2gobroker.remote import keys
from x2gobroker.remote.keys import CLIPBOARDS, KEYS, MOST_SLOTS, OPTION_KEYS, SIZES, schema
from x2gobroker.remote.loader import SHIPPED, realize
from x2gobroker.remote.types import SessionType, SessionTypes, SessionTypeSource, parse_types, read_types
from x2gobroker.settings import GLOBAL, IniError, SettingsSource

FILE = Path("/etc/x2go/broker/types.json")
SCHEMA = Path(keys.__file__).with_name("schema.json")
SCRIPT = """\
from nexus_remote_service import RemoteServiceScript


class Own(RemoteServiceScript):
    def start(self, token, timestamp=None, options={}):
        return super().start(token, timestamp, options)

    def stop(self):
        return super().stop()


def realize_service(name="", count=1, index=0, common_options={}):
    return Own(name, count=count, index=index, common_options=common_options)
"""


def parse(**more: Any) -> SessionTypes:
    """A file with one type, `Desk`, whose keys are these beside those that it needs."""
    return parse_types(json.dumps({"Desk": {"script": "desk.py", "count": 2, **more}}, indent=1), FILE)


def desk(**more: Any) -> SessionType:
    """That type, which must be right."""
    found = parse(**more)
    assert not found.problems
    return found.types["Desk"]


def messages(found: SessionTypes) -> list[str]:
    """What is wrong, without file, line and name."""
    return [problem.message.partition(": ")[2] for problem in found.problems]


def test_the_file_of_the_nexus_page() -> None:
    found = read_types(NEXUS / "service_config.json")
    assert not found.problems
    assert list(found.types) == ["Local Software Session", "Cluster Node Session"]
    local, cluster = found.types.values()
    assert (local.script, local.count, local.sizes) == ("simple_vnc.py", 2, ("12080x1024", "1600x1200"))
    assert local.options["display_base"] == 100
    assert cluster.options == {"sizes": ["1600x1200"], "group": "ClusterRendering", "host": "n8"}
    assert cluster.access.groups_allow == {"ClusterRendering"}


def test_what_is_left_out_has_its_default() -> None:
    found = desk()
    assert found.sizes == SIZES
    assert found.per_user == 1
    assert (found.start_seconds, found.stop_seconds, found.grace_seconds) == (30, 20, 900)
    assert (found.idle_minutes, found.absolute_minutes, found.stop_at_logout) == (0, 0, False)
    assert found.access.decide(Requester("anybody", None))
    assert found.picture_path is None


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "desk.png").write_bytes(b"picture")
    said = {
        "script": "desk.py",
        "count": 3,
        "options": {"host": "n8"},
        "description": "A desktop.",
        "picture": "desk.png",
        "start-seconds": 5,
        "stop-seconds": 6,
        "grace-seconds": 7,
        "idle-minutes": 8,
        "absolute-minutes": 9,
        "stop-at-logout": True,
    }
    found = read_types(write_types(tmp_path, {"Desk": said})).types["Desk"]
    assert (found.start_seconds, found.stop_seconds, found.grace_seconds) == (5, 6, 7)
    assert (found.idle_minutes, found.absolute_minutes, found.stop_at_logout) == (8, 9, True)
    assert (found.description, found.picture_path) == ("A desktop.", tmp_path / "desk.png")


def test_more_for_one_user_than_there_are_is_told_and_does_no_harm() -> None:
    assert desk(**{"per-user": 2}).per_user == 2
    found = parse(**{"per-user": 3})
    assert messages(found) == ["per-user is 3, and count lets nobody have more than 2"]
    assert [problem.line for problem in found.problems] == [5]
    assert found.types["Desk"].per_user == 3
    assert not parse(count=0, **{"per-user": 3}).problems
    for wrong in (0, 21, "2", True, 1.5):
        assert "Desk" not in parse(**{"per-user": wrong}).types


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "is no JSON: Expecting value (column 1); the file must begin with {"),
        ('{"a": {}\n "b": {}}', 2, "is no JSON: Expecting ',' delimiter (column 2); there is no comma before it"),
        ('  "a": {"script": ""}', 1, "is no JSON: Extra data (column 6); the file must begin with {"),
        ("[]", 1, "must be an object: the name of each session type with what belongs to it, in { }"),
        ('{"a": NaN}', 0, "is no JSON: NaN is no number"),
        ('{"a": ' + "[" * 100_000, 0, "is no JSON: it is nested too deeply"),
    ],
)
def test_texts_that_are_no_such_file(text: str, line: int, message: str) -> None:
    with pytest.raises(IniError) as caught:
        parse_types(text, FILE)
    problem = caught.value.problem
    assert (problem.path, problem.line, problem.message, problem.blocks) == (str(FILE), line, message, True)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "types.json"
    with pytest.raises(IniError, match="cannot be read: No such file"):
        read_types(path)
    path.write_bytes(b'{\n"\xff": 1}')
    with pytest.raises(IniError, match=r":2: error: is not UTF-8 text"):
        read_types(path)
    path.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(IniError, match="is larger than 1048576 bytes"):
        read_types(path)


@pytest.mark.parametrize(
    ("more", "line", "message"),
    [
        ({"script": ""}, 3, "script is empty"),
        ({"script": "../desk.py"}, 3, "script must be a plain file name, such as desktop.py"),
        ({"script": 1}, 3, 'script must be a text, in "quotes"'),
        ({"count": "2"}, 4, "count must be a whole number"),
        ({"count": True}, 4, "count must be a whole number"),
        ({"count": -1}, 4, f"count must be from 0 to {MOST_SLOTS}, and is -1"),
        ({"options": []}, 5, "options must be an object: { ... }"),
        ({"options": {"sizes": "1x1"}}, 6, 'the option sizes must be a list of texts: ["...", "..."]'),
        ({"options": {"group": ["a"]}}, 6, 'the option group must be a text, in "quotes"'),
        ({"users": [""]}, 5, "users must have texts of 1 to 1000 characters only"),
        ({"stop-at-logout": "yes"}, 5, "stop-at-logout must be true or false"),
        ({"start-seconds": 0}, 5, "start-seconds must be from 1 to 600, and is 0"),
        ({"arguments": {"ann": "x"}}, 5, 'arguments \'ann\' must be a list of texts: ["...", "..."]'),
        ({"picture": "/etc/passwd"}, 5, "picture must be a plain file name, such as desktop.png"),
        ({"addresses": ["10.0.0.0/99"]}, 5, "addresses: '10.0.0.0/99' is no address, network or host name"),
        ({"adresses": ["10.0.0.1"]}, 5, "unknown key 'adresses'; did you mean \"addresses\"?"),
        ({"user": ["ann"]}, 5, "unknown key 'user'; did you mean \"users\"?"),
    ],
)
def test_mistakes_take_the_type_out_of_service(more: dict[str, Any], line: int, message: str) -> None:
    found = parse(**more)
    assert messages(found) == [message]
    assert found.problems[0].line == line
    assert found.problems[0].error
    assert not found.types


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"stop-second": 3}, "unknown key 'stop-second'; did you mean \"stop-seconds\"?"),
        ({"options": {"size": ["1x1"]}}, "the option 'size' is for the script; did you mean \"sizes\"?"),
        ({"options": {"groups": "a"}}, "the option 'groups' is for the script; did you mean \"group\"?"),
        ({"users-deny": ["ann"]}, 'users-deny alone lets nobody in: add "users": ["ALL"]'),
        (
            {"addresses-deny": ["::1"], "users": ["ann"]},
            'addresses-deny alone lets nobody in: add "addresses": ["ALL"]',
        ),
        ({"picture": "none.png"}, f"picture none.png is not in {FILE.parent}"),
    ],
)
def test_doubts_are_warnings(more: dict[str, Any], message: str) -> None:
    found = parse(**more)
    assert messages(found) == [message]
    assert not found.problems[0].error
    assert "Desk" in found.types


@pytest.mark.parametrize(
    ("script", "wanted", "taken"),
    [
        ("desk.py", None, 256),
        ("desk.py", 100, 100),
        ("desk.py", 2048, 2048),
        ("tigervnc.py", None, 1024),
        ("tigervnc.py", 8192, 8192),
        ("x11vnc.py", None, 1024),
        ("x11vnc.py", 100, 100),
        ("x11vnc.py", 4096, 1024),
    ],
)
def test_the_clipboard_carries_no_more_than_the_vnc_server_takes(
    tmp_path: Path, script: str, wanted: int | None, taken: int
) -> None:
    """What is more would be lost, or end the connection, after the page has said that it was sent."""
    more = {} if wanted is None else {"clipboard-kilobytes": wanted}
    path = write_types(tmp_path, {"Desk": {"script": script, "count": 1, **more}}, desk=SCRIPT)
    found = read_types(path).types["Desk"]
    assert found.clipboard_kilobytes == taken
    assert realize(found, 0)._clipboard_bytes == taken << 10


def test_a_sites_own_script_is_its_own_whatever_it_is_called(tmp_path: Path) -> None:
    for name in CLIPBOARDS:
        path = write_types(tmp_path, {"Desk": {"script": name, "count": 1}}, **{name.removesuffix(".py"): SCRIPT})
        assert read_types(path).types["Desk"].clipboard_kilobytes == 256


def test_how_much_text_it_takes_is_known_of_every_script_that_ships() -> None:
    assert set(CLIPBOARDS) == {path.name for path in SHIPPED.glob("*.py")} - {"__init__.py"}


def test_a_mistake_costs_its_own_type_only() -> None:
    right = '{"script": "a.py", "count": 1}'
    text = f'{{"One": {right},\n"Two": {{"script": "a.py"}},\n"Three": 3, "": {right}}}'
    found = parse_types(text, FILE)
    assert list(found.types) == ["One"]
    assert [str(problem) for problem in found.problems] == [
        f"{FILE}:2: error: session type 'Two': count is missing",
        f'{FILE}:3: error: session type \'Three\': must be an object: {{"script": "...", "count": 1, "options": {{}}}}',
        f"{FILE}:3: error: session type '': the name must have 1 to 100 characters",
    ]


def test_what_stands_twice_is_not_guessed() -> None:
    text = (
        '{"A": {"script": "a.py", "count": 1, "users": ["x"],\n"users": ["ALL"]}, "B": {"script": "a.py", "count": 1}}'
    )
    found = parse_types(text, FILE)
    assert list(found.types) == ["B"]
    assert str(found.problems[0]) == f"{FILE}:2: error: session type 'A': 'users' stands twice; delete one"


def allowed(found: SessionType, user: str, address: str = "192.0.2.1", *groups: str) -> bool:
    """Whether this user may have the type."""
    return bool(found.access.decide(Requester(user, parse_client(address), lambda: frozenset(groups))))


def test_who_may_use_a_type() -> None:
    found = desk(options={"group": "cluster"}, users=["ann"], groups=["staff"], addresses=["192.0.2.0/24"])
    assert allowed(found, "ann")
    assert allowed(found, "bob", "192.0.2.1", "cluster")
    assert allowed(found, "bob", "192.0.2.1", "staff")
    assert not allowed(found, "bob")
    assert not allowed(found, "ann", "198.51.100.1")
    denied = desk(users=["ALL"], addresses=["ALL"], **{"users-deny": ["ann"], "addresses-deny": ["192.0.2.9"]})
    assert allowed(denied, "bob")
    assert not allowed(denied, "ann")
    assert not allowed(denied, "bob", "192.0.2.9")


def test_arguments_of_a_user() -> None:
    found = desk(arguments={"ann": ["1"], "@staff": ["2"], "@cluster": ["3"], "ALL": ["4"]})
    assert found.arguments_for(UserNames("ann"), lambda: pytest.fail("groups are not needed")) == ("1",)
    assert found.arguments_for(UserNames("bob"), lambda: frozenset({"cluster", "staff"})) == ("2",)
    assert found.arguments_for(UserNames("bob"), lambda: frozenset({"cluster"})) == ("3",)
    assert found.arguments_for(UserNames("bob"), lambda: None) == ("4",)
    assert found.arguments_for(UserNames("@staff"), lambda: None) == ("4",)
    assert found.arguments_for(UserNames("EXAMPLE\\ann", "ann"), lambda: None) == ("1",)
    assert desk().arguments_for(UserNames("bob")) == ()


def test_the_schema_ships_as_it_is_made() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == schema()


def valid(value: Any, rules: Mapping[str, Any]) -> bool:
    """Whether a value fits those words of JSON schema that ours uses."""
    types: dict[str, Any] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    assert set(rules) <= {
        *("$schema", "title", "description", "default", "type", "properties", "additionalProperties", "required"),
        *("propertyNames", "items", "maxItems", "minLength", "maxLength", "minimum", "maximum", "pattern", "enum"),
    }
    if not isinstance(value, types[rules.get("type", "string")]):
        return False
    if isinstance(value, bool):
        return bool(rules["type"] == "boolean")
    if isinstance(value, int):
        return bool(rules["minimum"] <= value <= rules["maximum"])
    if isinstance(value, str):
        fits = rules.get("minLength", 0) <= len(value) <= rules["maxLength"]
        return (
            fits
            and value in rules.get("enum", (value,))
            and ("pattern" not in rules or re.search(rules["pattern"], value) is not None)
        )
    if isinstance(value, list):
        return len(value) <= rules["maxItems"] and all(valid(item, rules["items"]) for item in value)
    return (
        all(name in value for name in rules.get("required", ()))
        and all(valid(name, rules["propertyNames"]) for name in value if "propertyNames" in rules)
        and all(
            valid(inner, rules.get("properties", {}).get(name, rules.get("additionalProperties")))
            for name, inner in value.items()
            if name in rules.get("properties", {}) or "additionalProperties" in rules
        )
    )


TEXTS = st.sampled_from(
    ["", "desk.py", "desk.png", "a/b.py", ".py", "x", "y" * 1001, "desk.py\n", "in", "none", "x\ud800", "x\0", "a\nb"]
)
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2_000_000)
    | TEXTS
    | st.lists(st.sampled_from(["ann", "", "h", 1, "a\nb", "\ud800", "\0"]), max_size=2)
    | st.dictionaries(st.sampled_from(["ann", "@g"]), st.lists(st.sampled_from(["x", "", 1]), max_size=2), max_size=2)
)
RIGHT = st.fixed_dictionaries({"script": st.just("desk.py"), "count": st.integers(0, 3)})
KEYS_OF_TYPE = st.dictionaries(st.sampled_from([key.name for key in KEYS]), ANYTHING, max_size=2)
OPTIONS = st.dictionaries(st.sampled_from([key.name for key in OPTION_KEYS]), ANYTHING, max_size=2)


NAMES = ["Desk", "", "n" * 101, " lead", "trail ", "a\nb", "\0", "x\ud800", "Büro ☃ 日本", "😀", "a/b", "<b>"]


@MANY
@given(RIGHT, KEYS_OF_TYPE, st.none() | OPTIONS, st.sampled_from(NAMES))
def test_the_schema_takes_what_the_parser_takes(
    right: dict[str, Any], more: dict[str, Any], options: dict[str, Any] | None, name: str
) -> None:
    value = {name: {**right, **more, **({} if options is None else {"options": options})}}
    found = parse_types(json.dumps(value), FILE)
    assert valid(value, schema()) == bool(found.types), found.problems


@SOME
@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse_types(text, FILE)
    except IniError as error:
        assert error.problem.path == str(FILE)


def write(path: Path, **more: Any) -> None:
    """A file with one type."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"Desk": {"script": "desk.py", "count": 2, **more}}), encoding="utf-8")
    new.replace(path)


def test_a_changed_file_is_read_again(files: Files, said: pytest.LogCaptureFixture) -> None:
    path = files.folder / "types.json"
    settings = files.write(f"[global]\nremote-session-config = {path}\n")
    source = SessionTypeSource()
    assert not source.current(settings).types
    write(path)
    first = source.current(settings)
    assert first.types["Desk"].count == 2
    assert source.current(settings) is first
    write(path, count=5, colour="red")
    assert source.current(settings).types["Desk"].count == 5
    assert f"session types: {path}:1: warning: session type 'Desk': unknown key 'colour'" in said.text
    path.write_text("{", encoding="utf-8")
    assert source.current(settings).types["Desk"].count == 5
    assert "the last good version of the file stays in service" in said.text
    write(path, count="6")
    assert not source.current(settings).types
    assert f"session types: {path}:1: error: session type 'Desk': count must be a whole number" in said.text


def test_without_a_file_there_are_no_types(files: Files) -> None:
    assert not SessionTypeSource().current(files.write("")).types


def test_the_variables_of_nexus_are_read(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X2GOBROKER_CONFIG", str(files.config))
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(files.defaults))
    monkeypatch.setenv("CEI_NEXUS_REMOTE_CONFIG", "/a.json")
    monkeypatch.setenv("CEI_NEXUS_REMOTE_VNCPASSWORD", "mytestpassword")
    settings = SettingsSource.of_process().current()
    assert settings.text(GLOBAL, "remote-session-config") == "/a.json"
    assert settings.text(GLOBAL, "remote-vnc-password") == "mytestpassword"
    monkeypatch.setenv("X2GOBROKER_REMOTE_CONFIG", "/b.json")
    assert SettingsSource.of_process().current().text(GLOBAL, "remote-session-config") == "/b.json"


SLIPS = ("anna, bert", "anna;bert", "anna\nbert", "all", "All", " anna", "@anna", "'anna", "anna # no", "*", "a\u200b")
LISTS = ("users", "users-deny", "groups", "groups-deny")


@pytest.mark.parametrize(
    ("key", "entry"),
    [*((key, entry) for key in LISTS for entry in SLIPS), ("users", "anna bert"), ("users-deny", "anna bert")],
)
def test_a_slip_in_a_list_of_names_takes_the_type_out_of_service(key: str, entry: str) -> None:
    found = parse(**{"users": ["ALL"], key: ["carl", entry]})
    assert not found.types
    assert any(problem.error and key in problem.message and problem.line for problem in found.problems)


@pytest.mark.parametrize("entry", ["anna/staff", "anna+staff", "staff / anna", "anna/bert+staff"])
@pytest.mark.parametrize("key", ["users-deny", "groups-deny"])
def test_what_may_be_several_names_denies_all_of_them_and_is_told(key: str, entry: str) -> None:
    entry = entry.replace(" ", "") if key == "users-deny" else entry
    found = parse(**{key.removesuffix("-deny"): ["ALL"], key: [entry]})
    (problem,) = found.problems
    assert not problem.error
    assert problem.line == 8
    assert f"{key}: {entry!r} may be several names, which are all denied" in problem.message
    if key == "users-deny":
        assert not allowed(found.types["Desk"], "anna")
        assert allowed(found.types["Desk"], "carl")
    else:
        assert not allowed(found.types["Desk"], "bert", "192.0.2.1", "staff")
        assert not allowed(found.types["Desk"], "bert", "192.0.2.1", entry)
        assert allowed(found.types["Desk"], "carl", "192.0.2.1", "guests")


def test_a_group_with_blanks_that_is_denied_is_told_unless_it_stands_in_quotes() -> None:
    found = parse(groups=["ALL"], **{"groups-deny": ["Domain Users"]})
    assert messages(found) == [
        "groups-deny: 'Domain Users' may be several names, which are all denied; give each an item of its own, or "
        "write \"'Domain Users'\" if it is one"
    ]
    for group in ("Domain Users", "Domain", "Users"):
        assert not allowed(found.types["Desk"], "anna", "192.0.2.1", group)
    quoted = desk(groups=["ALL"], **{"groups-deny": ["'Domain Users'"]})
    assert not allowed(quoted, "anna", "192.0.2.1", "Domain Users")
    assert allowed(quoted, "anna", "192.0.2.1", "Users")


@pytest.mark.parametrize(
    "more",
    [{"users": ["anna/bert"]}, {"users": ["anna+bert"]}, {"groups": ["a+b"]}, {"options": {"group": "staff/cluster"}}],
)
def test_what_may_be_several_names_allows_none_of_them_and_is_told(more: dict[str, Any]) -> None:
    found = parse(**more)
    (problem,) = found.problems
    assert not problem.error
    assert "counts as one name" in problem.message
    assert not allowed(found.types["Desk"], "anna", "192.0.2.1", "a", "staff")


@pytest.mark.parametrize(
    "name",
    [
        "anna bert",
        "anna/bert",
        "anna, bert",
        "all",
        "",
        "'anna",
        "'@staff'",
        "@",
        "@a/b",
        "@a+b",
        "@a, b",
        "@'a",
        "@@a",
    ],
)
def test_a_slip_in_a_name_that_has_arguments_takes_the_type_out_of_service(name: str) -> None:
    """Whoever it was meant for would get what all others get."""
    found = parse(arguments={name: ["--restricted"], "ALL": []})
    assert not found.types
    (problem,) = found.problems
    assert problem.error
    assert problem.line == 6
    assert f"arguments: {name!r} " in problem.message


def test_names_that_have_arguments_may_stand_in_quotes() -> None:
    found = desk(arguments={"'a,b'": ["1"], "@'c+d'": ["2"], "@Domain Users": ["3"], "SITE\\anna": ["4"]})
    assert found.arguments_for(UserNames("a,b")) == ("1",)
    assert found.arguments_for(UserNames("bert"), lambda: frozenset({"c+d"})) == ("2",)
    assert found.arguments_for(UserNames("bert"), lambda: frozenset({"Domain Users"})) == ("3",)
    assert found.arguments_for(UserNames("SITE\\anna")) == ("4",)
    assert messages(parse(arguments={"anna": [], "'anna'": ["1"]})) == [
        "arguments: \"'anna'\" stands twice; delete one"
    ]


@pytest.mark.parametrize(
    "key", ["Users", "users_deny", "deny-users", "allow", "groupsDeny", "usersdeny", "acl-users-deny"]
)
def test_a_key_that_is_nearly_an_access_rule_takes_the_type_out_of_service(key: str) -> None:
    assert not parse(**{key: ["anna"]}).types


def test_names_with_commas_stand_in_quotes_and_blanks_may_be() -> None:
    access = desk(groups=["'a,b'", "Domain Users"]).access
    assert access.groups_allow == {"a,b", "Domain Users"}
