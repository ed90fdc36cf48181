"""`hattriq learn`: measure the observable of a saved model on a device, for the maps of any input."""

from __future__ import annotations

from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import hattriq_cirq as hq
from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.cli.engine_options import EngineOptions
from hattriq_cirq.cli.help_lists import DATA_SETS, ENGINES

if TYPE_CHECKING:
    from hattriq_cirq.cli.run_folder import RunFolder
    from hattriq_cirq.execution.engine import Engine
    from hattriq_cirq.models.learned import ProbeTest
    from hattriq_cirq.pipeline.mitigation import Mitigation
    from hattriq_cirq.workflows.learn import LearningPlan, PreparedLearning

#: Fields of the command that do not decide the results: paths, which may change, and a dry run, which the run goes on from.
NO_SETTINGS = ("model", "data", "out", "dry_run")
RESULTS, PICTURES = ("learned.npz", "run.json"), ("tests.png",)
_EXACT_QUBITS = 12  # up to which a learned model is compared with the exact one
_MAPS = 100  # test inputs whose maps are compared


@dataclass(frozen=True)
class Learn(EngineOptions):
    """Learn the observable of a model on a device.

    The observable M = U' O U of a trained model is measured once, from product states, with no state preparation. `hattriq
    attribute OUT` then computes the maps of any input, baseline, form and head from it, with standard errors, and runs no
    circuit. Plan and resources are printed before anything runs. The learned model, two tests and all settings are written into
    a new folder: does the fit describe the device (held-out probes), and does the device compute the model's observable
    (comparison with the exact model, up to 12 qubits).

    Circuits run on the --engine, and the counts of each job are recorded in the folder as they arrive. If the run stops, the
    same command again, or `hattriq resume DIR`, continues it and runs no finished job twice.

    corrections of --mitigate, separated by commas:
      damping           divide by the common factor of the noise, measured by folded circuits with a tenth of the shots
      readout[:SHOTS]   correct readout errors per qubit, and the other readout corrections of `hattriq attribute`

    Args:
        model (MODEL): A model.json, or a folder that holds one.
        data (DATA): Data set with the inputs, as listed above (default: that of the run that trained the model).
        out (DIR): New or empty folder, or the folder of this run if it stopped.
        inputs (SIDE[:FROM:TO]): Inputs that decide how important each Pauli string is, all of train or test or a slice.
        index (I,J,...): Inputs by their indices in the whole data set, from 0.
        baseline (NAME): Baseline of their maps, as in `hattriq attribute`.
        engine (ENGINE): Engine, as listed above.
        shots (N): Number of shots of the whole campaign; 0 takes exact probabilities.
        error (E): Largest predicted relative error of a map; a campaign whose shots do not suffice is refused, with the shots
            that it needs (default: any).
        strings (NAME|P,P,...): Pauli strings: structure, those that the circuit's structure allows, which owes nothing to a
            simulation; important, those that matter according to the simulated circuit; or strings such as XIZ,ZZI.
        prior (NAME): Prior of the coefficients: empirical_bayes (default with structure), flat (default with important),
            magnitude (variances from the simulated circuit), or none.
        probes (N): Number of product states (default: as many as the strings need).
        mitigate (NAME,...): Corrections, as listed above (default: none).
        calibration (FILE): Calibration for --mitigate readout that `hattriq calibrate` wrote.
        max_age (HOURS): Largest age of the readout --calibration; an older one is refused.
        dry_run: Compile and check everything, print the plan and record the jobs in the folder, but submit nothing; the same
            command without --dry-run goes on from there.
        seed (N): Random seed for probes, gauges, baselines and counts.

    Examples:
        hattriq learn runs/digits --engine virtual:willow_pink --shots 1000000 --mitigate damping,readout --out runs/learned
        hattriq attribute runs/learned --data digits:pair=3/5 --inputs test --out runs/learned-maps
        hattriq learn runs/digits --engine virtual:willow_pink --error 0.05 --out runs/planned --dry-run
    """

    help_lists: ClassVar = (ENGINES, DATA_SETS)

    model: str
    _: KW_ONLY
    data: str | None = None
    out: str
    inputs: str = field(default="train", metadata={"alias": "index"})
    baseline: str = "zero"
    engine: str = "qsim"
    shots: int = 1_000_000
    error: float | None = None
    strings: str = "structure"
    prior: Literal["empirical_bayes", "flat", "magnitude", "none"] | None = None
    probes: int | None = None
    mitigate: str = ""
    calibration: str | None = None
    max_age: float | None = None
    dry_run: bool = False
    seed: Seed = 0

    def run(self) -> int:
        """Run the campaign, write learned.npz, run.json and tests.png, and print the result.

        A run that counts shots is journaled. One that was stopped continues: the missing results are written.
        """
        from hattriq_cirq.cli import folders, model_data, pictures, run_folder, tables
        from hattriq_cirq.foundation.reading import checksum
        from hattriq_cirq.workflows import values

        self._check()
        check = run_folder.check_journaled_run if self.shots else run_folder.check_run
        check(self.out, RESULTS, PICTURES)
        path, model = model_data.load_model(self.model)
        spec = self.data or model_data.recorded_data(path)
        loaded, data = model_data.load_data(spec, model, path)
        task: dict[str, Any] = {
            "command": "learn",
            "settings": folders.recorded_settings(self, *NO_SETTINGS),
            "model": {"path": str(path), "sha256": checksum(path)},
            "data": folders.data_record(spec, loaded if self.shots else data),
            **values.snapshot_file(self.engine),
        }
        with folders.opened(self, task, RESULTS, PICTURES, runs_circuits=True, is_counted=bool(self.shots)) as (folder, engine):
            assert engine is not None
            if folder.is_recorded:
                learned = hq.LearnedModel.load(folder.path / "learned.npz", model)
            else:
                prepared = self._prepared(model, data, engine)
                if self.dry_run:
                    plan = prepared.record()
                    folders.print_plan(plan.resources, engine, plan)
                    return 0
                if self.shots:
                    print(prepared.plan, flush=True)
                learned = prepared.execute()
                folder.write("learned.npz", learned.save)
                self._write_record(folder, learned, model, data, task, prepared.plan if self.shots else None)
            folder.draw("tests.png", lambda: pictures.draw_tests(learned, _exact(model)))
        print(learned, *self._verdicts(learned, model), sep="\n")
        tables.print_files(folder.path)
        return 0

    def _check(self) -> None:
        """Check every option, whether or not this run uses it."""
        from hattriq_cirq.estimators.probe_design import HELD_OUT
        from hattriq_cirq.foundation.checks import as_count, as_number
        from hattriq_cirq.workflows import values

        values.check_inputs(self.inputs)
        values.check_baseline(self.baseline)
        values.check_engine(self.engine)
        self.check_engine_options(self.engine)
        _ = self._mitigation
        values.check_shots(self.shots, dry_run=self.dry_run)
        if self.error is not None:
            as_number(self.error, "--error", above=0, advice="be a relative error above 0, such as 0.05")
        if self.probes is not None:
            as_count(self.probes, "--probes", 2 * HELD_OUT, 10**6)
        if self.error is not None and self.shots == 0:
            raise ValueError("--error needs --shots 1 or more; --shots 0 takes exact probabilities, which have no error")

    @property
    def _mitigation(self) -> list[Mitigation | str]:
        """Corrections of the campaign."""
        from hattriq_cirq.workflows import values

        return values.parse_corrections(self.mitigate, self.seed, self.calibration, self.max_age)

    def _prepared(self, model: hq.Model, data: hq.datasets.Dataset, engine: Engine) -> PreparedLearning:
        """Return the campaign, ready to run on the engine."""
        from hattriq_cirq.workflows import values
        from hattriq_cirq.workflows.learn import prepare_learning

        indices = values.select_inputs(self.inputs, data)
        return prepare_learning(
            model,
            engine=engine,
            shots=self.shots or None,
            inputs=data.amplitudes[indices],
            baseline=values.make_baseline(self.baseline, data, indices, self.seed)[1],
            strings=self.strings if self.strings in ("structure", "important") else self.strings.split(","),
            prior=self.prior,
            probes=self.probes,
            mitigation=self._mitigation,
            error=self.error,
            seed=self.seed,
        )

    def _write_record(
        self,
        folder: RunFolder,
        learned: hq.LearnedModel,
        model: hq.Model,
        data: hq.datasets.Dataset,
        task: dict[str, Any],
        plan: LearningPlan | None,
    ) -> None:
        """Write run.json: the settings, the plan, both tests, accuracies and the comparison of maps."""
        from dataclasses import replace

        from hattriq_cirq.attribution.measured_errors import cost_of
        from hattriq_cirq.cli import folders
        from hattriq_cirq.foundation.files import write_new
        from hattriq_cirq.workflows.accuracies import accuracies

        exact = _exact(model)
        own, *others = accuracies(learned, data)
        simulated = replace(accuracies(model, data)[0], classifier="simulated model")
        record = folders.run_record(
            "learn",
            task["data"]["spec"],
            data,
            settings=task["settings"],
            model={**task["model"], "repr": repr(model)},
            engine=dict(learned.record.engine_record),
            accuracies=[asdict(row) for row in (own, simulated, *others)],
            plan=None if plan is None else plan.to_record(),
            learning=asdict(learned.record),
            held_out=_test_record(learned.held_out_test()),
            comparison=None if exact is None else _test_record(learned.compare(exact)),
            maps=None if exact is None else self._maps(learned, exact, data),
            cost=asdict(cost_of(learned)),
        )
        folder.write("run.json", lambda file: write_new(file, record))

    def _maps(self, learned: hq.LearnedModel, model: hq.Model, data: hq.datasets.Dataset) -> dict[str, Any]:
        """Return how much the maps of the first test inputs differ from the exact ones."""
        import numpy as np

        from hattriq_cirq.workflows import values

        indices = data.test[:_MAPS]
        x, (_, baseline) = data.amplitudes[indices], values.make_baseline(self.baseline, data, indices, self.seed)
        found, exact = (hq.integrated_gradients(form, x, baseline=baseline).values for form in (learned, model))
        norms = [np.maximum(np.linalg.norm(each, axis=-1), 1e-300) for each in (found, exact)]
        errors = np.linalg.norm(found - exact, axis=-1) / norms[1]
        cosines = np.sum(found * exact, axis=-1) / (norms[0] * norms[1])
        return {
            "inputs": f"test:0:{len(indices)}",
            "count": len(indices),
            "median_error": float(np.median(errors)),
            "percentile_90": float(np.quantile(errors, 0.9)),
            "median_cosine": float(np.median(cosines)),
        }

    def _verdicts(self, learned: hq.LearnedModel, model: hq.Model) -> list[str]:
        """Return the outcome of both tests in words."""
        lines = [f"held-out probes against the fit: {learned.held_out_test().verdict}"]
        if (exact := _exact(model)) is None:
            return [*lines, f"the exact model was not simulated: it has more than {_EXACT_QUBITS} qubits"]
        return [*lines, f"all probes against the exact model: {learned.compare(exact).verdict}"]


def _exact(model: hq.Model) -> hq.Model | None:
    """Return a model that can be simulated for the comparison, or None."""
    return model if model.n_qubits <= _EXACT_QUBITS else None


def _test_record(test: ProbeTest) -> dict[str, Any]:
    """Return a test as JSON, without its probes."""
    from math import isfinite

    return {
        "statistic": test.statistic if isfinite(test.statistic) else None,
        "degrees_of_freedom": test.degrees_of_freedom,
        "pvalue": test.pvalue,
        "verdict": test.verdict,
        "damping": test.damping,
    }
