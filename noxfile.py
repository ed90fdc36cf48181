"""The tests on every supported Python, on the oldest supported packages, and on what comes next: `make matrix`.

$ nox --session tests-3.12
$ nox --session oldest
$ nox --session next  # pre-releases of Cirq; may fail
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYTHONS = ("3.11", "3.12", "3.13")
TESTS = ("python", "-m", "pytest", "-n", "auto", "--dist", "worksteal")

nox.options.sessions = ["tests", "oldest"]
nox.options.error_on_missing_interpreters = False


def lower_bounds() -> list[str]:
    """Return the requirements of the library, each at the lower bound of its version."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options"]["install_requires"].splitlines()
    return [f"{name}=={version}" for name, version in re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(lines), re.MULTILINE)]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests with the newest packages."""
    session.install("-e", ".[test]")
    session.run(*TESTS, *session.posargs)


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """Run the tests with the oldest supported packages."""
    session.install("-e", ".[test]", *lower_bounds())
    session.run(*TESTS, *session.posargs)


@nox.session(name="next", python=PYTHONS[-1])
def next_version(session: nox.Session) -> None:
    """Run the tests with pre-releases of Cirq."""
    session.install("-e", ".[test]")
    session.install("--upgrade", "--pre", "--no-deps", "cirq-core", "cirq-google")
    session.run(*TESTS, *session.posargs, success_codes=[0, 1])
