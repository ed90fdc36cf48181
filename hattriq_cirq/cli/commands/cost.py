"""`hattriq cost`: the predicted cost of attributions, as text, a table and, over qubits, a picture."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

import hattriq_cirq as hq
from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.cli.help_lists import DATA_SETS, ENGINES, MITIGATIONS
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.text import quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hattriq_cirq.execution.engine import Engine
    from hattriq_cirq.workflows.learn import PreparedLearning


@dataclass(frozen=True)
class Cost:
    """Predict the cost of an attribution before it is run.

    For each estimator, circuits, qubits and compiled two-qubit gates are counted, and the shots to a target precision are
    predicted. With --shots the whole run is compiled as `hattriq attribute` would run it, and its jobs, shots, bytes,
    duration and time on the processor are printed as well. Nothing is run, and nothing is submitted.

    With `learned` among the estimators, the campaign of `hattriq learn` is priced beside the others, whose shots are per map:
    the number of maps is printed from which learning takes fewer shots, with the two-qubit gates of each. `learned` takes the
    strings from the circuit's structure, `learned:important` those that matter for the inputs according to the simulated
    circuit, and `learned:magnitude` its variances too.

    Without MODEL, ring models with random parameters and inputs are taken over --qubits, and a picture is drawn.

    Args:
        model (MODEL): A model.json, or a folder that holds one.
        data (DATA): Data set with the inputs, as listed above (only with MODEL).
        inputs (SIDE[:FROM:TO]): Inputs of one side of the data set, all of test or train or a slice (only with MODEL). Without
            it these are test:0:8 with --shots, as in `hattriq attribute`, and otherwise test:0:1.
        index (I,J,...): Inputs by their indices in the whole data set, from 0 (only with MODEL).
        baseline (NAME): Baseline as in `hattriq attribute` (only with MODEL).
        rule (RULE): Quadrature rule as in `hattriq attribute`.
        qubits (N,...): Numbers of data qubits (only without MODEL).
        layers (N): Number of coupling layers (only without MODEL).
        estimators (NAME,...): Estimators: resolved, hadamard, hadamard-literal, parallel:M, polarization, learned,
            learned:important or learned:magnitude.
        gateset (NAME): Gate set, cz, sqrt_iswap or sycamore (default: that of the --engine, or else cz).
        engine (ENGINE): Engine that would run the circuits, as listed above.
        processor (NAME): Processor on which the circuits are also routed, as PROCESSOR of an engine.
        device (NAME): Former name of --processor.
        shots (N): Number of shots per input with which the whole run is compiled and counted; of the whole campaign for a
            learned model.
        mitigate (NAME,...): Mitigations of the run, as listed above (only with --shots).
        calibration (FILE): Calibration for --mitigate readout that `hattriq calibrate` wrote.
        max_age (HOURS): Largest age of the --calibration; an older one is refused.
        no_check: Price a run without the check of its errors by circuits with known answers, as in `hattriq attribute`.
        cosine (C): Target cosine between the estimated and the exact map.
        stderr (E): Target standard error of each feature.
        seed (N): Random seed for parameters, inputs, sampled baselines and mitigations.
        out (DIR): New or empty folder for cost.csv and, over qubits, cost.png.

    Examples:
        hattriq cost runs/digits --data digits:pair=0/1 --index 0 --estimators resolved
        hattriq cost runs/bars --data bars_and_stripes --processor willow_pink --estimators resolved,hadamard
        hattriq cost runs/bars --data bars_and_stripes --inputs test --engine virtual:willow_pink --shots 20000 \
--mitigate readout --estimators resolved
        hattriq cost runs/bars --data bars_and_stripes --processor willow_pink --estimators resolved,learned,learned:magnitude
        hattriq cost --qubits 2,3,4 --layers 2 --out runs/cost
    """

    help_lists: ClassVar = (ENGINES, MITIGATIONS, DATA_SETS)

    model: str | None = None
    _: KW_ONLY
    data: str | None = None
    inputs: str | None = field(default=None, metadata={"alias": "index"})
    baseline: str = "zero"
    rule: str = "exact"
    qubits: str = "2,3,4,5"
    layers: int = 4
    estimators: str = "resolved,hadamard,parallel:2,polarization"
    gateset: str | None = None
    engine: str | None = None
    processor: str | None = field(default=None, metadata={"former": "device"})
    shots: int | None = None
    mitigate: str = ""
    calibration: str | None = None
    max_age: float | None = None
    no_check: bool = False
    cosine: float = 0.95
    stderr: float = 0.01
    seed: Seed = 0
    out: str | None = None

    def run(self) -> int:
        """Predict the cost of every estimator on inputs of a model, or on random ring models over a range of qubits."""
        from hattriq_cirq.cli import folders, run_folder, tables
        from hattriq_cirq.foundation.files import write_new
        from hattriq_cirq.workflows import values

        self._check()
        if self.out is None:
            self._costs()
            return 0
        pictures = () if self.model else ("cost.png",)
        snapshot = values.snapshot_file(self.engine, self.processor)
        task = {"command": "cost", "settings": folders.recorded_settings(self, "out"), **snapshot}
        with run_folder.open_run(self.out, task, ("cost.csv",), pictures) as folder:
            costs = self._costs()
            folder.write("cost.csv", lambda file: write_new(file, _csv(costs)))
            for name in pictures:
                folder.draw(name, lambda: plot_costs(costs))
        tables.print_files(folder.path)
        return 0

    def _costs(self) -> list[tuple[int, hq.Resources]]:
        """Predict and print every cost, each with its number of qubits, and from which number of maps learning is cheaper."""
        from hattriq_cirq.cli import folders
        from hattriq_cirq.workflows import values

        cases = [self._saved_model(self.model)] if self.model else list(self._ring_models())
        costs: list[tuple[int, hq.Resources]] = []
        names = self.estimators.split(",")
        work = [(case, name) for case in cases for name in names]
        with nullcontext() if self.engine is None else folders.only_planning(self.engine, self.seed) as engine:
            for case, name in track(work, "estimators", "estimator"):
                n = case.model.n_qubits
                if name in values.LEARNED:
                    try:
                        prepared = self._prepared_learning(case, name, engine)
                        result = self._cost_of_learning(prepared)
                    except ValueError as error:
                        print(f"n = {n}. {name} is not possible: {error}", flush=True)
                        continue
                    print(f"n = {n}, {quantity(len(prepared.campaign.strings), 'Pauli string')}. {result}", flush=True)
                else:
                    result = self._cost_of_estimator(case, name, engine)
                    print(f"n = {n}. {result}", flush=True)
                costs.append((n, result))
        for n in dict.fromkeys(n for n, _ in costs):
            for line in break_even([result for size, result in costs if size == n]):
                print(f"n = {n}. {line}")
        return costs

    def _cost_of_estimator(self, case: _Case, name: str, engine: Engine | None) -> hq.Resources:
        """Return the cost of an estimator that prepares inputs."""
        from hattriq_cirq.workflows import values

        estimator = values.parse_estimator(name)
        assert estimator is not None  # as _check has found
        return hq.resources(
            case.model,
            case.x,
            case.baseline,
            estimator,
            rule=self.rule,
            gateset=self.gateset,
            processor=self.processor,
            engine=engine,
            shots=self.shots,
            mitigation=values.parse_mitigation(self.mitigate, self.seed, self.calibration, self.max_age),
            target_cosine=self.cosine,
            target_stderr=self.stderr,
            check=False if self.no_check else None,
        )

    def _prepared_learning(self, case: _Case, name: str, engine: Engine | None) -> PreparedLearning:
        """Return the campaign of a learned model."""
        from hattriq_cirq.pipeline.prepare import pricing_engine
        from hattriq_cirq.workflows import values
        from hattriq_cirq.workflows.learn import prepare_learning

        strings, prior = values.LEARNED[name]
        return prepare_learning(
            case.model,
            engine=pricing_engine(self.processor, self.gateset) if engine is None else engine,
            shots=self.shots,
            inputs=case.known,
            baseline=case.known_baseline,
            strings=strings,
            prior=prior,
            mitigation=values.parse_mitigation(self.mitigate, self.seed, self.calibration, self.max_age),
            seed=self.seed,
        )

    def _cost_of_learning(self, prepared: PreparedLearning) -> hq.Resources:
        """Return the cost of a campaign; with shots that of its jobs."""
        result = prepared.price(gateset=self.gateset, target_cosine=self.cosine, target_stderr=self.stderr)
        return result if self.shots is None else result.with_run(prepared.run_resources())

    def _check(self) -> None:
        """Check every option, whether or not this run uses it."""
        from hattriq_cirq.attribution.quadrature import parse_rule
        from hattriq_cirq.pipeline.prepare import as_shots
        from hattriq_cirq.workflows import values

        if not re.fullmatch("[1-9][0-9]?(,[1-9][0-9]?)*", self.qubits):
            raise ValueError(f"--qubits {self.qubits!r} must be numbers from 1, such as 2,3,4")
        hq.ring_ansatz(1, self.layers)
        values.check_baseline(self.baseline)
        for name in self.estimators.split(","):
            if name not in values.LEARNED and values.parse_estimator(name) is None:
                raise ValueError("estimator 'exact' runs no circuit and costs nothing; leave it out")
        parse_rule(self.rule)
        as_shots(self.shots)
        values.parse_mitigation(self.mitigate, self.seed, self.calibration, self.max_age)
        if self.mitigate and self.shots is None:
            raise ValueError(f"--mitigate {self.mitigate!r} needs --shots, with which the whole run is counted")
        if self.engine is not None and self.processor is not None:
            raise ValueError(f"--engine {self.engine!r} has its own processor; leave out --processor {self.processor!r}")
        if self.engine is not None:
            values.check_engine(self.engine)
        for option, value in (("data", self.data), ("inputs", self.inputs)):
            if self.model is None and value is not None:
                raise ValueError(f"--{option} {value!r} needs a MODEL and its --data")
        if self.inputs is not None:
            values.check_inputs(self.inputs)

    def _saved_model(self, path: str) -> _Case:
        """Return the model, the inputs and the baseline that are named."""
        from hattriq_cirq.cli import model_data
        from hattriq_cirq.workflows import values

        if self.data is None:
            raise ValueError("cost of a MODEL needs --data, the data set its inputs come from")
        file, model = model_data.load_model(path)
        _, data = model_data.load_data(self.data, model, file)
        indices = values.select_inputs(self.inputs or ("test:0:1" if self.shots is None else "test:0:8"), data)
        baselines = [values.make_baseline(self.baseline, data, own, self.seed)[1] for own in (indices, data.train)]
        return _Case(model, data.amplitudes[indices], baselines[0], data.x_train, baselines[1])

    def _ring_models(self) -> Iterator[_Case]:
        """Yield models, inputs and baselines over a range of qubits."""
        import numpy as np

        if self.baseline != "zero":
            raise ValueError("--baseline needs a MODEL and its --data; the baseline of random inputs is zero")
        rng = np.random.default_rng(self.seed)
        for n in map(int, self.qubits.split(",")):
            model, x = hq.ring_ansatz(n, self.layers), rng.normal(size=2**n)
            x /= np.linalg.norm(x)
            yield _Case(model.with_params({name: float(rng.normal()) for name in model.params}), x, 0.0, x, 0.0)


@dataclass(frozen=True)
class _Case:
    """Model with the inputs whose maps are priced, and the known inputs for which it would be learned."""

    model: hq.Model
    x: Any
    baseline: Any
    known: Any
    known_baseline: Any


def break_even(costs: Sequence[hq.Resources]) -> list[str]:
    """Return from which number of maps a learned model takes fewer shots than each estimator that prepares its inputs.

    Args:
        costs: Costs for one model and one target cosine.

    Returns:
        One line per pair of a campaign and an estimator.

    Example:
        >>> from dataclasses import replace
        >>> one = hq.resources(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8], 0, hq.ResolvedHadamardTest())
        >>> (line,) = break_even([one, replace(one, estimator="learned observable", per="model", shots_for_cosine=1000)])
        >>> line.partition(":")[0]
        'learned observable takes fewer shots than resolved Hadamard test from 125 maps on'
    """
    from hattriq_cirq.pipeline.resources import UNREACHABLE

    lines = []
    for learned in (cost for cost in costs if cost.per == "model"):
        for other in (cost for cost in costs if cost.per == "input"):
            if learned.shots_for_cosine >= UNREACHABLE:
                lines.append(
                    f"{learned.estimator} reaches cosine {other.target_cosine:g} with no number of shots; use more probes"
                )
                break
            maps = max(1, ceil(learned.shots_for_cosine / max(1, other.shots_for_cosine)))
            gates = [cost.compiled if cost.routed is None else cost.routed for cost in (learned, other)]
            lines.append(
                f"{learned.estimator} takes fewer shots than {other.estimator} from {quantity(maps, 'map')} on: "
                f"{learned.shots_for_cosine} once against {other.shots_for_cosine} per map to cosine {other.target_cosine:g} "
                f"without noise, with at most {gates[0].largest} two-qubit gates against {gates[1].largest}"
            )
    return lines


def _csv(costs: Sequence[tuple[int, hq.Resources]]) -> str:
    """Return one row per cost; the numbers of a gate count are columns of their own."""
    rows = [{"n_qubits": n, **result.row()} for n, result in costs]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def plot_costs(costs: Sequence[tuple[int, hq.Resources]]) -> Figure:
    """Draw circuits, compiled two-qubit gates and predicted shots of each estimator against qubits, all logarithmic.

    Args:
        costs: Pairs of the number of data qubits and the cost, in any order, for several estimators and sizes.

    Returns:
        A figure of three panels; gates are the mean over the compiled circuits, dashed where they were also routed.

    Raises:
        ValueError: There is nothing to draw.
    """
    import numpy as np
    import seaborn as sns
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from hattriq_cirq.reporting.plotting import figure_style

    if not costs:
        raise ValueError("costs is empty; give the cost of at least one estimator")
    first = costs[0][1]
    names = list(dict.fromkeys(result.estimator for _, result in costs))
    serving_all = {result.estimator for _, result in costs if result.per == "model"}
    colours = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    markers = dict(zip(names, "osD^vPX*", strict=False))
    with figure_style():
        figure = Figure(figsize=(12.0, 3.9), layout="constrained")
        axes = figure.subplots(1, 3)
        for name in names:
            rows = sorted(((n, result) for n, result in costs if result.estimator == name), key=lambda row: row[0])
            n = [qubits for qubits, _ in rows]
            style = {
                "color": colours[name],
                "marker": markers.get(name, "o"),
                "label": name + " (once for all maps)" * (name in serving_all),
            }
            axes[0].plot(n, [result.circuits for _, result in rows], **style)
            axes[1].plot(n, [max(result.compiled.mean, 0.5) for _, result in rows], **style)
            axes[2].plot(n, [result.shots_for_cosine for _, result in rows], **style)
            routed = [np.nan if result.routed is None else max(result.routed.mean, 0.5) for _, result in rows]
            if not np.isnan(routed).all():
                axes[1].plot(n, routed, ls="--", color=colours[name], marker=markers.get(name, "o"), mfc="none")
        processor = f"\n(dashed: routed on {first.processor})" if first.processor else ""
        panels = {
            "circuits per attribution": "circuits",
            f"two-qubit gates, compiled to {first.gateset}{processor}": "mean gates per circuit",
            f"predicted shots to a cosine of {first.target_cosine:g}": "total shots",
        }
        for ax, (title, ylabel) in zip(axes, panels.items(), strict=True):
            ax.set(title=title, xlabel="data qubits n", ylabel=ylabel, yscale="log")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.grid(axis="y", alpha=0.3)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(names)), frameon=False)
    return figure
