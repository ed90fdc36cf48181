"""`hattriq doctor`: what works here, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import cirq

from hattriq_cirq.circuits.errors import EngineError
from hattriq_cirq.cli.choices import parse_engine
from hattriq_cirq.compilation.gatesets import DEVICES

_PACKAGES = ("hattriq_cirq", "cirq-core", "cirq-google", "qsimcirq", "numpy", "scipy", "seaborn")
_EXTRAS = ("scikit-learn", "mlxtend")
_SHOTS = 200


class _Skipped(Exception):
    """A check that there is no need for, and what would make it one."""


def doctor(project: str | None, processor: str | None) -> int:
    """Prints a line for each check: ok, failed or skipped, and what to do.

    Args:
        project: of Google Cloud; None leaves the access out.
        processor: its id; given with the project.

    Returns:
        0, or 1 if a check failed.

    Raises:
        ValueError: a project without a processor, or the reverse.
    """
    if (project is None) != (processor is None):
        raise ValueError("--project and --processor belong together; give both, or neither")
    failed = False
    for name, check, cure in _checks(project, processor):
        try:
            outcome, words = "ok", check()
        except _Skipped as reason:
            outcome, words = "skipped", str(reason)
        except Exception as error:  # whatever is broken here is what this command is for
            outcome, words = "failed", f"{error}; {cure}" if cure else str(error)
            failed = True
        print(f"{outcome:<8} {name}: {' '.join(words.split())}", flush=True)
    return int(failed)


def _checks(project: str | None, processor: str | None) -> Iterator[tuple[str, Callable[[], str], str]]:
    """Name, check and, where errors do not say it themselves, cure."""
    yield "packages", _packages, "pip install --upgrade hattriq_cirq"
    yield "real images", _extras, ""
    for name in ("qsim", "cirq", *(f"virtual:{device},noise=none" for device in DEVICES)):
        yield name.split(",")[0], partial(_flips_a_coin, name), "pip install --force-reinstall qsimcirq cirq-google"
    yield f"google:{project or 'PROJECT'}/{processor or 'PROCESSOR'}", partial(_access, project, processor), ""


def _packages() -> str:
    versions = {name: version(name) for name in _PACKAGES}
    if versions["cirq-core"] != versions["cirq-google"]:
        raise ValueError(f"cirq-core {versions['cirq-core']} and cirq-google {versions['cirq-google']} must be of one version")
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _extras() -> str:
    try:
        return ", ".join(f"{name} {version(name)}" for name in _EXTRAS)
    except PackageNotFoundError as missing:
        raise _Skipped(f"{missing.name} is not installed; pip install 'hattriq_cirq[data]' brings it") from None


def _flips_a_coin(engine_text: str) -> str:
    """Runs one qubit through an engine, and looks at what came back."""
    engine = parse_engine(engine_text, 0)
    qubit = cirq.q(0)
    (found,) = engine.run([cirq.Circuit(cirq.X(qubit) ** 0.5, cirq.measure(qubit, key="m"))], [_SHOTS])
    ones = int(found.counts[1])
    if not _SHOTS / 4 < ones < 3 * _SHOTS / 4:
        raise EngineError(f"half a flip gave {ones} ones in {_SHOTS} shots, far from half")
    where = "" if engine.processor is None else f"{len(engine.processor.graph)} qubits, "
    return f"{where}half a flip gave {ones} ones in {_SHOTS} shots"


def _access(project: str | None, processor: str | None) -> str:
    if project is None or processor is None:
        raise _Skipped("give --project and --processor to check credentials and access")
    from hattriq_cirq.execution.backends.google import check_access

    return ", ".join(f"{name} {value}" for name, value in check_access(project, processor).items())
