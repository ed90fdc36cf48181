"""`hattriq cost`: the predicted cost of attributions, as text, a table and, over qubits, a picture."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import hattriq_cirq as hq
from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.foundation.progress import track

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Cost:
    """Predict the cost of an attribution before it is run.

    For each estimator, circuits, qubits and compiled two-qubit gates are counted, and the shots to a target precision are
    predicted. Without MODEL, ring models with random parameters and inputs are taken over --qubits, and a picture is drawn.

    Args:
        model (MODEL): A model.json, or a folder that holds one.
        data (DATA): Data set with the input (only with MODEL).
        index (I): Index of the input in the data set (only with MODEL; default: first test sample).
        baseline (NAME): Baseline as in `hattriq attribute` (only with MODEL).
        qubits (N,...): Numbers of data qubits (only without MODEL).
        layers (N): Number of coupling layers (only without MODEL).
        estimators (NAME,...): Estimators: resolved, hadamard, hadamard-literal, parallel:M or polarization.
        gateset (NAME): Gate set, cz, sqrt_iswap or sycamore.
        processor (NAME): Processor on which the circuits are also routed, willow_pink, weber or rainbow.
        device (NAME): Former name of --processor.
        cosine (C): Target cosine between the estimated and the exact map.
        stderr (E): Target standard error of each feature.
        seed (N): Random seed for parameters, inputs and sampled baselines.
        out (DIR): New or empty folder for cost.csv and, over qubits, cost.png.

    Examples:
        hattriq cost runs/digits --data digits:pair=0/1 --index 0 --estimators resolved
        hattriq cost runs/bars --data bars_and_stripes --processor willow_pink --estimators resolved,hadamard
        hattriq cost --qubits 2,3,4 --layers 2 --out runs/cost
    """

    model: str | None = None
    _: KW_ONLY
    data: str | None = None
    index: int | None = None
    baseline: str = "zero"
    qubits: str = "2,3,4,5"
    layers: int = 4
    estimators: str = "resolved,hadamard,parallel:2,polarization"
    gateset: str = "cz"
    processor: str | None = field(default=None, metadata={"former": "device"})
    cosine: float = 0.95
    stderr: float = 0.01
    seed: Seed = 0
    out: str | None = None

    def run(self) -> int:
        """Predict the cost of every estimator on one input of a model, or on random ring models over a range of qubits."""
        from hattriq_cirq.cli import folders, run_folder, tables
        from hattriq_cirq.foundation.files import write_new

        self._check()
        if self.out is None:
            self._costs()
            return 0
        pictures = () if self.model else ("cost.png",)
        task = {"command": "cost", "settings": folders.recorded_settings(self, "out")}
        with run_folder.open_run(self.out, task, ("cost.csv",), pictures) as folder:
            costs = self._costs()
            folder.write("cost.csv", lambda file: write_new(file, _csv(costs)))
            for name in pictures:
                folder.draw(name, lambda: plot_costs(costs))
        tables.print_files(folder.path)
        return 0

    def _costs(self) -> list[tuple[int, hq.Resources]]:
        """Predict and print every cost, each with its number of qubits."""
        from hattriq_cirq.cli import values

        cases = [self._saved_model(self.model)] if self.model else list(self._ring_models())
        estimators = [values.parse_estimator(name) for name in self.estimators.split(",")]
        if None in estimators:
            raise ValueError("estimator 'exact' runs no circuit and costs nothing; leave it out")
        costs: list[tuple[int, hq.Resources]] = []
        work = [(case, estimator) for case in cases for estimator in estimators if estimator is not None]
        for (model, x, baseline), estimator in track(work, "estimators", "estimator"):
            targets: dict[str, Any] = {"target_cosine": self.cosine, "target_stderr": self.stderr}
            result = hq.resources(model, x, baseline, estimator, gateset=self.gateset, processor=self.processor, **targets)
            costs.append((model.n_qubits, result))
            print(f"n = {model.n_qubits}. {result}", flush=True)
        return costs

    def _check(self) -> None:
        """Check every option, whether or not this run uses it."""
        from hattriq_cirq.cli import values

        if not re.fullmatch("[1-9][0-9]?(,[1-9][0-9]?)*", self.qubits):
            raise ValueError(f"--qubits {self.qubits!r} must be numbers from 1, such as 2,3,4")
        hq.ring_ansatz(1, self.layers)
        values.check_baseline(self.baseline)
        if self.model is None and self.data is not None:
            raise ValueError(f"--data {self.data!r} needs a MODEL that meets the data")
        if self.model is None and self.index is not None:
            raise ValueError(f"--index {self.index} needs a MODEL and its --data")

    def _saved_model(self, path: str) -> tuple[hq.Model, Any, Any]:
        """Return the model, the input and the baseline that are named."""
        import numpy as np

        from hattriq_cirq.cli import model_data, values

        if self.data is None:
            raise ValueError("cost of a MODEL needs --data, the data set its input comes from")
        file, model = model_data.load_model(path)
        _, data = model_data.load_data(self.data, model, file)
        index = int(data.test[0]) if self.index is None else self.index
        if not 0 <= index < len(data.labels):
            raise ValueError(f"--index {index} is out of range: {data.name} has samples 0..{len(data.labels) - 1}")
        _, baseline = values.make_baseline(self.baseline, data, np.array([index]), self.seed)
        return model, data.amplitudes[index], baseline if isinstance(baseline, hq.BaselineSet) else baseline[0]

    def _ring_models(self) -> Iterator[tuple[hq.Model, Any, Any]]:
        """Yield models, inputs and baselines over a range of qubits."""
        import numpy as np

        if self.baseline != "zero":
            raise ValueError("--baseline needs a MODEL and its --data; the baseline of random inputs is zero")
        rng = np.random.default_rng(self.seed)
        for n in map(int, self.qubits.split(",")):
            model, x = hq.ring_ansatz(n, self.layers), rng.normal(size=2**n)
            yield model.with_params({name: float(rng.normal()) for name in model.params}), x / np.linalg.norm(x), 0.0


def _csv(costs: Sequence[tuple[int, hq.Resources]]) -> str:
    """Return one row per cost; the numbers of a gate count are columns of their own."""
    rows: list[dict[str, object]] = []
    for n, result in costs:
        rows.append({"n_qubits": n})
        for name, value in asdict(result).items():
            if value not in (None, 0):  # the processor without routing, and counts of a run that is not prepared
                counts = value if isinstance(value, dict) else {"": value}
                rows[-1] |= {f"{name}_{inner}".removesuffix("_"): number for inner, number in counts.items()}
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
    colours = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    markers = dict(zip(names, "osD^vPX*", strict=False))
    with figure_style():
        figure = Figure(figsize=(12.0, 3.9), layout="constrained")
        axes = figure.subplots(1, 3)
        for name in names:
            rows = sorted(((n, result) for n, result in costs if result.estimator == name), key=lambda row: row[0])
            n = [qubits for qubits, _ in rows]
            style = {"color": colours[name], "marker": markers.get(name, "o"), "label": name}
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
