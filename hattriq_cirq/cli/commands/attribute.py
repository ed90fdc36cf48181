"""`hattriq attribute`: attribute the scores of a saved model to its inputs and write the maps into a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import hattriq_cirq as hq
from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.cli.engine_options import EngineOptions
from hattriq_cirq.cli.help_lists import DATA_SETS, ENGINES, MITIGATIONS

if TYPE_CHECKING:
    import cirq

    from hattriq_cirq.cli.run_folder import RunFolder
    from hattriq_cirq.datasets import Dataset, Inputs
    from hattriq_cirq.execution.engine import Engine
    from hattriq_cirq.foundation.arrays import Array
    from hattriq_cirq.models.model import Form
    from hattriq_cirq.pipeline.mitigation import Mitigation
    from hattriq_cirq.pipeline.prepare import PreparedAttribution
    from hattriq_cirq.workflows.state_files import PreparedState

#: Fields of the command that do not decide the results: paths, which may change, and a dry run, which the run goes on from.
NO_SETTINGS = ("model", "data", "out", "dry_run")
RESULTS, PICTURES = ("attribution.npz", "attribution.csv", "run.json"), ("gallery.png",)
LARGE_RESULTS = ("attribution.npz", "scores.csv", "run.json")


@dataclass(frozen=True)
class Attribute(EngineOptions):
    """Attribute the scores of a model to the features of its inputs.

    The integrated gradients of a trained or a learned model are computed. Arrays, a table, a gallery and all settings are
    written into a new folder. The values are exact, or estimated from circuits (--estimator) with standard errors; their sum
    is compared with the difference of the scores.

    A circuit in place of data prepares one state of unknown amplitudes: FILE.qasm:qubit_order=ORDER, or FILE.json from Cirq.
    With the resolved --estimator its map and its score are measured; resolved:Q+Q names the qubits of a map of their marginals.

    The maps of a model that `hattriq learn` measured follow from the measurement, with its errors, and run no circuit.

    Maps of many inputs without circuits, more than 4 million values together, are computed and written part by part, so that
    neither inputs nor maps are in memory together. In place of the table of all values, scores.csv holds one line per input. If
    the run stops, the same command goes on with the parts that are missing.

    Circuits run on the --engine, and the counts of each job are recorded in the folder as they arrive. If the run stops,
    the same command again, or `hattriq resume DIR`, continues it and runs no finished job twice.

    Args:
        model (MODEL): A model.json or learned.npz, or a folder that holds one.
        data (DATA): Data set with the inputs, inputs without labels, or a circuit that prepares one, as listed above.
        out (DIR): New or empty folder, or the folder of this run if it stopped.
        inputs (SIDE[:FROM:TO]): Inputs of one side of the data set, test or train, of all samples, all, or a slice of these.
        index (I,J,...): Inputs by their indices in the whole data set, from 0.
        baseline (NAME): Baseline: zero, mean, class_mean, opposite_class_mean, blur[:SIGMA], uniform, max_distance or
            sample:COUNT.
        form (FORM): Form of the score, quadratic or normalized.
        rule (RULE): Quadrature rule: exact, riemann:K, midpoint:K, trapezoid:K or gauss-legendre:K.
        head (KIND:SCALE): Function of the score that is attributed: identity, sigmoid:SCALE or tanh:SCALE, such as sigmoid:5,
            or linear:WEIGHT:BIAS.
        precision: Precision of the simulation.
        estimator (NAME): Estimator: exact, resolved, hadamard, hadamard-literal, parallel:M or polarization; resolved:Q+Q of a
            circuit.
        engine (ENGINE): Engine, as listed above.
        shots (N): Number of shots per input with an estimator; 0 takes exact probabilities.
        mitigate (NAME,...): Mitigations, as listed above (default: none).
        calibration (FILE): Calibration for --mitigate readout that `hattriq calibrate` wrote.
        max_age (HOURS): Largest age of the readout --calibration; an older one is refused. The age of a processor's own
            calibration is limited by --max-configuration-age.
        no_check: Do not check the errors by circuits with known answers. The check takes a tenth of the shots on processors
            with noise, widens errors that are too small, and warns of an assumption that fails.
        dry_run: Compile and check everything, print the cost of the run and record its jobs in the folder, but submit
            nothing; the same command without --dry-run goes on from there.
        seed (N): Random seed for baselines, counts and mitigations.
        scores: Scores of inputs and baselines with an --estimator: exact by simulation, or measured in the run.

    Examples:
        hattriq attribute runs/digits --data digits:pair=0/1 --out runs/digits-maps
        hattriq attribute runs/digits --data digits:pair=0/1 --out runs/mean --baseline mean --form normalized
        hattriq attribute runs/digits --data digits:pair=0/1 --out runs/shots --estimator resolved --shots 20000
        hattriq attribute runs/bars --data bars_and_stripes --inputs test:0:2 --out runs/noisy --estimator resolved \
--engine virtual:willow_pink --mitigate readout
        hattriq attribute runs/bars --data bars_and_stripes --out runs/planned --estimator resolved \
--engine virtual:willow_pink --dry-run
        hattriq attribute runs/bars/model.json --data bars_and_stripes --out runs/bars-maps --index 0,1,2
        hattriq attribute runs/digits --data my/images --inputs all --out runs/my-maps
        hattriq attribute runs/bars --data state.qasm:qubit_order=big-endian --out runs/state --estimator resolved
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
    no_check: bool = False
    dry_run: bool = False
    seed: Seed = 0
    scores: Literal["exact", "measured"] = "exact"

    def run(self) -> int:
        """Compute the maps, write attribution.npz, attribution.csv, run.json and gallery.png, and print the result.

        A run that counts shots is journaled. One that was stopped continues: the missing results are written.
        """
        import numpy as np

        from hattriq_cirq.cli import folders, large_maps, model_data, pictures, run_folder, tables
        from hattriq_cirq.foundation.reading import checksum
        from hattriq_cirq.reporting.records import SCORES, read_record
        from hattriq_cirq.workflows import values
        from hattriq_cirq.workflows.state_files import is_state_file, read_state

        self._check()
        if is_state_file(self.data) and self.estimator != "exact" and self.scores != "measured":
            return replace(self, scores="measured").run()  # no simulation knows those of unknown amplitudes
        check = run_folder.check_journaled_run if self._is_counted else run_folder.check_run
        check(self.out, LARGE_RESULTS if (Path(self.out) / SCORES).exists() else RESULTS, PICTURES)
        path, model = model_data.load_form_for(self.model, self.estimator, "maps")
        loaded: Dataset | Inputs | PreparedState
        data: Dataset | Inputs | PreparedState
        if is_state_file(self.data):
            self._check_state()
            loaded = data = read_state(self.data, model)
            indices, labels, is_large = np.array([0]), None, False
        else:
            loaded, data, indices, labels = model_data.chosen_inputs(self.data, self.inputs, model, path)
            is_large = self.estimator == "exact" and large_maps.is_large(indices, data.n_features)
        task: dict[str, Any] = {
            "command": "attribute",
            "settings": folders.recorded_settings(self, *NO_SETTINGS),
            "model": {"path": str(path), "sha256": checksum(path)},
            "data": folders.data_record(self.data, loaded if self._is_counted else data),
            **values.snapshot_file(self.engine),
        }
        kinds = {"runs_circuits": self.estimator != "exact", "is_counted": self._is_counted}
        with folders.opened(self, task, LARGE_RESULTS if is_large else RESULTS, PICTURES, **kinds) as (folder, engine):
            if self.dry_run and engine is not None:
                assert isinstance(model, hq.Model)
                _, baseline = self._baselines(data)
                folders.print_plan(self._prepared(model, _inputs_of(data, indices), baseline(indices), engine).record(), engine)
                return 0
            if folder.is_recorded:
                a = hq.Attribution.load(folder.path / "attribution.npz")
            else:
                named = {**task["model"], "repr": repr(model)}
                a = self._written(folder, model, data, indices, labels, engine, named, is_large=is_large)
            large_maps.remove_parts(folder.path)
            shown = folders.data_record(self.data, data)
            folder.draw("gallery.png", lambda: pictures.draw_gallery(a, labels, shown))
        print(a)
        tables.print_scores(a, read_record(folder.path / "run.json")["inputs"])
        tables.print_files(folder.path)
        if len(indices) > pictures.GALLERY_MAX:
            print(f"gallery.png shows the first {pictures.GALLERY_MAX} of {len(indices)} inputs; `hattriq show` draws any")
        return 0

    def _check(self) -> None:
        """Check every option, whether or not this run uses it."""
        from hattriq_cirq.attribution.quadrature import parse_rule
        from hattriq_cirq.models.model import check_form
        from hattriq_cirq.workflows import values

        values.check_inputs(self.inputs)
        values.check_baseline(self.baseline)
        check_form(self.form)
        parse_rule(self.rule)
        values.parse_head(self.head)
        values.parse_estimator(self.estimator)
        values.check_engine(self.engine)
        self.check_engine_options(self.engine)
        values.parse_mitigation(self.mitigate, self.seed, self.calibration, self.max_age)
        if self.scores == "measured" and self.estimator == "exact":
            raise ValueError("--scores measured needs an --estimator, in whose run the scores are measured")
        values.check_shots(self.shots, self.estimator, dry_run=self.dry_run)

    @property
    def _is_counted(self) -> bool:
        return self.estimator != "exact" and self.shots != 0

    def _written(
        self,
        folder: RunFolder,
        model: hq.Model | hq.LearnedModel,
        data: Dataset | Inputs | PreparedState,
        indices: Array,
        labels: Array | None,
        engine: Engine | None,
        named: dict[str, str],
        *,
        is_large: bool,
    ) -> hq.Attribution:
        """Compute the maps, write the results, the record at the end, and return the attribution; large ones part by part."""
        from hattriq_cirq.cli import folders, large_maps
        from hattriq_cirq.foundation.files import write_new
        from hattriq_cirq.workflows.state_files import PreparedState

        label, baseline = self._baselines(data)

        def attribution(of: Array) -> hq.Attribution:
            is_number = self.baseline == "zero" and engine is None  # which takes no memory; circuits know it as an array
            a = self._attribution(model, _inputs_of(data, of), 0 if is_number else baseline(of), engine)
            return replace(a.as_batch(), assumptions=replace(a.assumptions, baseline=label))

        listed, summary = len(indices), {}
        if is_large:
            assert not isinstance(data, PreparedState)
            scores = large_maps.write_maps(folder, indices, labels, data.n_features, attribution)
            listed, summary = large_maps.LISTED, {"count": len(indices), "summary": str(scores)}
            a = hq.Attribution.load(folder.path / "attribution.npz")
        else:
            a = attribution(indices)
            folder.write("attribution.npz", a.save)
            folder.write("attribution.csv", a.to_csv)
        columns = ("f_input", "f_baseline", "completeness_gap", "completeness_gap_stderr")
        inputs = {"indices": indices, **({} if labels is None else {"labels": labels})}
        inputs |= {name: getattr(a, name) for name in columns}
        record = folders.run_record(
            "attribute",
            self.data,
            data,
            settings=folders.recorded_settings(self, *NO_SETTINGS),
            model=named,
            engine=None if engine is None else engine.describe(),
            inputs=summary | {name: each[:listed].tolist() for name, each in inputs.items()},
            assumptions=asdict(a.assumptions),
            cost=asdict(a.cost),
            device=self.device,
        )
        folder.write("run.json", lambda file: write_new(file, record))
        return a

    def _baselines(
        self, data: Dataset | Inputs | PreparedState
    ) -> tuple[str, Callable[[Array], float | Array | hq.BaselineSet]]:
        """Return the label of the baseline and the function that makes it for inputs by their indices."""
        from hattriq_cirq.workflows import values
        from hattriq_cirq.workflows.state_files import PreparedState

        if isinstance(data, PreparedState):
            return "zero", lambda _: 0.0
        return values.baseline_of(self.baseline, data, self.seed)

    def _check_state(self) -> None:
        """Raise ValueError for an option that a state of unknown amplitudes does not take."""
        given = {"--inputs": (self.inputs, "test:0:8"), "--baseline": (self.baseline, "zero")}
        for option, (text, default) in given.items():
            if text != default:
                raise ValueError(f"{option} {text!r}: {self.data} is one state with the zero baseline; leave {option} out")

    def _attribution(
        self,
        model: hq.Model | hq.LearnedModel,
        x: Array | cirq.AbstractCircuit,
        baseline: float | Array | hq.BaselineSet,
        engine: Engine | None,
    ) -> hq.Attribution:
        """Return the attribution of inputs: measured on the engine, or exact without one."""
        from hattriq_cirq.workflows import values

        if engine is not None:
            assert isinstance(model, hq.Model)
            return self._prepared(model, x, baseline, engine).execute()
        return hq.integrated_gradients(
            model,
            x,
            baseline=baseline,
            form=cast("Form", self.form),
            head=values.parse_head(self.head),
            rule=self.rule,
            precision=self.precision,
            mitigation=self._mitigation,
            device=self.device,
        )

    def _prepared(
        self,
        model: hq.Model,
        x: Array | cirq.AbstractCircuit,
        baseline: float | Array | hq.BaselineSet,
        engine: Engine,
    ) -> PreparedAttribution:
        """Return the attribution of inputs, ready to run on the engine."""
        from hattriq_cirq.workflows import values

        estimator = values.parse_estimator(self.estimator)
        assert estimator is not None  # as there is an engine
        return hq.prepare(
            model,
            x,
            baseline=baseline,
            estimator=estimator,
            engine=engine,
            shots=self.shots or None,
            rule=self.rule,
            mitigation=self._mitigation,
            precision=self.precision,
            form=cast("Form", self.form),
            head=values.parse_head(self.head),
            scores=self.scores,
            check=False if self.no_check else None,
        )

    @property
    def _mitigation(self) -> Mitigation | None:
        from hattriq_cirq.workflows import values

        return values.parse_mitigation(self.mitigate, self.seed, self.calibration, self.max_age)


def _inputs_of(data: Dataset | Inputs | PreparedState, indices: Array) -> Array | cirq.AbstractCircuit:
    """Return the amplitudes of inputs, or the circuit that prepares the only one."""
    from hattriq_cirq.workflows.state_files import PreparedState

    return data.circuit if isinstance(data, PreparedState) else data.amplitudes[indices]
