"""Figures that several studies share: bands of means, confusion, drift, errors against shots, maps side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, NullFormatter
from scipy.stats import beta, norm

from calibration.readout.calibration import ReadoutCalibration
from calibration.readout.correlated_calibration import CorrelatedCalibration, correlation_test
from calibration.readout.drift import compare
from experiments.runner.bootstrap import Interval, Values, nested_bootstrap
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.reporting.plotting import basis_grid

_BANDS = 4  # largest number of lines of a panel whose intervals are drawn as bands
_QUANTILE = float(norm.ppf(0.975))  # half the width of a 95% interval over its standard deviation
COLOURS = ("0.5", "C0", "C2", "C3", "C1", "C4", "C5")


def panels(size: tuple[float, float], rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Create a figure of panels with ticks and without the upper and right spines.

    Args:
        size: Width and height in inches.
        rows: Number of rows.
        columns: Number of columns.
        options: Options of `Figure.subplots`, such as `sharey`.

    Returns:
        The figure, and its axes as `Figure.subplots` returns them.
    """
    with sns.axes_style("ticks"):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, **options)
    sns.despine(fig=figure)
    return figure, axes


def band(ax: Axes, at: Sequence[float] | Array, groups: Sequence[Sequence[Values]], style: str = "o-", **line: Any) -> None:
    """Plot a line of means with the band of their 95% intervals.

    Args:
        ax: Axes to plot on.
        at: Position of each point.
        groups: Values of each seed at each point.
        style: Marker and line style.
        line: Arguments of `Axes.plot`, such as `color` and `label`.
    """
    _plot_band(ax, at, np.array([nested_bootstrap(group) for group in groups]).T, style, **line)


def curve_band(ax: Axes, at: Sequence[float] | Array, groups: Sequence[FloatArray], style: str, **line: Any) -> None:
    """Plot the mean of whole curves, (inputs, points) of each seed, with the band of its 95% intervals."""
    _plot_band(ax, at, nested_bootstrap(groups, by_counts=True), style, **line)


def _plot_band(ax: Axes, at: Sequence[float] | Array, means: FloatArray, style: str, **line: Any) -> None:
    (drawn,) = ax.plot(at, means[0], style, **{"ms": 4} | line)
    ax.fill_between(at, means[1], means[2], color=drawn.get_color(), alpha=0.2, linewidth=0)


def confusion_figure(calibration: CorrelatedCalibration, product: ReadoutCalibration) -> Figure:
    """Plot the measured confusion of a group of qubits, and its difference from the product of single-qubit confusions."""
    expected: FloatArray = np.eye(1)
    for q in calibration.qubits:
        expected = np.asarray(np.kron(expected, product.confusion(q)), dtype=float)
    bits = len(calibration.qubits)
    labels = [f"{i:0{bits}b}" for i in range(2**bits)]
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    rest = calibration.confusion - expected
    most, shots = float(np.abs(rest).max()), min(row.shots or 1 for row in calibration.rows)
    seen = left.imshow(calibration.confusion, cmap="Blues", vmin=0, vmax=1)
    unexplained = right.imshow(rest, cmap="RdBu_r", vmin=-most, vmax=most)
    figure.colorbar(seen, ax=left, label="probability")
    figure.colorbar(unexplained, ax=right, label=f"measured - product (s.e. < {0.5 / shots**0.5:.3f})")
    verdict = correlation_test(calibration)
    titles = ("measured confusion", "correlated" if verdict.correlated else "no sign of correlation")
    for ax, title in zip((left, right), titles, strict=True):
        ax.set(title=title, xlabel="observed", ylabel="prepared")
        ax.set_xticks(range(2**bits), labels, rotation=90)
        ax.set_yticks(range(2**bits), labels)
    figure.suptitle(str(verdict), fontsize="small")
    return figure


def drift_figure(calibrations: Sequence[ReadoutCalibration]) -> Figure:
    """Plot e1 of every qubit against the number of the calibration, with 95% intervals; the title compares first and last."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    ax = figure.subplots()
    at = np.arange(1, len(calibrations) + 1)
    for i, q in enumerate(calibrations[0].qubits):
        counts = np.array([c.counts[i, 1] for c in calibrations if c.counts is not None])  # [time, observed]
        middle = np.array([c.errors[i, 1] for c in calibrations])
        ends = np.array([beta.ppf([0.025, 0.975], wrong + 0.5, right + 0.5) for wrong, right in counts])
        ax.errorbar(at + 0.06 * i, middle, np.abs(ends.T - middle), fmt="o-", color=f"C{i}", capsize=2, label=f"{q}")
    ax.set(xlabel="calibration within the run", ylabel="e1, probability that 1 is read as 0", xticks=at)
    ax.legend(title="qubit", frameon=False)
    ax.set_title(str(compare(calibrations[0], calibrations[-1])), fontsize="small", wrap=True)
    sns.despine(ax=ax)
    return figure


def error_figure(panels: Mapping[str, Mapping[str, Mapping[int, Interval]]], columns: int = 3, width: float = 3.3) -> Figure:
    """Plot the error of maps against shots with 95% intervals, as bands, or as bars side by side if there are many lines.

    Args:
        panels: Relative L2 error and its interval, by title, correction and shots.
        columns: Largest number of panels side by side.
        width: Width of a panel in inches.

    Returns:
        Figure with logarithmic axes and one scale of errors for all panels.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with sns.axes_style("ticks"):
        figure = Figure(figsize=(max(width * columns, 4.8), (0.7 * width + 0.5) * rows + 0.4), layout="constrained")
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for ax, (title, lines) in zip(axes, panels.items(), strict=False):
            for i, (colour, (name, points)) in enumerate(zip(COLOURS, lines.items(), strict=False)):
                counts, middle = np.array(list(points)), np.array([value for value, _ in points.values()])
                ends = np.array([interval for _, interval in points.values()]).T
                if len(lines) > _BANDS:
                    apart = counts * 1.07 ** (i - (len(lines) - 1) / 2)
                    ax.errorbar(apart, middle, np.abs(ends - middle), fmt="o-", ms=4, lw=1, capsize=2, color=colour, label=name)
                else:
                    ax.plot(counts, middle, "o-", ms=4, color=colour, label=name)
                    ax.fill_between(counts, *ends, color=colour, alpha=0.25, linewidth=0)
            ax.set(xscale="log", yscale="log", title=title, xlabel="shots")
            ax.xaxis.set_major_locator(FixedLocator(sorted({count for points in lines.values() for count in points})))
            ax.xaxis.set_major_formatter(EngFormatter())  # 100 k, 10 M
            log_axis(ax.yaxis)
            ax.xaxis.set_minor_locator(FixedLocator([]))
        for ax in axes[::columns]:
            ax.set_ylabel("relative L2 error of a map")
        figure.legend(
            *axes[0].get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=4 if columns > 1 else 3
        )
        for ax in axes[len(panels) :]:
            ax.remove()
        sns.despine(fig=figure)
    return figure


def log_axis(axis: Axis) -> None:
    """Set the ticks of a logarithmic axis to 1, 2, 5 (only 1 over two decades), as plain numbers; call it after plotting."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def cost_figure(estimates: Mapping[str, Mapping[str, Interval]], costs: Mapping[str, Mapping[str, float]]) -> Figure:
    """Plot the errors of corrections beside their cost.

    Args:
        estimates: Relative L2 error of a map and its interval, by correction and setting; the last setting sorts the rows.
        costs: Amounts by correction and kind of cost.

    Returns:
        Figure with one row per correction, the smallest error on top.
    """
    options = sorted(estimates, key=lambda option: -list(estimates[option].values())[-1][0])
    at = np.arange(len(options))
    settings, kinds = list(estimates[options[0]]), list(costs[options[0]])
    figure, (left, right) = panels((8.5, 0.27 * len(options) + 1.5), 1, 2, sharey=True, width_ratios=(3, 2))
    for i, setting in enumerate(settings):
        middle = np.array([estimates[option][setting][0] for option in options])
        ends = np.array([estimates[option][setting][1] for option in options]).T
        shifted = at + 0.3 * ((len(settings) - 1) / 2 - i)
        left.errorbar(middle, shifted, xerr=np.abs(ends - middle), fmt="o", ms=4, color=f"C{i}", capsize=2, label=setting)
    for kind, marker, colour in zip(kinds, "sDv^", ("0.4", "C3", "C2", "C4"), strict=False):
        right.plot([costs[option][kind] for option in options], at, marker, ms=4, color=colour, label=kind.replace("_", " "))
    left.set(xlabel="relative L2 error of a map", yticks=at, yticklabels=options, ylim=(-0.6, len(options) - 0.4))
    right.set(xlabel="cost of one map")
    for ax in (left, right):
        ax.set_xscale("log")
        log_axis(ax.xaxis)
        ax.grid(axis="both", alpha=0.3)
        ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def map_figure(maps: Mapping[str, tuple[FloatArray, FloatArray]], exact: FloatArray, title: str) -> Figure:
    """Plot maps beside the exact one, on the most nearly square grid; crosses mark features outside their 95% intervals.

    Args:
        maps: Values and half the widths of their 95% intervals, (features,) each, by correction.
        exact: Exact map, (features,).
        title: Title of the figure.

    Returns:
        Figure with one colour scale for all maps, centred on 0.
    """
    shown = {**maps, "exact": (exact, np.full_like(exact, np.inf))}
    shape = basis_grid(len(exact))
    limit = max(float(np.abs(values).max()) for values, _ in shown.values())
    figure = Figure(figsize=(2.1 * len(shown) + 0.6, 2.1 * shape[0] / shape[1] + 1.0), layout="constrained")
    axes = figure.subplots(1, len(shown))
    for ax, (name, (values, half_width)) in zip(axes, shown.items(), strict=True):
        image = ax.imshow(values.reshape(shape), cmap="RdBu_r", vmin=-limit, vmax=limit)
        row, column = np.divmod(np.flatnonzero(np.abs(values - exact) > half_width), shape[1])
        ax.plot(column, row, "x", color="black")
        errors = (values - exact, half_width / _QUANTILE)
        off, expected = (float(np.linalg.norm(error) / np.linalg.norm(exact)) for error in errors)
        wrapped = name.replace(", ", ",\n")
        words = name if name == "exact" else f"{wrapped}\n{off:.3f} (says {expected:.3f})"
        ax.set(xticks=[], yticks=[])
        ax.set_title(words, fontsize="small")
    figure.colorbar(image, ax=axes, label="attribution\n(+ towards class +1)")
    figure.suptitle(title, fontsize="medium")
    return figure


def example_figure(of: Mapping[str, Sequence[Mapping[str, Any]]], columns: Sequence[str]) -> Figure:
    """Plot one input of each model and several of its maps, each map on its own colour scale.

    Args:
        of: Results of each model, with `example`, (features,) per column, and `shape`; the first result is plotted.
        columns: Keys of `example`; `input` is plotted in grey.

    Returns:
        Figure with one row per model.
    """
    with sns.axes_style("white"):
        figure = Figure(figsize=(1.85 * len(columns), 2.1 * len(of)), layout="constrained")
        axes = figure.subplots(len(of), len(columns), squeeze=False)
        for row, (name, (result, *_)) in zip(axes, of.items(), strict=True):
            row[0].set_ylabel(name)
            for ax, column in zip(row, columns, strict=True):
                values = np.reshape(result["example"][column], result["shape"])
                limit = float(np.max(np.abs(values))) or 1.0
                limits: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
                ax.imshow(values, **({"cmap": "gray", "vmin": min(0.0, values.min())} if column == "input" else limits))
                ax.set(xticks=[], yticks=[])
        for ax, column in zip(axes[0], columns, strict=True):
            ax.set_title(column.replace(", ", ",\n").replace("logistic ", "logistic\n"), fontsize=10)
    return figure
