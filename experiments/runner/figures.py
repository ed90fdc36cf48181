"""Charts of the mitigation studies: confusion, drift, error against shots, and maps side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter
from scipy.stats import beta

from calibration.readout.calibration import ReadoutCalibration
from calibration.readout.drift import compare
from calibration.readout.per_group import CorrelatedCalibration, correlation_test
from hattriq_cirq.foundation.arrays import FloatArray

Interval = tuple[float, tuple[float, float]]
_BANDS = 4  # lines of a panel, at most, whose intervals are bands
COLOURS = ("0.5", "C0", "C2", "C3", "C1", "C4", "C5")


def confusion_figure(calibration: CorrelatedCalibration, product: ReadoutCalibration) -> Figure:
    """The measured confusion of a group, and what the product of its qubits' own confusions leaves unexplained."""
    expected: FloatArray = np.eye(1)
    for q in calibration.qubits:
        expected = np.asarray(np.kron(expected, product.confusion(q)), dtype=float)
    bits = len(calibration.qubits)
    labels = [f"{i:0{bits}b}" for i in range(2**bits)]
    drawn = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = drawn.subplots(1, 2)
    rest = calibration.confusion - expected
    most, shots = float(np.abs(rest).max()), min(row.shots or 1 for row in calibration.rows)
    seen = left.imshow(calibration.confusion, cmap="Blues", vmin=0, vmax=1)
    unexplained = right.imshow(rest, cmap="RdBu_r", vmin=-most, vmax=most)
    drawn.colorbar(seen, ax=left, label="chance")
    drawn.colorbar(unexplained, ax=right, label=f"measured - product (s.e. < {0.5 / shots**0.5:.3f})")
    verdict = correlation_test(calibration)
    titles = ("measured confusion", "correlated" if verdict.correlated else "no sign of correlation")
    for ax, title in zip((left, right), titles, strict=True):
        ax.set(title=title, xlabel="observed", ylabel="prepared")
        ax.set_xticks(range(2**bits), labels, rotation=90)
        ax.set_yticks(range(2**bits), labels)
    drawn.suptitle(str(verdict), fontsize="small")
    return drawn


def drift_figure(calibrations: Sequence[ReadoutCalibration]) -> Figure:
    """e1 of every qubit from calibration to calibration, with 95% intervals, and the verdict on the first and the last."""
    drawn = Figure(figsize=(6.4, 3.4), layout="constrained")
    ax = drawn.subplots()
    at = np.arange(1, len(calibrations) + 1)
    for i, q in enumerate(calibrations[0].qubits):
        counts = np.array([c.counts[i, 1] for c in calibrations if c.counts is not None])  # [time, observed]
        middle = np.array([c.errors[i, 1] for c in calibrations])
        ends = np.array([beta.ppf([0.025, 0.975], wrong + 0.5, right + 0.5) for wrong, right in counts])
        ax.errorbar(at + 0.06 * i, middle, np.abs(ends.T - middle), fmt="o-", color=f"C{i}", capsize=2, label=f"{q}")
    ax.set(xlabel="calibration within the run", ylabel="e1, chance that 1 is read as 0", xticks=at)
    ax.legend(title="qubit", frameon=False)
    ax.set_title(str(compare(calibrations[0], calibrations[-1])), fontsize="small", wrap=True)
    sns.despine(ax=ax)
    return drawn


def error_figure(panels: Mapping[str, Mapping[str, Mapping[int, Interval]]], columns: int = 3, width: float = 3.3) -> Figure:
    """Error of maps against shots, with 95% intervals: bands, or bars side by side where many bands would hide each other.

    Args:
        panels: title -> correction -> shots -> relative L2 error and its interval.
        columns: panels beside each other, at most.
        width: of a panel, inches.

    Returns:
        The figure, both axes logarithmic, one scale of errors for all panels.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with sns.axes_style("ticks"):
        drawn = Figure(figsize=(max(width * columns, 4.8), (0.7 * width + 0.5) * rows + 0.4), layout="constrained")
        axes = drawn.subplots(rows, columns, sharey=True, squeeze=False).ravel()
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
            ax.xaxis.set_major_formatter("{x:,.0f}")
            log_axis(ax.yaxis)
            ax.xaxis.set_minor_locator(FixedLocator([]))
        for ax in axes[::columns]:
            ax.set_ylabel("relative L2 error of a map")
        drawn.legend(
            *axes[0].get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=4 if columns > 1 else 3
        )
        for ax in axes[len(panels) :]:
            ax.remove()
        sns.despine(fig=drawn)
    return drawn


def log_axis(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5, over more than two decades at 1, as plain numbers; after all is drawn."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def price_figure(priced: Mapping[str, Mapping[str, Interval]], costs: Mapping[str, Mapping[str, float]]) -> Figure:
    """Errors of corrections beside what these cost.

    Args:
        priced: correction -> setting -> relative L2 error of a map and its interval; the last setting orders the corrections.
        costs: correction -> what -> how much.

    Returns:
        The figure, a row a correction, the smallest error on top.
    """
    options = sorted(priced, key=lambda option: -list(priced[option].values())[-1][0])
    at = np.arange(len(options))
    settings, kinds = list(priced[options[0]]), list(costs[options[0]])
    with sns.axes_style("ticks"):
        drawn = Figure(figsize=(8.5, 0.27 * len(options) + 1.5), layout="constrained")
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        for i, setting in enumerate(settings):
            middle = np.array([priced[option][setting][0] for option in options])
            ends = np.array([priced[option][setting][1] for option in options]).T
            shifted = at + 0.3 * ((len(settings) - 1) / 2 - i)
            left.errorbar(middle, shifted, xerr=np.abs(ends - middle), fmt="o", ms=4, color=f"C{i}", capsize=2, label=setting)
        for kind, marker, colour in zip(kinds, "sDv^", ("0.4", "C3", "C2", "C4"), strict=False):
            right.plot(
                [costs[option][kind] for option in options], at, marker, ms=4, color=colour, label=kind.replace("_", " ")
            )
        left.set(xlabel="relative L2 error of a map", yticks=at, yticklabels=options, ylim=(-0.6, len(options) - 0.4))
        right.set(xlabel="cost of one map")
        for ax in (left, right):
            ax.set_xscale("log")
            log_axis(ax.xaxis)
            ax.grid(axis="both", alpha=0.3)
            ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        sns.despine(fig=drawn)
    return drawn


def map_figure(maps: Mapping[str, tuple[FloatArray, FloatArray]], exact: FloatArray, title: str) -> Figure:
    """Maps of square pictures beside the exact one; a cross is 2 standard errors off or more.

    Args:
        maps: correction -> values and standard errors, (features,) each.
        exact: (features,).
        title: above all.

    Returns:
        The figure, one colour scale for all maps, centred on 0.
    """
    shown = {**maps, "exact": (exact, np.full_like(exact, np.inf))}
    side = int(np.sqrt(len(exact)))
    limit = max(float(np.abs(values).max()) for values, _ in shown.values())
    drawn = Figure(figsize=(2.1 * len(shown) + 0.6, 3.1), layout="constrained")
    axes = drawn.subplots(1, len(shown))
    for ax, (name, (values, stderr)) in zip(axes, shown.items(), strict=True):
        image = ax.imshow(values.reshape(side, side), cmap="RdBu_r", vmin=-limit, vmax=limit)
        row, column = np.divmod(np.flatnonzero(np.abs(values - exact) >= 2 * stderr), side)
        ax.plot(column, row, "x", color="black")
        off, expected = (float(np.linalg.norm(error) / np.linalg.norm(exact)) for error in (values - exact, stderr))
        wrapped = name.replace(", ", ",\n")
        words = name if name == "exact" else f"{wrapped}\n{off:.3f} (s.e. {expected:.3f})"
        ax.set(xticks=[], yticks=[])
        ax.set_title(words, fontsize="small")
    drawn.colorbar(image, ax=axes, label="attribution\n(+ towards class +1)")
    drawn.suptitle(title, fontsize="medium")
    return drawn
