"""Key pairs made beforehand: each once, none shared with a forked process."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.processes import wait_until
from x2gobroker.autologin.stock import MOST, KeyStock, one_off
from x2gobroker.ssh.keys import KeyPair, generate_key, read_private_key


def quick(_kind: str) -> KeyPair:
    """A pair that takes no time."""
    return generate_key("ed25519")


def test_a_one_off_rsa_key_is_what_x2go_client_reads() -> None:
    pair = one_off("rsa")
    assert pair.private.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert pair.private.endswith("-----END RSA PRIVATE KEY-----\n")
    assert read_private_key(pair.private).get_bits() == 2048
    assert pair.private not in repr(pair)


def test_nothing_is_made_before_the_first_is_wanted_then_a_few_beforehand() -> None:
    stock = KeyStock(quick)
    assert stock.in_stock("rsa") == 0
    stock.take("rsa")
    wait_until(lambda: stock.in_stock("rsa") == MOST, "a full stock")
    assert stock.in_stock("ecdsa") == 0


def test_each_pair_is_given_away_once() -> None:
    stock = KeyStock(quick)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: stock.take("rsa").private, range(60)))
    assert len(set(taken)) == 60


def test_whoever_comes_while_the_stock_is_empty_waits_for_one_pair_only() -> None:
    made = threading.Semaphore(1)  # the first pair can be made, all later ones cannot
    by_request = threading.local()

    def slow(kind: str) -> KeyPair:
        if getattr(by_request, "here", False):
            return quick(kind)
        made.acquire(timeout=20)
        return quick(kind)

    stock = KeyStock(slow)
    by_request.here = True
    begun = time.monotonic()
    for _ in range(5):
        stock.take("rsa")
    assert time.monotonic() - begun < 5
    made.release(20)


def test_a_failure_in_the_background_is_logged_and_tried_again(said: pytest.LogCaptureFixture) -> None:
    failing = threading.Event()
    failing.set()
    main = threading.current_thread()

    def make(kind: str) -> KeyPair:
        if failing.is_set() and threading.current_thread() is not main:
            raise RuntimeError("no random numbers")
        return quick(kind)

    stock = KeyStock(make)
    stock.take("rsa")
    wait_until(lambda: not any(thread.name == "autologin-keys-rsa" for thread in threading.enumerate()), "its end")
    assert "no key pair can be made beforehand: RuntimeError" in said.text
    failing.clear()
    stock.take("rsa")
    wait_until(lambda: stock.in_stock("rsa") == MOST, "a full stock")


def test_a_forked_process_begins_with_an_empty_stock() -> None:
    stock = KeyStock(quick)
    stock.take("rsa")
    wait_until(lambda: stock.in_stock("rsa") == MOST, "a full stock")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            empty = stock.in_stock("rsa")
            os.write(writing, f"{empty} {stock.take('rsa').public.blob}".encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as stream:
        in_child, blob = stream.read().split()
    assert os.waitpid(child, 0)[1] == 0
    assert in_child == "0"
    assert blob not in {stock.take("rsa").public.blob for _ in range(MOST + 2)}
