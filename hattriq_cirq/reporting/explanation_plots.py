"""Plots of interactions, counterfactuals, correlation orders and layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.correlation_orders import CorrelationOrders
from hattriq_cirq.attribution.counterfactual import Counterfactual
from hattriq_cirq.attribution.decomposition import by_qubit
from hattriq_cirq.attribution.interactions import Interactions
from hattriq_cirq.attribution.layers import LayerAttribution
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.checks import as_count, as_shape, check_type
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.reporting.plotting import (
    NEGATIVE,
    PIXELS,
    POSITIVE,
    bars_or_lines,
    draw_gray,
    draw_map,
    figure_style,
    integer_ticks,
    name_ticks,
    symmetric_limit,
)

_WIDEST = 6.0  # line of the largest pair effect, in points
_ARCH = 0.12  # height of an arc between two pixels, relative to their distance
_INCHES_OF_NAME, _LARGEST = 0.2, 9.0  # of a row with a name, and of the side of a matrix
_NUMBERED_UP_TO = 16  # rows of a matrix whose ticks are numbered one by one


def plot_interactions(
    interactions: Interactions,
    *,
    shape: tuple[int, int] | None = None,
    x: ArrayLike | None = None,
    top: int = 12,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Plot interactions of one input: the strongest pairs as lines over an image, or the matrix.

    Red pairs raise the score together, blue pairs lower it; the width of a line is proportional to the effect. Dashed lines
    have 95% intervals that hold 0. The matrix has main effects on its diagonal.

    Args:
        interactions: Interactions of one input; use `interactions[0]` to select one from a batch.
        shape: (rows, cols) of the image, for lines between pixels; None draws the matrix.
        x: Input, (features,), drawn under the lines; None draws none.
        top: Number of pairs that are drawn over an image.
        names: Names of the features or groups, for the ticks of a matrix of up to 32; None takes the columns of the
            data contract, or numbers them.
        ax: Axes to plot into; None creates a figure.
        title: Title; None describes the plot.

    Returns:
        The Axes.

    Raises:
        ValueError: The interactions are those of a batch or lack rows for an image, or the shape does not match.

    Example:
        >>> import cirq
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=0, observable=cirq.X(cirq.q(0)))
        >>> x = [0.6, 0.0, 0.8, 0.0]
        >>> ax = hq.plot_interactions(hq.interactions(model, x), shape=(2, 2), x=x)
        >>> len(ax.lines)
        1
    """
    check_type(interactions, "interactions", Interactions, "the result of interactions")
    if interactions.values.ndim != 2:
        raise ValueError(f"{interactions.values.shape=} is a batch; select one input, as in interactions[0]")
    features = interactions.columns
    last = max(features.max(initial=0), interactions.rows.max(initial=0))
    names = _names(interactions.contract, int(last) + 1) if names is None else names
    is_whole = np.array_equal(features, np.arange(len(features))) and np.isin(interactions.rows, features).all()
    if shape is not None and not is_whole:
        raise ValueError(
            f"{interactions.values.shape=} has not all pixels as columns; compute the interactions with all columns"
        )
    with figure_style():
        if ax is None:
            is_named = shape is None and names is not None
            side = max(4.6, _INCHES_OF_NAME * max(interactions.values.shape) + 2) if is_named else 4.6
            ax = Figure(figsize=(min(side, _LARGEST) + 0.6, min(side, _LARGEST)), layout="constrained").subplots()
        if shape is None:
            _draw_matrix(ax, interactions, names)
            heading = "interactions: main effects on the diagonal,\nhalf of each pair effect beside it"
        else:
            drawn = _draw_pairs(ax, interactions, as_shape(shape, interactions.values.shape[-1]), x, as_count(top, "top"))
            heading = f"the {drawn} strongest pairs" if drawn != 1 else "the strongest pair"
        ax.set_title(heading if title is None else printable(title, lines=True), parse_math=False)
    return ax


def _names(contract: DataContract | None, features: int) -> tuple[str, ...] | None:
    """Return the names of the features of a table; None for other data."""
    return None if contract is None or contract.columns is None else contract.feature_names(features)


def _draw_matrix(ax: Axes, interactions: Interactions, names: Sequence[str] | None) -> None:
    values, (low, high) = interactions.values, interactions.interval()
    limit = symmetric_limit(values)
    draw_map(ax, values, (low, high), (values.shape[0], values.shape[1]), limit)
    for axis, own in ((ax.yaxis, interactions.rows), (ax.xaxis, interactions.columns)):
        if names is not None:
            name_ticks(axis, names, own.tolist())
        elif len(own) <= _NUMBERED_UP_TO:
            axis.set_ticks(range(len(own)), [str(k) for k in own.tolist()])
    bar = ax.figure.colorbar(ax.images[0], ax=ax, fraction=0.046, pad=0.03)
    bar.set_label("+ raises the score together, - lowers it")


def _draw_pairs(ax: Axes, interactions: Interactions, shape: tuple[int, int], x: ArrayLike | None, top: int) -> int:
    """Draw the strongest pairs between the pixels of an image, and return their number."""
    if x is not None:
        amplitudes = np.abs(np.asarray(x)) if np.iscomplexobj(x) else np.asarray(x, dtype=float)
        draw_gray(ax, amplitudes, shape).set_alpha(0.55)
    else:
        ax.imshow(np.zeros(shape), cmap="gray_r", vmin=0, vmax=1, **PIXELS)
        integer_ticks(ax)
    pairs = interactions.pairs(top)
    largest = max((abs(pair.value) for pair in pairs), default=1.0)
    low, high = interactions.interval()
    place = {int(row): i for i, row in enumerate(interactions.rows)}
    for pair in reversed(pairs):  # the strongest on top
        row, column = (pair.first, pair.second) if pair.first in place else (pair.second, pair.first)
        i, j = place[row], int(np.flatnonzero(interactions.columns == column)[0])
        ends = np.array([divmod(k, shape[1]) for k in (pair.first, pair.second)], dtype=float)
        rows, cols = _arc(*ends).T
        style = "-" if low[i, j] > 0 or high[i, j] < 0 or low[i, j] == high[i, j] else "--"
        colour = POSITIVE if pair.value > 0 else NEGATIVE
        width = max(0.8, _WIDEST * abs(pair.value) / largest)
        ax.plot(cols, rows, style, color=colour, lw=width, alpha=0.85, solid_capstyle="round")
        ax.scatter(ends[:, 1], ends[:, 0], s=16, color=colour, zorder=3)
    handles = [
        Line2D([], [], color=colour, lw=3, label=f"{word} the score, up to {abs(effect):.2g}")
        for colour, word, effect in (
            (POSITIVE, "raise", max((pair.value for pair in pairs), default=0.0)),
            (NEGATIVE, "lower", min((pair.value for pair in pairs), default=0.0)),
        )
        if (effect > 0) == (word == "raise") and effect != 0
    ]
    if handles:
        ax.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=len(handles), frameon=False, fontsize=9
        )
    ax.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
    return len(pairs)


def _arc(start: FloatArray, end: FloatArray) -> FloatArray:
    """Return points on a flat arc between two points, (points, 2), so that lines along one row do not cover each other."""
    across = np.array([end[1] - start[1], start[0] - end[0]])
    share = np.linspace(0, 1, 25)[:, np.newaxis]
    return np.asarray(start + share * (end - start) + 4 * _ARCH * share * (1 - share) * across)


def plot_counterfactual(
    counterfactual: Counterfactual,
    *,
    shape: tuple[int, int] | None = None,
    attribution: Attribution | None = None,
    names: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Plot one input, the least change that brings its score to the level, and the changed input.

    Args:
        counterfactual: Counterfactual of one input; use `counterfactual[0]` to select one from a batch.
        shape: (rows, cols) of the image; None draws bars.
        attribution: Map of the same input, drawn in a fourth panel; None draws three panels.
        names: Names of the features, for the ticks of up to 32 bars; None takes the columns of the data contract, or numbers
            the features.
        title: Title of the figure; None says score, level and distance.

    Returns:
        A figure with three or four panels.

    Raises:
        ValueError: The counterfactuals are those of a batch, or the shape or names do not match.

    Example:
        >>> import hattriq_cirq as hq
        >>> found = hq.counterfactual(hq.ring_ansatz(2, layers=1), [0.8, 0.0, 0.6, 0.0])
        >>> figure = hq.plot_counterfactual(found, shape=(2, 2))
        >>> [ax.get_title() for ax in figure.axes[:3]]
        ['input', 'least change', 'changed input']
    """
    check_type(counterfactual, "counterfactual", Counterfactual, "the result of counterfactual")
    check_type(attribution, "attribution", Attribution | None, "an Attribution of the same input, or None")
    if counterfactual.x.ndim != 1:
        raise ValueError(f"{counterfactual.x.shape=} is a batch; select one input, as in counterfactual[0]")
    if attribution is not None and attribution.values.shape != counterfactual.x.shape:
        raise ValueError(f"{attribution.values.shape=} must be {counterfactual.x.shape}, that of the input")
    features = counterfactual.x.shape[0]
    names = _names(counterfactual.contract, features) if names is None else names
    before, after = (_shown(values) for values in (counterfactual.input, counterfactual.x))
    panels: list[tuple[str, FloatArray, bool]] = [
        ("input", before, False),
        ("least change", after - before, True),
        ("changed input", after, False),
    ]
    if attribution is not None:
        panels.append(("map of the input", attribution.values, True))
    with figure_style():
        if shape is None:
            size = (float(np.clip(0.35 * features, 6.0, 12.0)), 1.7 * len(panels) + 0.4)
            figure = Figure(figsize=size, layout="constrained")
            rows = figure.subplots(len(panels), 1, sharex=True)
            for ax, (name, values, is_signed) in zip(rows, panels, strict=True):
                colours = np.where(values < 0, NEGATIVE, POSITIVE).tolist() if is_signed else "0.45"
                bars_or_lines(ax, values, colours)
                ax.axhline(0, color="0.3", lw=0.8)
                ax.set_title(name)
            if names is not None:
                name_ticks(rows[-1].xaxis, names, range(features))
        else:
            shape = as_shape(shape, features)
            height = float(np.clip(2.6 * shape[0] / shape[1], 1.4, 4.0)) + 1.1
            figure = Figure(figsize=(2.9 * len(panels), height), layout="constrained")
            scale = float(max(before.max(), after.max())), min(0.0, float(min(before.min(), after.min())))
            for ax, (name, values, is_signed) in zip(figure.subplots(1, len(panels)), panels, strict=True):
                image = (
                    draw_map(ax, values, (values, values), shape, symmetric_limit(values))
                    if is_signed
                    else draw_gray(ax, values, shape)
                )
                if not is_signed:
                    image.set_norm(Normalize(scale[1], scale[0] or 1.0))
                figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
                ax.set_title(name)
                ax.set(xticks=[], yticks=[])
        figure.suptitle(_heading(counterfactual) if title is None else printable(title, lines=True), fontsize=11)
    return figure


def _shown(values: FloatArray) -> FloatArray:
    return np.abs(values) if np.iscomplexobj(values) else values


def _heading(counterfactual: Counterfactual) -> str:
    if not bool(counterfactual.reached):
        return f"the level {counterfactual.level:g} is {counterfactual.messages[0]}"
    low, high = counterfactual.interval()
    error = "" if low == high else f" (95% interval {float(low):.3g} to {float(high):.3g})"
    norm = float(np.linalg.norm(counterfactual.input)) or 1.0
    share = f", {float(counterfactual.distance) / norm:.0%} of the input's norm"
    local = "" if bool(counterfactual.is_global) else "; a local optimum"
    return f"score {counterfactual.level:g} at a distance of {float(counterfactual.distance):.3g}{error}{share}{local}"


def plot_orders(orders: CorrelationOrders, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Plot the parts of the score by the number of qubits whose correlations they rest on, averaged over inputs.

    Args:
        orders: Result of `correlation_orders`, of one input or a batch; of a batch the mean is drawn, with the standard
            deviation over inputs as thin lines.
        ax: Axes to plot into; None creates a figure.
        title: Title; None describes the plot.

    Returns:
        The Axes.

    Example:
        >>> import hattriq_cirq as hq
        >>> ax = hq.plot_orders(hq.correlation_orders(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.8, 0.0]))
        >>> ax.get_xlabel()
        'number of qubits that the Pauli strings act on'
    """
    check_type(orders, "orders", CorrelationOrders, "the result of correlation_orders")
    if not orders.product.size:
        raise ValueError("orders hold no input; there is nothing to plot")
    rows = orders.by_weight.reshape(-1, orders.by_weight.shape[-1])
    low, high = (ends.reshape(rows.shape) for ends in orders.interval())
    means = rows.mean(axis=0)
    is_batch = len(rows) > 1
    sides = np.tile(rows.std(axis=0), (2, 1)) if is_batch else np.stack([means - low[0], high[0] - means])
    with figure_style():
        if ax is None:
            ax = Figure(figsize=(5.2, 3.6), layout="constrained").subplots()
        ax.bar(range(len(means)), means, color=np.where(means < 0, NEGATIVE, POSITIVE).tolist(), width=0.7)
        if sides.any():
            ax.errorbar(range(len(means)), means, sides, fmt="none", ecolor="0.25", elinewidth=1, capsize=3)
        ax.axhline(0, color="0.3", lw=0.8)
        for value, style, name in (
            (float(orders.total.mean()), "-", "score"),
            (float(orders.product.mean()), "--", "score of the input without correlations"),
        ):
            ax.axhline(value, color="0.2", ls=style, lw=1.2, label=f"{name}, {value:+.3f}")
        ax.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(
            xlabel="number of qubits that the Pauli strings act on", ylabel="part of the score" + (", mean" if is_batch else "")
        )
        bars = "lines: standard deviation over inputs" if is_batch else "lines: 95% intervals" if sides.any() else "exact"
        ax.set_title(f"correlation orders ({bars})" if title is None else printable(title, lines=True), parse_math=False)
    return ax


def plot_layers(layers: LayerAttribution, *, title: str | None = None) -> Figure:
    """Plot layer attributions of one input: by qubit at each cut, and how interference becomes populations.

    The left panel shows for each cut and qubit the attribution of the basis states in which the qubit is 1, less that of the
    states in which it is 0. The right panel shows population and interference share of each cut.

    Args:
        layers: Layer attributions of one input; use `layers[0]` to select one from a batch.
        title: Title of the figure; None says the score.

    Returns:
        A figure with two panels; measured maps have no shares, and one panel.

    Raises:
        ValueError: The attributions are those of a batch.

    Example:
        >>> import hattriq_cirq as hq
        >>> figure = hq.plot_layers(hq.layer_attribution(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8]))
        >>> [ax.get_title() for ax in figure.axes[:2]]
        ['attribution by qubit, 1 less 0', 'what decides the score']
    """
    check_type(layers, "layers", LayerAttribution, "the result of layer_attribution")
    if layers.values.ndim != 2:
        raise ValueError(f"{layers.values.shape=} is a batch; select one input, as in layers[0]")
    sums = by_qubit(layers.values)
    contrast = (sums[..., 1] - sums[..., 0]).T
    labels = [f"{cut}" for cut in layers.cuts.tolist()]
    shares, interference = layers.population, layers.interference
    with figure_style():
        figure = Figure(figsize=(9.5 if shares is not None else 5.2, 3.8), layout="constrained")
        axes = figure.subplots(1, 1 if shares is None else 2, squeeze=False)[0]
        image = draw_map(axes[0], contrast, (contrast, contrast), contrast.shape, symmetric_limit(contrast))
        figure.colorbar(image, ax=axes[0], fraction=0.046, pad=0.03).set_label("+ raises the score, - lowers it")
        axes[0].set_aspect("auto")
        axes[0].set_xticks(range(len(labels)), labels)
        axes[0].set(xlabel="cut, in moments", ylabel="qubit", title="attribution by qubit, 1 less 0")
        if shares is not None and interference is not None:
            places = np.arange(len(labels))
            for offset, values, name, colour in (
                (-0.2, shares, "populations", "0.35"),
                (0.2, interference, "interference", "0.75"),
            ):
                axes[1].bar(places + offset, values, width=0.4, color=colour, label=name)
            total = float(layers.f_input - layers.f_baseline)
            axes[1].axhline(0, color="0.3", lw=0.8)
            axes[1].axhline(total, color=POSITIVE if total > 0 else NEGATIVE, lw=1.2, label=f"score, {total:+.3f}")
            axes[1].set_xticks(places, labels)
            axes[1].set(xlabel="cut, in moments", ylabel="share of the score", title="what decides the score")
            axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, frameon=False, fontsize=9)
        scores = f"score {float(layers.f_input):+.3f}, at the baseline {float(layers.f_baseline):+.3f}"
        figure.suptitle(scores if title is None else printable(title, lines=True), fontsize=11)
    return figure
