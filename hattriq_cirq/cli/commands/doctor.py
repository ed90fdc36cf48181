"""`hattriq doctor`: check the installation and the access to processors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hattriq_cirq.execution.processors import ProcessorInfo

_PACKAGES = ("hattriq_cirq", "cirq-core", "cirq-google", "qsimcirq", "numpy", "scipy", "pandas", "scikit-learn", "seaborn")
_EXTRAS = ("mlxtend",)
_SHOTS = 200


class _Skipped(Exception):
    """A check that was left out; the message says why."""


@dataclass(frozen=True)
class Doctor:
    """Check the installation and the access to processors.

    The packages, the simulators and the virtual processors are checked, and the GPUs, which are listed with their memory. With
    --project, the credentials, the Quantum Engine API, the project and the access to each of its processors are checked as
    well, by one cheap call each; --processor narrows it to one processor. Each line says ok, failed or skipped, and what to do.

    The exit code is 0 if nothing failed, else 1.

    Args:
        project (P): Google Cloud project.
        processor (X): Id of a processor of the project.

    Examples:
        hattriq doctor
        hattriq doctor --project my-project
        hattriq doctor --project my-project --processor my-processor
    """

    _: KW_ONLY
    project: str | None = None
    processor: str | None = None

    def run(self) -> int:
        """Print one line per check and return 1 if a check failed."""
        if self.project is None and self.processor is not None:
            raise ValueError(f"--processor {self.processor!r} needs --project, the Google Cloud project that it belongs to")
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
        yield "cpu", _cpu, ""
        yield "cuda", _gpus, "update the driver, or install PyTorch or CuPy for its version of CUDA"
        yield from self._service_checks()

    def _service_checks(self) -> Iterator[tuple[str, Callable[[], str], str]]:
        """Yield the checks of the access to the service, the processors of the project as they are listed."""
        if self.project is None:
            yield "google:PROJECT/PROCESSOR", _no_project, ""
        elif self.processor is not None:
            yield (
                f"google:{self.project}/{self.processor}",
                partial(_online, partial(_access, self.project, self.processor)),
                "",
            )
        else:
            listed: list[ProcessorInfo] = []
            yield f"google:{self.project}", partial(_online, partial(_list, self.project, listed)), ""
            for info in listed:
                yield f"google:{self.project}/{info.id}", partial(_described, info), ""


def _cpu() -> str:
    from hattriq_cirq.foundation.devices import Device

    return Device.of("cpu").describe()


def _gpus() -> str:
    """Return the GPUs with their memory, after each has computed something."""
    from hattriq_cirq.foundation.devices import DeviceError, gpus

    try:
        found = gpus()
    except DeviceError as missing:
        raise _Skipped(str(missing)) from None
    for device in found:
        with device.computing("a sum"):
            total = float(device.xp.sum(device.asarray([0.5, 0.25])))
        if total != 0.75:
            raise DeviceError(f"{device} gave {total} for 0.5 + 0.25")
    return "; ".join(f"{device}, {device.describe()}" for device in found)


def _no_project() -> str:
    raise _Skipped("give --project to check credentials and access")


def _online(check: Callable[[], str]) -> str:
    """Return the result of a check that calls the service; where nobody answers, its error names the network."""
    from hattriq_cirq.circuits.errors import ServiceError

    try:
        return check()
    except ServiceError as error:
        raise ServiceError(f"{error}; check the network of this machine, and repeat `hattriq doctor`") from error


def _access(project: str, processor: str) -> str:
    from hattriq_cirq.execution.backends.google import check_access

    return ", ".join(f"{name} {value}" for name, value in check_access(project, processor).items())


def _list(project: str, listed: list[ProcessorInfo]) -> str:
    """Request the processors of a project and add them to a list."""
    import hattriq_cirq as hq
    from hattriq_cirq.foundation.terminal import is_watched

    listed += [each for each in hq.processors(project, progress=is_watched()) if each.project]
    return f"credentials, API and project are in order; processors: {', '.join(each.id for each in listed)}"


def _described(info: ProcessorInfo) -> str:
    """Return what the service tells of a processor. Raise AccessError if this account cannot read its configuration."""
    from hattriq_cirq.circuits.errors import AccessError

    if info.snapshot is None:
        raise AccessError(info.problem)
    taken = info.snapshot
    return (
        f"{info.availability}, {taken.qubits} qubits, configuration {taken.config_name}, snapshot {taken.snapshot_id}, "
        f"calibration {taken.calibration_utc or 'of unknown time'}"
    )


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
    from hattriq_cirq.workflows.values import parse_engine

    engine = parse_engine(engine_text, 0)
    qubit = cirq.q(0)
    (outcome,) = engine.run([cirq.Circuit(cirq.X(qubit) ** 0.5, cirq.measure(qubit, key="m"))], [_SHOTS])
    ones = int(outcome.counts[1])
    if not _SHOTS / 4 < ones < 3 * _SHOTS / 4:
        raise EngineError(f"a qubit in an equal superposition gave {ones} ones in {_SHOTS} shots, far from half")
    qubits = "" if engine.processor is None else f"{len(engine.processor.graph)} qubits, "
    return f"{qubits}a qubit in an equal superposition gave {ones} ones in {_SHOTS} shots"
