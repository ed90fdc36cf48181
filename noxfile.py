"""The tests on every supported Python, on the oldest supported packages, and on what comes next: `make matrix`.

$ nox                                               # every supported Python that is installed, and oldest packages
$ nox --session tests-3.12 -- tests/execution -x    # words after `--` are for pytest
$ nox --session oldest
$ nox --session torch                               # devices, on PyTorch in main memory
$ nox --session next                                # pre-releases of Cirq; may fail
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import nox

NEXT_CIRQ = "1.8.dev0"  # with a pre-release in the bound, installers take pre-releases
NEXT_PYTHON = "3.14"  # untested: claimed once its session passes

config = configparser.ConfigParser()
config.read(Path(__file__).parent / "setup.cfg", encoding="utf-8")
PYTHONS = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", config["metadata"]["classifiers"], re.MULTILINE)
LOWEST = re.findall(r"^([\w-]+)>=([\d.]+)", config["options"]["install_requires"], re.MULTILINE)

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "oldest"]
nox.options.error_on_missing_interpreters = False
if shutil.which("pyenv"):  # its commands python3.12 and the like start only the versions that are chosen
    installed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, encoding="utf-8").stdout.split()
    os.environ.setdefault("PYENV_VERSION", ":".join(installed))


def run_tests(session: nox.Session, *requirements: str) -> None:
    """Install the library with its tests and further requirements, and run the tests, or those that the command names."""
    session.install("--editable", ".[test]", *requirements)
    processes = [] if session.posargs else ["-n", "auto", "--dist", "worksteal"]
    session.run("python", "-m", "pytest", *processes, *session.posargs, env={"OPENBLAS_NUM_THREADS": "1"})


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests with the newest packages."""
    run_tests(session)


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """Run the tests with every package of the library at its lower bound."""
    run_tests(session, *(f"{name}=={version}" for name, version in LOWEST))


@nox.session(python=PYTHONS[0])
def torch(session: nox.Session) -> None:
    """Run the tests of devices on PyTorch in main memory; its wheel is large."""
    session.install("--editable", ".[test,gpu]")
    session.run("python", "-m", "pytest", "-m", "torch", *session.posargs, env={"OPENBLAS_NUM_THREADS": "1"})


@nox.session(name="next", python=[PYTHONS[-1], NEXT_PYTHON])
def next_version(session: nox.Session) -> None:
    """Run the tests with pre-releases of Cirq."""
    run_tests(session, f"cirq-core>={NEXT_CIRQ}", f"cirq-google>={NEXT_CIRQ}")
