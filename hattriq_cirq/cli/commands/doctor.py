"""`hattriq doctor`: check the installation and the access to processors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from functools import partial

_PACKAGES = ("hattriq_cirq", "cirq-core", "cirq-google", "qsimcirq", "numpy", "scipy", "seaborn")
_EXTRAS = ("scikit-learn", "mlxtend")
_SHOTS = 200


class _Skipped(Exception):
    """A check that was left out; the message says why."""


@dataclass(frozen=True)
class Doctor:
    """Check the installation and the access to processors.

    The packages, the simulators and the virtual processors are checked and, with --project and --processor, the
    credentials and the access, by one cheap call. Each line says ok, failed or skipped, and what to do.

    The exit code is 0 if nothing failed, else 1.

    Args:
        project (P): Google Cloud project.
        processor (X): Id of a processor of the project.

    Examples:
        hattriq doctor
        hattriq doctor --project my-project --processor my-processor
    """

    _: KW_ONLY
    project: str | None = None
    processor: str | None = None

    def run(self) -> int:
        """Print one line per check and return 1 if a check failed."""
        if (self.project is None) != (self.processor is None):
            raise ValueError("--project and --processor belong together; give both, or neither")
        exit_code = 0
        for name, check, cure in self._checks():
            try:
                outcome, text = "ok", check()
            except _Skipped as reason:
                outcome, text = "skipped", str(reason)
            except Exception as error:  # any defect of the installation is a result of this command
                outcome, text, exit_code = "failed", f"{error}; {cure}" if cure else str(error), 1
            print(f"{outcome:<8} {name}: {' '.join(text.split())}", flush=True)
        return exit_code

    def _checks(self) -> Iterator[tuple[str, Callable[[], str], str]]:
        """Yield the name, the check and, where its errors do not say it themselves, the cure."""
        from hattriq_cirq.compilation.gatesets import PROCESSORS

        yield "packages", _packages, "pip install --upgrade hattriq_cirq"
        yield "real images", _extras, ""
        for name in ("qsim", "cirq", *(f"virtual:{name},noise=none" for name in PROCESSORS)):
            yield name.split(",")[0], partial(_run_one_qubit, name), "pip install --force-reinstall qsimcirq cirq-google"
        yield f"google:{self.project or 'PROJECT'}/{self.processor or 'PROCESSOR'}", self._access, ""

    def _access(self) -> str:
        if self.project is None or self.processor is None:
            raise _Skipped("give --project and --processor to check credentials and access")
        from hattriq_cirq.execution.backends.google import check_access

        return ", ".join(f"{name} {value}" for name, value in check_access(self.project, self.processor).items())


def _packages() -> str:
    from importlib.metadata import version

    versions = {name: version(name) for name in _PACKAGES}
    if versions["cirq-core"] != versions["cirq-google"]:
        raise ValueError(f"cirq-core {versions['cirq-core']} and cirq-google {versions['cirq-google']} must be of one version")
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _extras() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return ", ".join(f"{name} {version(name)}" for name in _EXTRAS)
    except PackageNotFoundError as missing:
        raise _Skipped(f"{missing.name} is not installed; pip install 'hattriq_cirq[data]' installs it") from None


def _run_one_qubit(engine_text: str) -> str:
    """Run a qubit in an equal superposition on an engine and check its counts."""
    import cirq

    from hattriq_cirq.circuits.errors import EngineError
    from hattriq_cirq.cli.values import parse_engine

    engine = parse_engine(engine_text, 0)
    qubit = cirq.q(0)
    (outcome,) = engine.run([cirq.Circuit(cirq.X(qubit) ** 0.5, cirq.measure(qubit, key="m"))], [_SHOTS])
    ones = int(outcome.counts[1])
    if not _SHOTS / 4 < ones < 3 * _SHOTS / 4:
        raise EngineError(f"a qubit in an equal superposition gave {ones} ones in {_SHOTS} shots, far from half")
    qubits = "" if engine.processor is None else f"{len(engine.processor.graph)} qubits, "
    return f"{qubits}a qubit in an equal superposition gave {ones} ones in {_SHOTS} shots"
