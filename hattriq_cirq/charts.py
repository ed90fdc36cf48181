"""Charts of studies: costs over qubits and estimators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hattriq_cirq.pricing import Resources


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
        device = f"\n(dashed: routed on {first.device})" if first.device else ""
        axes[1].set(title=f"two-qubit gates, compiled to {first.gateset}{device}", ylabel="mean gates of a circuit")
        axes[2].set(title=f"shots to cosine {first.target_cosine:g}, predicted", ylabel="shots in all")
        for ax in axes:
            ax.set(xlabel="data qubits n", yscale="log")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.grid(axis="y", alpha=0.3)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(names)), frameon=False)
    return figure
