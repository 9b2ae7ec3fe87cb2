"""Differences from the reference that no scenario can show: they need more than files and requests of one client."""

from __future__ import annotations

from tests.compat.deviation import Deviation

NOT_COMPARED: tuple[Deviation, ...] = (
    Deviation(
        "session-counts",
        "How many sessions a user has",
        "A profile in the list has `status` and the server of one session.",
        "In `/plain/` it also has `running=2` and `suspended=1`, if the broker knows of sessions from this profile.",
        "X2Go Client 4.1.2.2 and later shows them. The test has no X2Go Servers whose sessions could be counted.",
    ),
    Deviation(
        "empty-pam-password",
        "Empty passwords with `auth-mech = pam`",
        "They are refused, and PAM is not asked.",
        "PAM is asked, with the demand that accounts without a password do not get in.",
        "PAM services may ask for something other than a password, and only PAM takes as long as with a wrong one. The "
        "test lets every password in, as it must not depend on the accounts of its machine.",
    ),
)


def not_compared_markdown() -> list[str]:
    """The part of the page of deviations about these."""
    lines = [
        "(not-compared)=",
        "## Not compared by the test",
        "",
        "The test sends requests to two brokers with the same files, but without X2Go Servers and accounts of their",
        "own. It does not show these differences:",
        "",
    ]
    for deviation in NOT_COMPARED:
        lines += [
            f"({deviation.id})=",
            f"### {deviation.title}",
            "",
            f"- x2gobroker 0.0.4.3: {deviation.reference}",
            f"- Here: {deviation.ours}",
            f"- Why: {deviation.why}",
            "",
        ]
    return lines
