"""The authentication service where memory may not be writable and executable: 320 logins, 16 at a time.

Where it may not, libffi keeps what C code calls back in memory that processes share after a fork. Processes that were
forked with such callbacks, or made some afterwards, overwrite each other's.
"""

from __future__ import annotations

import contextlib
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.accounts import Account, account, pam_service
from tests.support.authservice import AuthService
from tests.support.processes import wait_until
from x2gobroker.errors import AuthMechanismError

LOGINS, AT_A_TIME, USERS = 320, 16, 6
UNIX = "auth required pam_unix.so\naccount required pam_unix.so\n"
# PR_SET_MDWE, as MemoryDenyWriteExecute= sets it; Linux has it from 6.3 on
CONFINED = (
    "import ctypes, os, sys\n"
    "failed = ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)\n"
    "sys.exit('no PR_SET_MDWE') if failed else os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture(scope="module")
def unix() -> Iterator[str]:
    """A PAM service that asks /etc/shadow."""
    with pam_service("mdwe", UNIX) as name:
        yield name


@pytest.fixture(scope="module")
def users() -> Iterator[list[Account]]:
    """Accounts, each with a password of its own."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(account(f"Right-{number}-pw")) for number in range(USERS)]


@pytest.fixture(scope="module")
def confined(unix: str) -> Iterator[AuthService]:
    """The service, which can make no memory writable and executable."""
    with AuthService(unix, launcher=(sys.executable, "-c", CONFINED)) as service:
        yield service


def test_every_login_gets_its_own_answer_where_memory_is_never_writable_and_executable(
    confined: AuthService, unix: str, users: list[Account]
) -> None:
    client = confined.client(deadline=60)

    def log_in(number: int) -> str:
        chance = random.Random(number)
        user, right = chance.choice(users), chance.random() < 0.7
        password = user.password if right else "x" * chance.randrange(1, 200)
        try:
            granted = client.authenticate(unix, user.name, password, address="192.0.2.1").granted
        except AuthMechanismError as error:
            return str(error)
        return "as it should" if granted == right else f"granted={granted} for a {'right' if right else 'wrong'} one"

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        answers = Counter(threads.map(log_in, range(LOGINS)))
    assert answers == {"as it should": LOGINS}, confined.log()[-2000:]
    assert "Exception ignored" not in confined.log()


def test_no_two_processes_share_what_is_called_back(confined: AuthService, unix: str) -> None:
    """What lies in shared, executable memory lies in one process only."""
    assert not confined.client().authenticate(unix, "x2gt-nobody", "x").granted
    wait_until(lambda: bool(owners_of_memory(confined)), "a worker that has made what PAM calls back")
    owners = owners_of_memory(confined)
    assert all(count == 1 for count in owners.values()), owners


def owners_of_memory(service: AuthService) -> Counter[str]:
    """Each piece of shared, executable memory of the service's processes, and how many of them have it."""
    owners: Counter[str] = Counter()
    for pid in (service.pid, *service.descendants()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that has just done its login
            maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
            owners.update(set(re.findall(r"^\S+ r-xs \S+ (\S+ \d+) .*memfd:libffi", maps, re.MULTILINE)))
    return owners
