"""`hattriq calibrate`: measure the readout errors of a processor's qubits and save them."""

from __future__ import annotations

import os
import re
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

import hattriq_cirq as hq
from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.cli.engine_options import EngineOptions
from hattriq_cirq.cli.help_lists import ENGINES
from hattriq_cirq.foundation.display import printable

if TYPE_CHECKING:
    import cirq

    from calibration import ReadoutCalibration
    from calibration.readout.measure import Pattern
    from hattriq_cirq.execution.engine import Engine

_LONGEST = 255  # bytes of a file's name


@dataclass(frozen=True)
class Calibrate(EngineOptions):
    """Measure the readout errors of the qubits of a processor.

    The readout error rates of each qubit are measured, with all qubits in the same shots, and written into a new file for
    `hattriq attribute --mitigate readout --calibration FILE`.

    The qubits are those of --qubits; or, with MODEL and --data, those on which `hattriq attribute` would place its circuits
    with the same inputs, baseline and estimator; or else all qubits of the processor, in groups of 10.

    Args:
        model (MODEL): A model.json, or a folder that holds one.
        data (DATA): Data set with the inputs (only with MODEL).
        out (FILE): New JSON file for the calibration.
        engine (ENGINE): Engine with a processor, virtual or google, as listed above.
        qubits (R_C,...): Rows and columns of the qubits, such as 4_10,5_10.
        inputs (SIDE[:FROM:TO]): Inputs of one side of the data set, all of test or train or a slice (only with MODEL).
        index (I,J,...): Inputs by their indices in the whole data set, from 0 (only with MODEL).
        baseline (NAME): Baseline as in `hattriq attribute` (only with MODEL).
        estimator (NAME): Estimator as in `hattriq attribute` (only with MODEL).
        shots (N): Number of shots per prepared state of every qubit.
        pattern (NAME): Set of prepared states, balanced, complement or full.
        dry_run: Check everything, print the cost and record the jobs in a folder beside FILE, but submit nothing; the same
            command without --dry-run goes on from there.
        seed (N): Random seed for sampling counts.

    Examples:
        hattriq calibrate runs/bars --data bars_and_stripes --inputs test:0:2 --engine virtual:willow_pink --out bars.json
        hattriq attribute runs/bars --data bars_and_stripes --inputs test:0:2 --out runs/calibrated --estimator resolved \
--engine virtual:willow_pink --mitigate readout --calibration bars.json
        hattriq calibrate --engine virtual:willow_pink --qubits 4_10,5_10 --out two_qubits.json
        hattriq calibrate --engine virtual:willow_pink --qubits 4_10,5_10 --out planned.json --dry-run
        hattriq show bars.json
    """

    help_lists: ClassVar = (ENGINES,)

    model: str | None = None
    _: KW_ONLY
    data: str | None = None
    out: str
    engine: str
    qubits: str | None = None
    inputs: str = field(default="test:0:8", metadata={"alias": "index"})
    baseline: str = "zero"
    estimator: str = "resolved"
    shots: int = 20_000
    pattern: str = "balanced"
    dry_run: bool = False
    seed: Seed = 0

    def run(self) -> int:
        """Measure the readout errors, write them and print them.

        On a real processor, and by a dry run, jobs and counts are recorded in a folder beside the file, called like it with the
        suffix .run; the same command continues a run that stopped.
        """
        from hattriq_cirq.cli.run_folder import is_unfinished

        file = Path(self.out)
        folder = journal_folder(file)
        is_journaled = self.dry_run or self.engine.startswith("google:") or is_unfinished(folder)
        return self.measure(file, folder if is_journaled else None)

    def measure(self, file: Path, folder: Path | None) -> int:
        """Measure the readout errors, write them into a file and print them; None for the folder records no jobs."""
        from calibration import prepare_readout
        from hattriq_cirq.cli import folders, run_folder
        from hattriq_cirq.foundation.files import check_new

        self._check()
        is_written = folder is not None and run_folder.is_unfinished(folder) and file.is_file()
        if not is_written:
            check_new(self.out)
        task = {"command": "calibrate", "settings": folders.recorded_settings(self, "out", "dry_run"), "out": str(file)}
        options = self.engine_options
        with folders.journaled(folder, self.engine, self.seed, task, options, dry_run=self.dry_run) as engine:
            prepared = prepare_readout(engine, self._qubits(engine), self.shots, cast("Pattern", self.pattern))
            if self.dry_run:
                folders.print_plan(prepared.record(), engine)
                return 0
            calibration = prepared.execute()
            if is_written:
                _check_same(calibration, file)
            else:
                calibration.save(file)
        print(calibration, f"wrote {printable(file)}", sep="\n")
        return 0

    def _check(self) -> None:
        """Check every option, whether or not this run uses it."""
        from calibration.readout.measure import bit_patterns, shots_per_pattern
        from hattriq_cirq.workflows import values

        values.check_inputs(self.inputs)
        values.check_baseline(self.baseline)
        values.parse_estimator(self.estimator)
        self.check_engine_options(self.engine)
        bit_patterns(1, cast("Pattern", self.pattern))
        shots_per_pattern(self.shots, 2)
        if self.model is None and self.data is not None:
            raise ValueError("MODEL and --data belong together; give both, or neither for all qubits of the processor")

    def _qubits(self, engine: Engine) -> list[cirq.Qid]:
        """Return the qubits of --qubits, those on which the circuits of a model would be placed, or all of the processor."""
        import cirq

        if engine.processor is None:
            raise ValueError(f"engine {self.engine!r} has no processor whose readout could be measured; use virtual or google")
        if self.qubits is not None:
            if not re.fullmatch(r"[0-9]+_[0-9]+(,[0-9]+_[0-9]+)*", self.qubits):
                raise ValueError(f"--qubits {self.qubits!r} must be rows and columns, such as 4_10,5_10")
            named: list[cirq.Qid] = [cirq.GridQubit(*map(int, part.split("_"))) for part in self.qubits.split(",")]
            if missing := [q for q in named if q not in engine.processor.graph]:
                raise ValueError(f"{engine.processor.id} has no qubits {', '.join(map(str, missing))}")
            return named
        if self.model is None and self.data is None:
            return sorted(engine.processor.graph)
        if self.model is None or self.data is None:
            raise ValueError("MODEL and --data belong together; give both, or neither for all qubits of the processor")
        return self._placed_qubits(self.model, self.data, engine)

    def _placed_qubits(self, model_path: str, spec: str, engine: Engine) -> list[cirq.Qid]:
        from hattriq_cirq.cli import model_data
        from hattriq_cirq.workflows import values

        path, model = model_data.load_model(model_path)
        _, data = model_data.load_data(spec, model, path)
        estimator = values.parse_estimator(self.estimator)
        if estimator is None:
            raise ValueError("estimator 'exact' runs no circuit and has no qubits; name another")
        indices = values.select_inputs(self.inputs, data)
        _, baseline = values.make_baseline(self.baseline, data, indices, self.seed)
        x = data.amplitudes[indices]
        placement = hq.prepare(model, x, baseline=baseline, estimator=estimator, engine=engine, shots=self.shots).placement
        assert placement is not None  # the engine has a processor
        return sorted(placement.qubits.values())


def journal_folder(file: Path) -> Path:
    """Return the folder beside a file that records its jobs and counts."""
    folder = file.with_name(f"{file.name}.run") if file.suffix == ".run" else file.with_suffix(".run")
    if len(os.fsencode(folder.name)) > _LONGEST:
        from hashlib import sha256  # late, so that help appears at once

        return file.with_name(f"{sha256(os.fsencode(file.name)).hexdigest()[:16]}.run")
    return folder


def _check_same(calibration: ReadoutCalibration, file: Path) -> None:
    """Raise FileExistsError unless a file holds the counts of a calibration, written before its run was marked as finished."""
    import numpy as np

    from calibration import ReadoutCalibration

    known = ReadoutCalibration.load(file)
    if known.qubits != calibration.qubits or not np.array_equal(known.errors, calibration.errors):
        raise FileExistsError(f"{file} exists and holds another calibration; move it away")
