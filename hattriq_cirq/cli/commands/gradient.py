"""`hattriq gradient`: the derivatives of a saved model's score by the amplitudes of its inputs, exact or by circuits."""

from __future__ import annotations

from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import hattriq_cirq as hq
from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.cli.engine_options import EngineOptions
from hattriq_cirq.cli.help_lists import DATA_SETS, ENGINES, MITIGATIONS

if TYPE_CHECKING:
    from hattriq_cirq.execution.engine import Engine
    from hattriq_cirq.foundation.arrays import Array
    from hattriq_cirq.pipeline.gradient import PreparedGradient
    from hattriq_cirq.pipeline.mitigation import Mitigation

#: Fields of the command that do not decide the results: paths, which may change, and a dry run, which the run goes on from.
NO_SETTINGS = ("model", "data", "out", "dry_run")
RESULTS, PICTURES = ("gradient.npz", "gradient.csv", "run.json"), ()
_LISTED = 8  # derivatives of the first input that are printed


@dataclass(frozen=True)
class Gradient(EngineOptions):
    """Compute the gradient of a model's score by the amplitudes of its inputs.

    For amplitudes x_k = c_k + i d_k these are the derivatives dF/dc_k and dF/dd_k of the score F(x), which integrated gradients
    average along a path. They are exact, or measured by circuits (--estimator) with standard errors; those of a learned model
    have the errors of its measurement and run no circuit.

    A new folder takes gradient.csv, with one line per input and feature, gradient.npz, which `hattriq_cirq.Gradient.load`
    reads, and run.json with all settings. Circuits run on the --engine, and the counts of each job are recorded in the folder
    as they arrive. If the run stops, the same command again, or `hattriq resume DIR`, continues it and runs no finished job
    twice.

    Args:
        model (MODEL): A model.json or learned.npz, or a folder that holds one.
        data (DATA): Data set with the inputs, or inputs without labels, as listed above.
        out (DIR): New or empty folder, or the folder of this run if it stopped.
        inputs (SIDE[:FROM:TO]): Inputs of one side of the data set, test or train, of all samples, all, or a slice of these.
        index (I,J,...): Inputs by their indices in the whole data set, from 0.
        estimator (NAME): Estimator: exact, resolved, hadamard, hadamard-literal, parallel:M or polarization.
        engine (ENGINE): Engine, as listed above.
        shots (N): Number of shots per input with an estimator; 0 takes exact probabilities.
        mitigate (NAME,...): Mitigations, as listed above, without those that rescale maps (default: none).
        calibration (FILE): Calibration for --mitigate readout that `hattriq calibrate` wrote.
        max_age (HOURS): Largest age of the readout --calibration; an older one is refused.
        no_check: Do not check the errors by circuits with known answers, see `hattriq attribute --help`.
        covariance: Write the covariance of all derivatives of each input as well; of n qubits these are 4 * 4^n numbers.
        dry_run: Compile and check everything, print the cost of the run and record its jobs in the folder, but submit
            nothing; the same command without --dry-run goes on from there.
        seed (N): Random seed for counts and mitigations.

    Examples:
        hattriq gradient runs/digits --data digits:pair=0/1 --out runs/gradients
        hattriq gradient runs/digits --data digits:pair=0/1 --out runs/measured --estimator resolved --shots 100000
        hattriq gradient runs/bars --data bars_and_stripes --inputs test:0:2 --out runs/noisy --estimator hadamard \
--engine virtual:willow_pink --mitigate readout --dry-run
        hattriq show runs/gradients --input 1
    """

    help_lists: ClassVar = (ENGINES, MITIGATIONS, DATA_SETS)

    model: str
    _: KW_ONLY
    data: str
    out: str
    inputs: str = field(default="test:0:8", metadata={"alias": "index"})
    estimator: str = "exact"
    engine: str = "qsim"
    shots: int = 20_000
    mitigate: str = ""
    calibration: str | None = None
    max_age: float | None = None
    no_check: bool = False
    covariance: bool = False
    dry_run: bool = False
    seed: Seed = 0

    def run(self) -> int:
        """Compute the gradients, write gradient.npz, gradient.csv and run.json, and print the largest derivatives."""
        from hattriq_cirq.cli import folders, model_data, run_folder, tables
        from hattriq_cirq.foundation.files import write_new
        from hattriq_cirq.foundation.reading import checksum
        from hattriq_cirq.foundation.text import quantity
        from hattriq_cirq.workflows import values

        self._check()
        check = run_folder.check_journaled_run if self._is_counted else run_folder.check_run
        check(self.out, RESULTS, PICTURES)
        path, model = model_data.load_form_for(self.model, self.estimator, "gradients")
        loaded, data, indices, labels = model_data.chosen_inputs(self.data, self.inputs, model, path)
        task: dict[str, Any] = {
            "command": "gradient",
            "settings": folders.recorded_settings(self, *NO_SETTINGS),
            "model": {"path": str(path), "sha256": checksum(path)},
            "data": folders.data_record(self.data, loaded if self._is_counted else data),
            **values.snapshot_file(self.engine),
        }
        kinds = {"runs_circuits": self.estimator != "exact", "is_counted": self._is_counted}
        with folders.opened(self, task, RESULTS, PICTURES, **kinds) as (folder, engine):
            x = data.amplitudes[indices]
            if self.dry_run and engine is not None:
                folders.print_plan(self._prepared(model, x, engine).prepared.record(), engine)
                return 0
            if folder.is_recorded:
                found = hq.Gradient.load(folder.path / RESULTS[0])
            else:
                found = hq.gradient(model, x) if engine is None else self._prepared(model, x, engine).execute()
                folder.write("gradient.npz", lambda file: found.save(file, covariance=self.covariance))
                folder.write("gradient.csv", found.to_csv)
                record = folders.run_record(
                    "gradient",
                    self.data,
                    data,
                    settings=task["settings"],
                    model={**task["model"], "repr": repr(model)},
                    engine=None if engine is None else engine.describe(),
                    inputs={"indices": indices.tolist(), **({} if labels is None else {"labels": labels.tolist()})},
                    cost=asdict(found.cost),
                    notes=list(found.notes),
                )
                folder.write("run.json", lambda file: write_new(file, record))
        print(*found.notes, tables.derivative_table(found, 0, _LISTED), sep="\n")
        if found.cost.circuits:
            print(f"{quantity(found.cost.circuits, 'circuit')}, {quantity(found.cost.shots, 'shot')}")
        tables.print_files(folder.path)
        return 0

    def _check(self) -> None:
        """Check every option, whether or not this run uses it."""
        from hattriq_cirq.workflows import values

        values.check_inputs(self.inputs)
        values.parse_estimator(self.estimator)
        values.check_engine(self.engine)
        self.check_engine_options(self.engine)
        _ = self._mitigation
        values.check_shots(self.shots, self.estimator, dry_run=self.dry_run)

    @property
    def _is_counted(self) -> bool:
        return self.estimator != "exact" and self.shots != 0

    @property
    def _mitigation(self) -> Mitigation | None:
        from hattriq_cirq.workflows import values

        return values.parse_mitigation(self.mitigate, self.seed, self.calibration, self.max_age)

    def _prepared(self, model: hq.Model | hq.LearnedModel, x: Array, engine: Engine) -> PreparedGradient:
        """Return the gradients of inputs, ready to run on the engine."""
        from hattriq_cirq.pipeline.gradient import prepare_gradient
        from hattriq_cirq.workflows import values

        estimator = values.parse_estimator(self.estimator)
        assert estimator is not None  # as there is an engine
        options: dict[str, Any] = {"mitigation": self._mitigation, "check": False if self.no_check else None}
        return prepare_gradient(model, x, estimator=estimator, engine=engine, shots=self.shots or None, **options)
