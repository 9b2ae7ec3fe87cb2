"""Runs the reference's own tests, as Debian's python3-x2gobroker ships them, against our broker.

A program of its own, as it takes the reference's names for modules of ours: `python -m tests.compat.reference_tests`.
It prints, as JSON, what became of each test: nothing where it passes, else the line of the test that failed, the `key`
of its loop if it has one, and the message. `SAID` in reference_results.py has parts of these.
"""

from __future__ import annotations

import importlib.util
import json
import linecache
import os
import shutil
import sys
import tempfile
import traceback
import unittest
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.compat.reference_shim import install, reset
from tests.support.debian_broker import LIBRARY

MODULES = (
    "test_broker_base",
    "test_broker_inifile",
    "test_broker_zeroconf",
    "test_client_plain_base",
    "test_web_plain_base",
    "test_web_plain_inifile",
    "test_web_plain_zeroconf",
)
SAMPLE = Path("/etc/x2go/broker/x2gobroker-sessionprofiles.conf")


def failure(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> str:
    """Where in the reference's own code a test has failed, and with what words, as one line."""
    where = ""
    for frame, number in traceback.walk_tb(trace):
        name = frame.f_code.co_filename
        if name.startswith(str(LIBRARY)):
            where = linecache.getline(name, number).strip()
            if "key" in frame.f_locals:
                where += f" [key = {frame.f_locals['key']!r}]"
    return f"{where} -> {kind.__name__}: {' '.join(str(error).split())}"


class Results(unittest.TestResult):
    """What became of each test, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, str] = {}

    def stopTest(self, test: unittest.TestCase) -> None:
        """A test is over, and its brokers with it; what it has set for itself may be left."""
        super().stopTest(test)
        self.said.setdefault(test.id().split(".", 1)[1].split(".")[-1], "")
        reset()

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """A test has failed."""
        super().addFailure(test, err)
        self.said[test.id().split(".")[-1]] = failure(*err)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """A test has ended with an exception."""
        super().addError(test, err)
        self.said[test.id().split(".")[-1]] = failure(*err)


def main() -> None:
    """Run them all, and print what became of them."""
    folder = Path(tempfile.mkdtemp(prefix="reference-tests-"))
    os.environ["REFERENCE_TESTS_FOLDER"] = str(folder)
    # the tests look for the sample file where it is in the source
    (folder / "etc/broker").mkdir(parents=True)
    (folder / "x2gobroker/tests").mkdir(parents=True)
    shutil.copy(SAMPLE, folder / "etc/broker")
    (folder / "etc/broker/x2gobroker.authid").write_text("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n")
    os.chdir(folder / "x2gobroker/tests")
    install()
    found: dict[str, dict[str, str]] = {}
    for name in MODULES:
        spec = importlib.util.spec_from_file_location(f"reference.{name}", LIBRARY / "tests" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        results = Results()
        module.test_suite().run(results)
        found[name] = results.said
    shutil.rmtree(folder)
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
