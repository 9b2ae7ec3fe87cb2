"""Password hashes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from passlib.hash import sha512_crypt

from tests.unit.properties import FEW, SOME
from x2gobroker.auth import passwords
from x2gobroker.auth.passwords import BCRYPT_LIMIT, SCHEMES, SHA_CRYPT_LIMIT, hash_password, verify_password
from x2gobroker.model.passwords import LONGEST_PASSWORD, LONGEST_TYPED

PASSWORD = "p:w é ☃"
PREFIXES = (
    "",
    "$2b$12$",
    "$2y$05$",
    "$argon2id$v=19$m=19456,t=2,p=1$",
    "$6$rounds=5000$",
    "$5$",
    "$apr1$",
    "{SHA}",
    "!",
    "*",
)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_hashed_is_verified_and_nothing_else(scheme: str) -> None:
    hashed = hash_password(PASSWORD, scheme)
    assert verify_password(PASSWORD, hashed) is True
    assert verify_password(PASSWORD + "x", hashed) is False
    assert verify_password("", hashed) is False
    assert PASSWORD not in hashed
    assert ":" not in hashed


@pytest.mark.parametrize(
    ("scheme", "prefix"), [("argon2", "$argon2id$"), ("bcrypt", "$2b$12$"), ("sha512_crypt", "$6$")]
)
def test_schemes_are_what_they_are_called(scheme: str, prefix: str) -> None:
    assert hash_password("x", scheme).startswith(prefix)


def test_argon2_is_what_is_written_unless_told_otherwise_and_never_the_same_twice() -> None:
    one, other = hash_password("x"), hash_password("x")
    assert one.startswith("$argon2id$")
    assert one != other


@pytest.mark.parametrize("option", ["-5", "-6"])
def test_hashes_of_crypt_as_openssl_makes_them_are_verified(option: str) -> None:
    made = subprocess.run(
        ["openssl", "passwd", option, "-stdin"], input=PASSWORD, text=True, capture_output=True, check=True, timeout=10
    )
    assert verify_password(PASSWORD, made.stdout.strip()) is True
    assert verify_password("other", made.stdout.strip()) is False


def test_bcrypt_of_apaches_htpasswd_is_verified() -> None:
    made = subprocess.run(
        ["htpasswd", "-nbBC", "5", "anna", "right"], text=True, capture_output=True, check=True, timeout=10
    )
    hashed = made.stdout.strip().partition(":")[2]
    assert hashed.startswith("$2y$05$")
    assert verify_password("right", hashed) is True
    assert verify_password("wrong", hashed) is False


def quick_hash(password: str) -> str:
    """As crypt(3) makes them by default: with 5000 rounds."""
    return str(sha512_crypt.using(rounds=5000).hash(password))


@FEW
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_any_password_is_verified_against_its_own_hash(password: str) -> None:
    assert verify_password(password, quick_hash(password)) is True


def test_bcrypt_refuses_to_cut_a_long_password() -> None:
    longest = "é" * (BCRYPT_LIMIT // 2)
    hashed = hash_password(longest, "bcrypt")
    assert verify_password(longest, hashed) is True
    assert verify_password(longest + "x", hashed) is False
    with pytest.raises(ValueError, match="argon2"):
        hash_password(longest + "x", "bcrypt")


@pytest.mark.parametrize(("make", "most"), [(hash_password, LONGEST_PASSWORD), (quick_hash, SHA_CRYPT_LIMIT // 3)])
@pytest.mark.parametrize("letter", ["x", "é", "☃"])
def test_the_longest_password_that_a_scheme_takes_works(make: Callable[[str], str], most: int, letter: str) -> None:
    hashed = make(letter * most)
    assert verify_password(letter * most, hashed) is True
    assert verify_password(letter * (most - 1), hashed) is False


def test_sha_crypt_takes_no_password_that_would_keep_it_busy() -> None:
    assert verify_password("x" * (SHA_CRYPT_LIMIT + 1), quick_hash("x" * (SHA_CRYPT_LIMIT + 1))) is False


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_longest_password_that_a_client_may_send_keeps_no_processor_busy_for_long(scheme: str) -> None:
    hashed = hash_password("x", scheme)
    began = time.process_time()
    verify_password("x" * LONGEST_TYPED, hashed)
    assert time.process_time() - began < 1.5


@SOME
@given(st.text(max_size=20), st.builds(str.__add__, st.sampled_from(PREFIXES), st.text("abcXYZ09./$=,é", max_size=60)))
@example("x", "")
@example("x", "plain")
@example("x", "$2b$12$short")
@example("x", "$6$$")
@example("x", "$argon2id$v=19$m=1,t=1,p=1$YWJj$YWJj")
@example("x", "$argon2id$v=19$m=19456,t=2,p=1$")
@example("x", "$argon2id$v=19$m=19456,t=2,p=1$0.")
def test_a_hash_that_is_none_is_a_value_error_or_simply_wrong(password: str, hashed: str) -> None:
    try:
        assert verify_password(password, hashed) is False
    except ValueError:
        return


@pytest.mark.parametrize(("hashed", "limit"), [("$2b$05$", BCRYPT_LIMIT), ("$6$", SHA_CRYPT_LIMIT)])
def test_a_password_that_is_too_long_for_a_scheme_is_hashed_all_the_same(
    hashed: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its refusal takes as long as that of any other."""
    asked: list[int] = []

    def verify(_self: object, password: bytes, _hashed: str) -> bool:
        asked.append(len(password))
        return True

    monkeypatch.setattr(type(passwords.CONTEXT), "verify", verify)
    assert verify_password("é" * limit, hashed) is False
    assert asked == [limit]


def test_no_more_are_hashed_at_a_time_than_there_are_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def verify(_self: object, _password: bytes, _hashed: str) -> bool:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.01)
        with lock:
            under_way -= 1
        return False

    monkeypatch.setattr(type(passwords.CONTEXT), "verify", verify)
    with ThreadPoolExecutor(32) as threads:
        list(threads.map(lambda number: verify_password(str(number), "$argon2id$"), range(64)))
    assert 1 <= most <= len(os.sched_getaffinity(0))


def test_a_process_that_was_forked_hashes_as_well() -> None:
    hashed = quick_hash("x")
    assert verify_password("x", hashed)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if verify_password("x", hashed) else 1)
    assert os.waitpid(pid, 0)[1] == 0
