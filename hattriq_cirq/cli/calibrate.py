"""`hattriq calibrate`: the readout of a processor's qubits, measured and saved."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import cirq

from calibration.readout.calibration import ReadoutCalibration
from calibration.readout.measure import Pattern, measure_readout
from hattriq_cirq.attribution.baselines import resolve
from hattriq_cirq.cli.choices import find_model, make_baseline, parse_engine, parse_estimator, select_inputs
from hattriq_cirq.cli.journaled import journaled
from hattriq_cirq.datasets import load
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.prepare import bilinear_terms_of_rows, choose_placement


@dataclass(frozen=True)
class CalibrateSettings:
    """Which qubits, and how; names and defaults are those of the command line."""

    engine: str
    qubits: str | None
    model: str | None
    data: str | None
    inputs: str
    baseline: str
    estimator: str
    shots: int
    pattern: Pattern
    seed: int


@dataclass(frozen=True)
class CalibrateRun:
    """A calibration and the file it was written to."""

    file: Path
    calibration: ReadoutCalibration

    def print(self) -> None:
        """Prints every qubit's errors, and the file."""
        print(self.calibration)
        print(f"wrote {self.file}")


def calibrate_into(file: Path, settings: CalibrateSettings) -> CalibrateRun:
    """Measures the readout of qubits and writes it.

    On a real processor, jobs and counts are recorded in a folder beside the file, named like it with .run: called again, a
    run that stopped goes on.

    Args:
        file: to be written.
        settings: which qubits, and how.

    Returns:
        The calibration.

    Raises:
        FileExistsError: the file exists.
        ValueError: bad settings.
        EngineError: the engine could not run the circuits.
    """
    if file.exists():
        raise FileExistsError(f"{file} exists and is not overwritten; choose another path or remove it")
    if settings.engine.startswith("google:"):
        record = {"command": "calibrate", "settings": asdict(settings), "out": str(file), "directory": os.getcwd()}
        with journaled(file.with_suffix(".run"), settings.engine, settings.seed, record) as engine:
            return _calibrate(file, settings, engine)
    return _calibrate(file, settings, parse_engine(settings.engine, settings.seed))


def _calibrate(file: Path, settings: CalibrateSettings, engine: Engine) -> CalibrateRun:
    calibration = measure_readout(engine, chosen_qubits(settings, engine), settings.shots, settings.pattern)
    return CalibrateRun(calibration.save(file), calibration)


def chosen_qubits(settings: CalibrateSettings, engine: Engine) -> list[cirq.Qid]:
    """The qubits that are named, those that a model's circuits would be placed on, or all of the processor.

    Args:
        settings: name them, or the model and its inputs.
        engine: has the processor.

    Returns:
        Physical qubits, in order.

    Raises:
        ValueError: an engine without a processor, a qubit that it lacks, or half a model.
    """
    if engine.processor is None:
        raise ValueError(f"engine {settings.engine!r} has no processor whose readout could be measured; use virtual or google")
    if settings.qubits is not None:
        if not re.fullmatch(r"\d+_\d+(,\d+_\d+)*", settings.qubits):
            raise ValueError(f"--qubits {settings.qubits!r} must be rows and columns, such as 4_10,5_10")
        named: list[cirq.Qid] = [cirq.GridQubit(*map(int, part.split("_"))) for part in settings.qubits.split(",")]
        if missing := [q for q in named if q not in engine.processor.graph]:
            raise ValueError(f"{engine.processor.id} has no qubits {', '.join(map(str, missing))}")
        return named
    if (settings.model is None) != (settings.data is None):
        raise ValueError("MODEL and --data belong together; give both, or neither for all qubits of the processor")
    if settings.model is None or settings.data is None:
        return sorted(engine.processor.graph)
    model, data, estimator = Model.load(find_model(settings.model)), load(settings.data), parse_estimator(settings.estimator)
    if estimator is None:
        raise ValueError("estimator 'exact' runs no circuit and has no qubits; name another")
    indices = select_inputs(settings.inputs, data)
    _, baseline = make_baseline(settings.baseline, data, indices, settings.seed)
    rows = data.amplitudes[indices]
    references, _ = resolve(baseline, rows)
    placement = choose_placement(model, estimator, bilinear_terms_of_rows(rows, references, None), engine)
    assert placement is not None  # the engine has a processor
    return sorted(placement.qubits.values())
