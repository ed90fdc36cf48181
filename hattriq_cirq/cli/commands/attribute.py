"""`hattriq attribute`: attribute the scores of a saved model to its inputs and write the maps into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import hattriq_cirq as hq
from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.cli.engine_options import EngineOptions
from hattriq_cirq.cli.help_lists import DATA_SETS, ENGINES, MITIGATIONS

if TYPE_CHECKING:
    from hattriq_cirq.cli.run_folder import RunFolder
    from hattriq_cirq.execution.engine import Engine
    from hattriq_cirq.foundation.arrays import Array
    from hattriq_cirq.models.model import Form

RESULTS, PICTURES = ("attribution.npz", "attribution.csv", "run.json"), ("gallery.png",)


@dataclass(frozen=True)
class Attribute(EngineOptions):
    """Attribute the scores of a model to the features of its inputs.

    The integrated gradients of a trained model are computed. Arrays, a table, a gallery and all settings are written into
    a new folder. The values are exact, or estimated from circuits (--estimator) with standard errors; their sum is
    compared with the difference of the scores.

    Circuits run on the --engine, and the counts of each job are recorded in the folder as they arrive. If the run stops,
    the same command again, or `hattriq resume DIR`, continues it and runs no finished job twice.

    Args:
        model (MODEL): A model.json, or a folder that holds one.
        data (DATA): Data set with the inputs, as listed above.
        out (DIR): New or empty folder, or the folder of this run if it stopped.
        inputs (SIDE[:FROM:TO]): Inputs of one side of the data set, all of test or train or a slice.
        index (I,J,...): Inputs by their indices in the whole data set, from 0.
        baseline (NAME): Baseline: zero, mean, class_mean, opposite_class_mean, blur[:SIGMA], uniform, max_distance or
            sample:COUNT.
        form (FORM): Form of the score, quadratic or normalized.
        rule (RULE): Quadrature rule: exact, riemann:K, midpoint:K, trapezoid:K or gauss-legendre:K.
        head (KIND:SCALE): Function of the score that is attributed, such as sigmoid:5 or tanh:2.
        precision: Precision of the simulation.
        estimator (NAME): Estimator: exact, resolved, hadamard, hadamard-literal, parallel:M or polarization.
        engine (ENGINE): Engine, as listed above.
        shots (N): Number of shots per input with an estimator; 0 takes exact probabilities.
        mitigate (NAME,...): Mitigations, as listed above (default: none).
        calibration (FILE): Calibration for --mitigate readout that `hattriq calibrate` wrote.
        max_age (HOURS): Largest age of the --calibration; an older one is refused.
        seed (N): Random seed for baselines, counts and mitigations.

    Examples:
        hattriq attribute runs/digits --data digits:pair=0/1 --out runs/digits-maps
        hattriq attribute runs/digits --data digits:pair=0/1 --out runs/mean --baseline mean --form normalized
        hattriq attribute runs/digits --data digits:pair=0/1 --out runs/shots --estimator resolved --shots 20000
        hattriq attribute runs/bars --data bars_and_stripes --inputs test:0:2 --out runs/noisy --estimator resolved \
--engine virtual:willow_pink --mitigate readout
        hattriq attribute runs/bars/model.json --data bars_and_stripes --out runs/bars-maps --index 0,1,2
    """

    help_lists: ClassVar = (ENGINES, MITIGATIONS, DATA_SETS)

    model: str
    _: KW_ONLY
    data: str
    out: str
    inputs: str = field(default="test:0:8", metadata={"alias": "index"})
    baseline: str = "zero"
    form: str = "quadratic"
    rule: str = "exact"
    head: str = "identity"
    precision: Literal["float64", "float32"] = "float64"
    estimator: str = "exact"
    engine: str = "qsim"
    shots: int = 20_000
    mitigate: str = ""
    calibration: str | None = None
    max_age: float | None = None
    seed: Seed = 0

    def run(self) -> int:
        """Compute the maps, write attribution.npz, attribution.csv, run.json and gallery.png, and print the result.

        A run that counts shots is journaled. One that was stopped continues: the missing results are written.
        """
        from hattriq_cirq.cli import folders, model_data, pictures, run_folder, tables, values
        from hattriq_cirq.datasets.user import checksum

        self._check()
        check = run_folder.check_journaled_run if self._is_counted else run_folder.check_run
        check(self.out, RESULTS, PICTURES)
        path, model = model_data.load_model(self.model)
        loaded, data = model_data.load_data(self.data, model, path)
        task: dict[str, Any] = {
            "command": "attribute",
            "settings": folders.recorded_settings(self, "model", "data", "out"),
            "model": {"path": str(path), "sha256": checksum(path)},
            "data": folders.data_record(self.data, loaded if self._is_counted else data),
        }
        with self._opened(task) as (folder, engine):
            if folder.is_recorded:
                indices, a = values.select_inputs(self.inputs, data), hq.Attribution.load(folder.path / "attribution.npz")
            else:
                indices, a = self._integrated_gradients(model, data, engine)
                self._write(folder, a, indices, data, engine, {**task["model"], "repr": repr(model)})
            labels, shown = data.labels[indices].tolist(), folders.data_record(self.data, data)
            folder.draw("gallery.png", lambda: pictures.draw_gallery(a, labels, shown))
        print(a, tables.score_table(a, indices, labels), sep="\n")
        tables.print_files(folder.path)
        if len(indices) > pictures.GALLERY_MAX:
            print(f"gallery.png shows the first {pictures.GALLERY_MAX} of {len(indices)} inputs; `hattriq show` draws any")
        return 0

    def _check(self) -> None:
        """Check every option, whether or not this run uses it."""
        from hattriq_cirq.attribution.quadrature import parse_rule
        from hattriq_cirq.cli import values
        from hattriq_cirq.foundation.checks import as_count
        from hattriq_cirq.models.model import check_form

        values.check_inputs(self.inputs)
        values.check_baseline(self.baseline)
        check_form(self.form)
        parse_rule(self.rule)
        values.parse_head(self.head)
        values.parse_estimator(self.estimator)
        values.check_engine(self.engine)
        self.check_engine_options(self.engine)
        values.parse_mitigation(self.mitigate, self.seed, self.calibration, self.max_age)
        as_count(self.shots, "shots", 0, 10**15, advice="be at least 0, which takes exact probabilities, and at most 1e15")

    @property
    def _is_counted(self) -> bool:
        return self.estimator != "exact" and self.shots != 0

    @contextmanager
    def _opened(self, task: dict[str, Any]) -> Iterator[tuple[RunFolder, Engine | None]]:
        """Yield the folder of the run and its engine, if it has one, with a journal where shots are counted."""
        from hattriq_cirq.cli import folders, run_folder, values
        from hattriq_cirq.datasets.user import checksum

        if not self._is_counted:
            with run_folder.open_run(self.out, task, RESULTS, PICTURES) as folder:
                yield folder, None if self.estimator == "exact" else values.parse_engine(self.engine, self.seed)
            return
        if self.calibration is not None:
            task["calibration"] = {"path": self.calibration, "sha256": checksum(Path(self.calibration))}
        with folders.journaled(Path(self.out), self.engine, self.seed, task, self.engine_options) as engine:
            yield run_folder.RunFolder(Path(self.out)), engine

    def _write(
        self,
        folder: RunFolder,
        a: hq.Attribution,
        indices: Array,
        data: hq.datasets.Dataset,
        engine: Engine | None,
        model: dict[str, str],
    ) -> None:
        from hattriq_cirq.cli import folders
        from hattriq_cirq.foundation.files import write_new

        columns = ("f_input", "f_baseline", "completeness_gap", "completeness_gap_stderr")
        inputs = {"indices": indices.tolist(), "labels": data.labels[indices].tolist()}
        record = folders.run_record(
            "attribute",
            self.data,
            data,
            settings=folders.recorded_settings(self, "model", "data", "out"),
            model=model,
            engine=None if engine is None else engine.describe(),
            inputs=inputs | {name: getattr(a, name).tolist() for name in columns},
            assumptions=asdict(a.assumptions),
            cost=asdict(a.cost),
        )
        folder.write("attribution.npz", a.save)
        folder.write("attribution.csv", a.to_csv)
        folder.write("run.json", lambda file: write_new(file, record))

    def _integrated_gradients(
        self, model: hq.Model, data: hq.datasets.Dataset, engine: Engine | None
    ) -> tuple[Array, hq.Attribution]:
        """Return the selected samples and their attribution."""
        from hattriq_cirq.cli import values
        from hattriq_cirq.foundation.terminal import is_watched

        indices = values.select_inputs(self.inputs, data)
        label, baseline = values.make_baseline(self.baseline, data, indices, self.seed)
        a = hq.integrated_gradients(
            model,
            data.amplitudes[indices],
            baseline=baseline,
            form=cast("Form", self.form),
            rule=self.rule,
            head=values.parse_head(self.head),
            precision=self.precision,
            estimator=values.parse_estimator(self.estimator),
            engine=engine,
            shots=None if engine is None else self.shots or None,
            mitigation=values.parse_mitigation(self.mitigate, self.seed, self.calibration, self.max_age),
            progress=engine is None and is_watched(),
        )
        return indices, replace(a, assumptions=replace(a.assumptions, baseline=label))
