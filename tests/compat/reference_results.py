"""Which of the reference's own tests do not pass here, and why; all others have to."""

from __future__ import annotations

from collections.abc import Mapping

# by module and test: the deviation, by its id, and what the test meets of it
DIFFERENT: dict[tuple[str, str], tuple[str, str]] = {
    ("test_broker_inifile", "test_getprofile"): (
        "misspelt-options",
        "wants `exports`, which no client knows (the option is `export`), sent to clients, and a profile without "
        "`name`",
    ),
    ("test_broker_inifile", "test_getprofilecompletion"): ("misspelt-options", "the same"),
    ("test_broker_inifile", "test_sessionselection"): (
        "host-forms",
        "takes the name of `test-7 (-test-6.extern)`, where the address is none",
    ),
    ("test_broker_zeroconf", "test_sessionselection"): ("zeroconf-id", "selects `any-profile-id`"),
    ("test_web_plain_base", "test_isenabled"): ("plain-refusal", "wants a 401"),
    ("test_web_plain_zeroconf", "test_selectsession"): ("zeroconf-id", "selects `LOCALHOST`"),
}
# what 0.0.4.3 itself fails
BROKEN: dict[tuple[str, str], str] = {
    ("test_broker_base", "test_getdefaultprofile"): "leaves out the option `kdrive`",
    ("test_broker_zeroconf", "test_profilelist"): "leaves out the option `kdrive`",
}
# what looks at functions that no client and no administrator sees
INTERNAL: dict[tuple[str, str], str] = {
    ("test_broker_base", "test_nameservicebase"): "lists of all users and groups; no rule needs them",
    ("test_broker_base", "test_nameservicelibnss"): "lists of all users and groups; no rule needs them",
    ("test_broker_base", "test_nameservicelibnss_primgroup"): "lists of all users and groups; no rule needs them",
    ("test_broker_base", "test_testsuite_nameservice"): "lists of all users and groups; no rule needs them",
}
# modules that are not run
NOT_RUN = {
    "test_broker_agent": "takes the place of Python functions that call agents, and fails with 0.0.4.3 as well",
    "test_utils": "Python functions that compare lists of host names",
    "test_web_uccs_zeroconf": "0.0.4.3 leaves it out of its own suite",
}


def reference_tests_markdown(titles: Mapping[str, str]) -> list[str]:
    """The part of the page of deviations about these tests; `titles` are those of the deviations by their ids."""
    lines = [
        "(reference-tests)=",
        "## The tests of 0.0.4.3",
        "",
        "The tests that Debian ships in python3-x2gobroker run against this broker, too, over HTTP. These do not pass,",
        "and all others do:",
        "",
        "| Test | Why |",
        "| --- | --- |",
    ]
    for (_, test), (deviation, why) in DIFFERENT.items():
        lines.append(f"| `{test}` | {titles[deviation]}: {why} |")
    lines += [f"| `{test}` | 0.0.4.3 fails it itself: {why} |" for (_, test), why in BROKEN.items()]
    lines += [f"| `{test}` | about its own functions: {why} |" for (_, test), why in INTERNAL.items()]
    lines += [f"| `{module}` | not run: {why} |" for module, why in NOT_RUN.items()]
    return [*lines, ""]
