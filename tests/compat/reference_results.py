"""Which of the reference's own tests do not pass here, and why; all others have to."""

from __future__ import annotations

from collections.abc import Mapping

# by module and test: the deviation, by its id, and what the test meets of it
DIFFERENT: dict[tuple[str, str], tuple[str, str]] = {
    ("test_broker_inifile", "test_getprofile"): (
        "misspelt-options",
        "expects that clients are sent `exports`, which none of them knows (the option is `export`), and expects a "
        "profile without `name`",
    ),
    ("test_broker_inifile", "test_getprofilecompletion"): ("misspelt-options", "the same"),
    ("test_broker_inifile", "test_sessionselection"): (
        "host-forms",
        "expects the name from `test-7 (-test-6.extern)`, although what is in parentheses is not an address",
    ),
    ("test_broker_zeroconf", "test_sessionselection"): ("zeroconf-id", "selects `any-profile-id`"),
    ("test_web_plain_base", "test_isenabled"): ("plain-refusal", "expects a 401"),
    ("test_web_plain_zeroconf", "test_selectsession"): ("zeroconf-id", "selects `LOCALHOST`"),
}
# what 0.0.4.3 itself fails
BROKEN: dict[tuple[str, str], str] = {
    ("test_broker_base", "test_getdefaultprofile"): "does not expect the option `kdrive`",
    ("test_broker_zeroconf", "test_profilelist"): "does not expect the option `kdrive`",
}
# what looks at functions that no client and no administrator sees
INTERNAL: dict[tuple[str, str], str] = {
    ("test_broker_base", "test_nameservicebase"): "lists of all users and groups; no rule needs them",
    ("test_broker_base", "test_nameservicelibnss"): "lists of all users and groups; no rule needs them",
    ("test_broker_base", "test_nameservicelibnss_primgroup"): "lists of all users and groups; no rule needs them",
    ("test_broker_base", "test_testsuite_nameservice"): "lists of all users and groups; no rule needs them",
}
# parts of what `python -m tests.compat.reference_tests` prints about each of these: that it fails for this reason, and
# for no other one
SAID: dict[tuple[str, str], tuple[str, ...]] = {
    ("test_broker_inifile", "test_getprofile"): ("key in list(_profile1.keys())", "[key = 'exports']"),
    ("test_broker_inifile", "test_getprofilecompletion"): ("key in list(_profile.keys())", "[key = 'exports']"),
    ("test_broker_inifile", "test_sessionselection"): ("select_session('testprofile7')", "'no-server-available'"),
    ("test_broker_zeroconf", "test_sessionselection"): ("select_session('any-profile-id')", "'no-server-available'"),
    ("test_web_plain_base", "test_isenabled"): ("assert_equal(r.status, 401)", "AssertionError: 200 != 401"),
    ("test_web_plain_zeroconf", "test_selectsession"): (
        "mustcontain('SERVER:localhost:22')",
        "SERVER:no-server-available:22",
    ),
    ("test_broker_base", "test_getdefaultprofile"): ("len(list(_expected_profile.keys()))", "34 != 35"),
    ("test_broker_zeroconf", "test_profilelist"): ("assertEqual(_profiles, _test_profiles)", "- 'kdrive': False"),
    ("test_broker_base", "test_nameservicebase"): ("AttributeError", "no attribute 'get_users'"),
    ("test_broker_base", "test_nameservicelibnss"): ("AttributeError", "no attribute 'get_users'"),
    ("test_broker_base", "test_nameservicelibnss_primgroup"): ("AttributeError", "no attribute 'get_primary_group'"),
    ("test_broker_base", "test_testsuite_nameservice"): ("AttributeError", "no attribute 'get_users'"),
}
# modules that are not run
NOT_RUN = {
    "test_broker_agent": "replaces Python functions that call agents, and fails with 0.0.4.3 as well",
    "test_utils": "tests Python functions that compare lists of host names",
    "test_web_uccs_zeroconf": "0.0.4.3 leaves it out of its own suite",
}


def reference_tests_markdown(titles: Mapping[str, str]) -> list[str]:
    """The part of the page of deviations about these tests; `titles` are those of the deviations by their ids."""
    lines = [
        "(reference-tests)=",
        "## The tests of 0.0.4.3",
        "",
        "The tests that Debian ships in python3-x2gobroker also run against this broker, over HTTP. All pass except",
        "these:",
        "",
        "| Test | Why |",
        "| --- | --- |",
    ]
    for (_, test), (deviation, why) in DIFFERENT.items():
        lines.append(f"| `{test}` | {titles[deviation]}: {why} |")
    lines += [f"| `{test}` | 0.0.4.3 itself fails it: {why} |" for (_, test), why in BROKEN.items()]
    lines += [f"| `{test}` | about internal functions of 0.0.4.3: {why} |" for (_, test), why in INTERNAL.items()]
    lines += [f"| `{module}` | not run: {why} |" for module, why in NOT_RUN.items()]
    return [*lines, ""]
