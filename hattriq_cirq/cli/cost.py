"""`hattriq cost`: what each estimator would cost, as a table and, over qubits, a picture."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tqdm import tqdm

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.cli.choices import find_model, fresh_folder, make_baseline, parse_estimator
from hattriq_cirq.datasets import load
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.prepare import resources
from hattriq_cirq.pipeline.resources import Resources
from hattriq_cirq.reporting.plotting import png


@dataclass(frozen=True)
class CostSettings:
    """What to price; names and defaults are those of the command line."""

    model: str | None
    data: str | None
    index: int | None
    baseline: str
    qubits: str
    layers: int
    estimators: str
    gateset: str
    device: str | None
    cosine: float
    stderr: float
    seed: int
    out: str | None


def cost(settings: CostSettings) -> None:
    """Prices every estimator on one input of a model, or on random ring models over a range of qubits.

    Args:
        settings: what to price.

    Raises:
        ValueError: bad settings.
        FileExistsError: the folder holds something.
    """
    folder = None if settings.out is None else fresh_folder(settings.out)
    cases: list[tuple[Model, Array, Any]] = list(_from_model(settings) if settings.model else _over_qubits(settings))
    names = settings.estimators.split(",")
    estimators = [parse_estimator(name) for name in names]
    if None in estimators:
        raise ValueError("estimator 'exact' runs no circuit and costs nothing; leave it out")
    priced: list[tuple[int, Resources]] = []
    work = [(case, estimator) for case in cases for estimator in estimators if estimator is not None]
    for (model, x, baseline), estimator in tqdm(work, desc="pricing", leave=False, disable=not sys.stderr.isatty()):
        result = resources(
            model,
            x,
            baseline,
            estimator,
            gateset=settings.gateset,
            processor=settings.device,
            target_cosine=settings.cosine,
            target_stderr=settings.stderr,
        )
        priced.append((model.n_qubits, result))
        print(f"n = {model.n_qubits}. {result}", flush=True)
    if folder is not None:
        write_new(folder / "cost.csv", _csv(priced))
        if len(cases) > 1:
            write_new(folder / "cost.png", png(plot_costs(priced)))
        print(f"wrote {folder}")


def _from_model(settings: CostSettings) -> Iterator[tuple[Model, Array, Array | BaselineSet]]:
    if settings.model is None or settings.data is None:
        raise ValueError("cost of a MODEL needs --data, the data set its input comes from")
    model, data = Model.load(find_model(settings.model)), load(settings.data)
    index = int(data.test[0]) if settings.index is None else settings.index
    if not 0 <= index < len(data.labels):
        raise ValueError(f"--index {index} is out of range: {data.name} has samples 0..{len(data.labels) - 1}")
    _, baseline = make_baseline(settings.baseline, data, np.array([index]), settings.seed)
    yield model, data.amplitudes[index], baseline if isinstance(baseline, BaselineSet) else baseline[0]


def _over_qubits(settings: CostSettings) -> Iterator[tuple[Model, Array, float]]:
    parts = settings.qubits.split(",")
    if not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise ValueError(f"--qubits {settings.qubits!r} must be numbers from 1, such as 2,3,4")
    if settings.baseline != "zero":
        raise ValueError("--baseline needs a MODEL and its --data; random inputs are priced against zero")
    rng = np.random.default_rng(settings.seed)
    for n in map(int, parts):
        model = ring_ansatz(n, settings.layers)
        x = rng.normal(size=2**n)
        yield model.with_params({name: float(rng.normal()) for name in model.params}), x / np.linalg.norm(x), 0.0


def _csv(priced: list[tuple[int, Resources]]) -> str:
    rows = [{"n_qubits": n, **_flat(asdict(result))} for n, result in priced]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(values: dict[str, object]) -> dict[str, object]:
    """Counts in counts as columns of their own."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{inner}": number for inner, number in value.items()}
        elif value is not None:
            flat[name] = value
    return flat


def plot_costs(priced: Sequence[tuple[int, Resources]]) -> Figure:
    """Draws circuits, compiled two-qubit gates and predicted shots of each estimator against qubits, all logarithmic.

    Args:
        priced: (data qubits, cost) in any order, several estimators at several sizes.

    Returns:
        A figure of three panels; gates show the mean over the circuits compiled, and where routed those dashed.

    Raises:
        ValueError: nothing to draw.
    """
    if not priced:
        raise ValueError("priced is empty; price at least one estimator")
    first = priced[0][1]
    names = list(dict.fromkeys(result.estimator for _, result in priced))
    colours = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    markers = dict(zip(names, "osD^vPX*", strict=False))
    with sns.axes_style("ticks"), sns.plotting_context("notebook", font_scale=0.85):
        figure = Figure(figsize=(12.0, 3.9), layout="constrained")
        axes = figure.subplots(1, 3)
        for name in names:
            rows = sorted(((n, result) for n, result in priced if result.estimator == name), key=lambda row: row[0])
            n = [qubits for qubits, _ in rows]
            style = {"color": colours[name], "marker": markers.get(name, "o"), "label": name}
            axes[0].plot(n, [result.circuits for _, result in rows], **style)
            axes[1].plot(n, [max(result.compiled.mean, 0.5) for _, result in rows], **style)
            axes[2].plot(n, [result.shots_for_cosine for _, result in rows], **style)
            routed = [np.nan if result.routed is None else max(result.routed.mean, 0.5) for _, result in rows]
            if not np.isnan(routed).all():
                axes[1].plot(n, routed, ls="--", color=colours[name], marker=markers.get(name, "o"), mfc="none")
        axes[0].set(title="circuits of one attribution", ylabel="circuits")
        device = f"\n(dashed: routed on {first.processor})" if first.processor else ""
        axes[1].set(title=f"two-qubit gates, compiled to {first.gateset}{device}", ylabel="mean gates of a circuit")
        axes[2].set(title=f"shots to cosine {first.target_cosine:g}, predicted", ylabel="shots in all")
        for ax in axes:
            ax.set(xlabel="data qubits n", yscale="log")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.grid(axis="y", alpha=0.3)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(names)), frameon=False)
    return figure
