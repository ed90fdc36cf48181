"""Plots of attributions, galleries of attributions and training curves.

Figures are created without pyplot, so plotting needs no display and leaves no figure open. `ax.figure.savefig(path)`
saves a figure. A notebook shows the figure or the Axes at the end of a cell. To show a plot in a window, pass an `ax` of
`matplotlib.pyplot.subplots()`.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from math import ceil, sqrt
from textwrap import wrap
from typing import Any

import matplotlib.style
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.measured_values import Measured
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.foundation.arrays import Array, FloatArray, largest_first, normal_interval
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, as_labels, as_shape, check_type, shown
from hattriq_cirq.foundation.display import clipped, printable
from hattriq_cirq.foundation.numerics import numpy_defaults
from hattriq_cirq.foundation.text import quantity, rounded
from hattriq_cirq.models.learned import ProbeTest
from hattriq_cirq.models.training import Training

#: Names of the classes, in the order of their indices: of two, those of the labels -1 and +1.
Classes = Sequence[str]

#: Low and high ends of the intervals of the values.
Interval = tuple[FloatArray, FloatArray]

#: Colours of negative and positive values: blue and red can be distinguished with every kind of colour vision.
NEGATIVE, POSITIVE = "#3372b5", "#c23b3b"
#: Diverging colours; 0 is white.
SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#0b3468", NEGATIVE, "#a5c8e4", "#ffffff", "#f2b3a6", POSITIVE, "#760d1c"], N=257
)  # an odd number of colours makes 0 exactly white
#: Options of `imshow`: one square per feature, the first row on top.
PIXELS: dict[str, Any] = {"origin": "upper", "interpolation": "nearest"}
_NAMED_UP_TO = 32  # features whose names are ticks
_NAME_LENGTH = 24  # characters of such a name
_BITS_UP_TO = 16  # largest number of features whose ticks are all labelled with bits
_STATES = 8  # basis states whose ticks are labelled where there are more, those with the largest values
_RANKED = 20  # features of a table that are drawn
_RANKED_IN_GALLERY = 6  # features of each input of a gallery
_BARS_UP_TO = 128  # largest number of features that are drawn as bars
_CROWDED = 100  # number of probes above which their points are small


def plot_attribution(
    attribution: Attribution,
    *,
    shape: tuple[int, int] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    classes: Classes | None = None,
    names: Sequence[str] | None = None,
    top: int = _RANKED,
) -> Axes:
    """Plot the signed attribution of one input in diverging colours centred on 0, as the data that the model is for ask.

    The features of a table are horizontal bars with their names, the largest first; an image is a map; amplitudes of a state
    are bars in the order of the basis states. If the values come from shots, dots mark the features whose 95% interval,
    `Attribution.interval`, leaves 0 out, and lines on bars show their intervals.

    Args:
        attribution: Attribution of one input; use `a[0]` to select one from a batch.
        shape: (rows, cols) of an image, filled row by row; None takes that of `attribution.contract`, if it has one.
        ax: Axes for the map; None creates a figure with the input beside the map.
        title: Title of the map; None shows the predicted class if it is known, and the score at the input and at the baseline.
        classes: Names of the classes, for the meaning of the sign; None takes those of `attribution.contract`.
        names: Names of the features of a table; None takes the columns of `attribution.contract`.
        top: Number of features of a table that are drawn, at most; the label says how many others there are.

    Returns:
        The Axes of the map.

    Raises:
        ValueError: The attribution is a batch, or the shape or names do not match the number of features.

    Example:
        >>> import hattriq_cirq as hq
        >>> a = hq.integrated_gradients(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.8, 0.0], baseline=0)
        >>> ax = hq.plot_attribution(a, shape=(2, 2))
        >>> ax.get_title()
        'score -0.280, at the baseline +0.000'
    """
    a = _check_attribution(attribution)
    classes = _check_classes(classes, a)
    if a.values.ndim != 1:
        raise ValueError(f"{a.values.shape=} is a batch; select one input, as in a[0], or plot all of them with plot_gallery")
    shape, labels = _layout(a, shape, names)
    ranked = None if labels is None else _largest(a.values, as_count(top, "top"))
    with figure_style():
        if ax is None:
            input_ax, ax = _pair_of_axes(a.n_features, shape, ranked)
            if a.knows_input:
                _draw_input(input_ax, a.x, shape, ranked)
            elif ranked is None:
                input_ax.set_axis_off()
            else:
                input_ax.remove()
                ax.tick_params(axis="y", left=True, labelleft=True)
        ax.set_title(_title(a) if title is None else printable(title, lines=True))
        ax.title.set_parse_math(False)
        if shape is not None:
            image = draw_map(ax, a.values, a.interval(), shape, symmetric_limit(a.values))
            bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
            bar.set_label(sign_label(a, classes), parse_math=False)
            if _is_sampled(a):
                ax.set_xlabel(_error_note(a))
        elif labels is None or ranked is None:
            _draw_states(ax, a, sign_label(a, classes))
        else:
            _draw_ranked(ax, a, ranked, labels)
            lines = [sign_label(a, classes), *_remarks(a, ranked)]
            ax.set_xlabel("\n".join(lines), parse_math=False, fontsize=9)
    return ax


def plot_gallery(
    attribution: Attribution,
    *,
    shape: tuple[int, int] | None = None,
    labels: ArrayLike | None = None,
    columns: int | None = None,
    titles: Sequence[str] | None = None,
    classes: Classes | None = None,
) -> Figure:
    """Plot many inputs: images each above its signed map, with one diverging scale and one colour bar for all.

    Of a table or a state the largest features of each input are horizontal bars with their names, on one scale for all.

    Args:
        attribution: Attribution of one input or a batch, (..., features), whose inputs are drawn in the order of its axes.
        shape: (rows, cols) of the image, filled row by row; None takes that of `attribution.contract`, if it has one.
        labels: True classes, (inputs,), -1 or +1, or 0 and 1 for -1 and +1; a score of the wrong sign is marked if the
            attribution has no head.
        columns: Number of inputs per row; None chooses it.
        titles: Titles, one per input, in place of the class and the score.
        classes: Names of the classes; None takes those of `attribution.contract`.

    Returns:
        A figure with 2 panels per input and one colour bar; without an image, with one panel per input.

    Raises:
        ValueError: The length of an argument or the shape does not match the attribution, or there is no input.

    Example:
        >>> import hattriq_cirq as hq
        >>> x = [[0.6, 0.0, 0.8, 0.0], [0.0, 1.0, 0.0, 0.0]]
        >>> a = hq.integrated_gradients(hq.ring_ansatz(2, layers=1), x, baseline=0)
        >>> figure = hq.plot_gallery(a, shape=(2, 2), labels=[-1, 1])
        >>> print(figure.axes[0].get_title())
        label -1
        score -0.28
    """
    a = _check_attribution(attribution).as_batch()
    if not a.knows_input:
        raise ValueError("a gallery shows inputs, and the amplitudes of a prepared state are not known; use plot_attribution")
    shape, names = _layout(a, shape, None)
    count = len(a)
    columns = None if columns is None else as_count(columns, "columns")
    if count == 0:
        raise ValueError("a gallery needs at least one input, got 0 inputs")
    if titles is not None and (isinstance(titles, str) or np.shape(titles) != (count,)):
        raise ValueError(f"titles has shape {np.shape(titles)}, must be ({count},): one per input")
    classes = _check_classes(classes, a)
    if labels is not None:
        labels = as_labels(labels, "labels", count, zero_one=True)
    headings = [printable(each, lines=True) for each in (titles if titles is not None else _headings(a, labels, classes))]
    if shape is None:
        return _bar_gallery(a, headings, classes, names or list(map(a.feature_name, range(a.n_features))), columns)
    columns = min(count, columns or max(4, min(8, ceil(sqrt(2 * count)))))
    with figure_style():
        lines = 1 + max(heading.count("\n") for heading in headings)
        height = float(np.clip(1.65 * shape[0] / shape[1], 0.4, 3.3))
        rows = ceil(count / columns)
        figure = Figure(figsize=(max(5.0, 1.6 * columns + 0.3), rows * (2 * height + 0.2 * lines + 0.3) + 1.1))
        figure.set_layout_engine("compressed", w_pad=0.04, h_pad=0.03, hspace=0.0, wspace=0.0)
        grid = figure.add_gridspec(3 * rows - 1, columns, height_ratios=[1, 1, 0.1] * (rows - 1) + [1, 1])
        limit, (low, high) = symmetric_limit(a.values), a.interval()
        for i in range(count):
            row, col = 3 * (i // columns), i % columns
            above, below = figure.add_subplot(grid[row, col]), figure.add_subplot(grid[row + 1, col])
            draw_gray(above, _real_amplitudes(a.x[i]), shape)
            above.set_title(headings[i], fontsize=9, parse_math=False)
            image = draw_map(below, a.values[i], (low[i], high[i]), shape, limit)
            for ax in (above, below):
                ax.set(xticks=[], yticks=[])
        bar = figure.colorbar(image, ax=figure.axes, location="bottom", aspect=40, shrink=0.8, pad=0.02)
        note = f"\n{_error_note(a)}" if _is_sampled(a) else ""
        bar.set_label(sign_label(a, classes) + note, parse_math=False, fontsize=9)
        bar.ax.tick_params(labelsize=9)
        bar.locator = MaxNLocator(nbins=min(8, columns + 3))
    return figure


def _bar_gallery(
    a: Attribution, headings: Sequence[str], classes: Classes | None, names: Sequence[str], columns: int | None
) -> Figure:
    """Return a figure with the largest features of each input as horizontal bars, on one scale."""
    count = len(headings)
    columns = min(count, columns or max(1, min(4, round(sqrt(count)))))
    rows, drawn = ceil(count / columns), min(_RANKED_IN_GALLERY, a.n_features)
    with figure_style():
        lines = 1 + max(heading.count("\n") for heading in headings)
        size = (max(5.0, 3.3 * columns), rows * (0.24 * drawn + 0.2 * lines + 0.35) + 0.9)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        for i, (one, ax) in enumerate(zip(a, panels[:count], strict=True)):
            _draw_ranked(ax, one, _largest(one.values, _RANKED_IN_GALLERY), names)
            ax.set_title(headings[i], fontsize=9, parse_math=False)
            ax.tick_params(labelsize=8)
            ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
        for ax in panels[count:]:
            ax.set_axis_off()
        left = a.n_features - drawn
        remarks = ["lines: 95% intervals"] if _is_sampled(a) else []
        remarks += [f"the {drawn} largest of {a.n_features} features of each input"] if left else []
        figure.supxlabel("\n".join([sign_label(a, classes), "; ".join(remarks)]).strip(), fontsize=9, parse_math=False)
    return figure


def plot_training(training: Training, ax: Axes | None = None) -> Axes:
    """Plot the loss (left axis) and the accuracy (right axis) after each epoch, and mark the best epoch.

    Args:
        training: Result of `train`; its validation curves, if any, are dashed.
        ax: Axes to plot into; None creates a figure.

    Returns:
        The Axes of the loss; the Axes of the accuracy is its twin.

    Example:
        >>> import hattriq_cirq as hq
        >>> data = hq.datasets.bars_and_stripes()
        >>> training = hq.train(hq.ring_ansatz(4, layers=1), data.x_train, data.y_train, epochs=2, seed=0)
        >>> hq.plot_training(training).get_xlabel()
        'epoch'
    """
    check_type(training, "training", Training, "the result of train")
    history = training.history
    with figure_style():
        if ax is None:
            ax = Figure(figsize=(6.4, 3.8), layout="constrained").subplots()
        right = ax.twinx()
        epochs, marker = np.arange(1, len(history) + 1), "o" if len(history) == 1 else ""
        curves = (
            (ax, history.loss, history.validation_loss, NEGATIVE, "loss"),
            (right, history.accuracy, history.validation_accuracy, POSITIVE, "accuracy"),
        )
        lines = []
        for axes, training_curve, validation_curve, colour, name in curves:
            lines += axes.plot(epochs, training_curve, color=colour, marker=marker, label=f"{name}, training")
            if not np.isnan(validation_curve).all():
                label = f"{name}, validation"
                lines += axes.plot(epochs, validation_curve, color=colour, marker=marker, ls="--", label=label)
            axes.set_ylabel(name, color=colour)
            axes.tick_params(axis="y", colors=colour)
        best = training.best_epoch + 1
        lines.append(ax.axvline(best, color="0.35", ls=":", lw=1.5, label=f"best epoch, {best}"))
        ax.set(
            xlabel="epoch", title=f"{quantity(len(history), 'epoch')}, {training.seconds:.1f} s; stopped by {training.stopped}"
        )
        ax.set_ylim(bottom=0)
        right.set_ylim(min(0.5, float(history.accuracy.min())) - 0.02, 1.02)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.legend(handles=lines, loc="center right", fontsize=9)
    return ax


def plot_probe_test(test: ProbeTest, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Plot the measured expectations of probes against the predicted ones, with 95% intervals of their differences.

    Points whose interval leaves out the prediction are red: about 1 in 20 if the prediction holds. Where the probes ran at both
    ends of a campaign, triangles point up at what they gave first, and down at what they gave last.

    Args:
        test: Test of a learned model, `LearnedModel.held_out_test()` or `LearnedModel.compare(model)`.
        ax: Axes to plot into; None creates a figure.
        title: First line of the title, above the p-value in words.

    Returns:
        The Axes.

    Example:
        >>> import hattriq_cirq as hq
        >>> learned = hq.learn_observable(hq.ring_ansatz(2, layers=1), engine=hq.qsim(seed=1), shots=10_000)
        >>> hq.plot_probe_test(learned.held_out_test()).get_ylabel()
        'measured, with 95% intervals'
    """
    check_type(test, "test", ProbeTest, "the result of LearnedModel.held_out_test or LearnedModel.compare")
    with figure_style():
        if ax is None:
            ax = Figure(figsize=(4.8, 5.0), layout="constrained").subplots()
        low, high = normal_interval(test.measured, test.stderr, 0.95)
        leaves_out = (test.predicted < low) | (test.predicted > high)
        shown = np.concatenate([test.predicted, low, high])
        margin = 0.05 * float(np.ptp(shown)) or 1.0
        limits = float(shown.min()) - margin, float(shown.max()) + margin
        ax.plot(limits, limits, color="0.6", lw=1, zorder=0)
        crowded = len(test.measured) > _CROWDED
        for chosen, colour in ((~leaves_out, "0.25"), (leaves_out, POSITIVE)):
            sides = np.stack([(test.measured - low)[chosen], (high - test.measured)[chosen]])
            style: Any = {"ms": 2 if crowded else 4, "elinewidth": 0.5 if crowded else 1, "alpha": 0.6 if crowded else 1.0}
            ax.errorbar(test.predicted[chosen], test.measured[chosen], sides, fmt="o", color=colour, **style)
        if test.ends is not None:
            for values, marker, when in ((test.ends.first, "^", "first"), (test.ends.last, "v", "last")):
                ax.plot(test.predicted, values, marker, ms=5, mfc="none", mec="0.45", ls="none", label=f"{when} circuits")
            ax.legend(loc="upper left", fontsize=8)
        factor = "" if test.damping == 1 else f",\ntimes the fitted damping factor {test.damping:.3f}"
        ax.set(xlim=limits, ylim=limits, aspect="equal", ylabel="measured, with 95% intervals")
        ax.set_xlabel(f"predicted expectation of a probe{factor}")
        outside = f"{np.count_nonzero(leaves_out)} of {quantity(len(test.measured), 'probe')} outside their interval (red)"
        lines = [
            *([] if title is None else [printable(title, lines=True)]),
            *wrap(f"p = {test.pvalue:.2g}: {test.verdict}", 60),
            *([", ".join(f"{part.question} p = {part.pvalue:.2g}" for part in test.parts)] if test.parts else []),
        ]
        ax.set_title("\n".join([*lines, outside]), fontsize=9, parse_math=False)
    return ax


def plot_curves(curves: Mapping[str, Measured], ax: Axes | None = None, *, level: float = 0.95) -> Axes:
    """Plot the mean over inputs of measured faithfulness curves, with its intervals.

    Args:
        curves: Curves by name, such as `faithfulness.measured(faithfulness.deletion_curve, ...)`.
        ax: Axes to plot into; None creates a figure.
        level: Probability that a band holds the exact mean at a point.

    Returns:
        The Axes.

    Raises:
        ValueError: There is no curve, or one of them is another metric.

    Example:
        >>> curve = Measured([[1, 0.5, 0]], [[[0.1, 0.05, 0]]], fractions=[0, 0.5, 1])
        >>> plot_curves({"learned": curve}).get_xlabel()
        'changed features in %'
    """
    check_type(curves, "curves", Mapping, "a mapping from names to curves")
    if not curves:
        raise ValueError("curves is empty; give at least one")
    with figure_style():
        if ax is None:
            ax = Figure(figsize=(4.8, 3.4), layout="constrained").subplots()
        for name, curve in curves.items():
            check_type(curve, f"curves[{name!r}]", Measured, "a curve of faithfulness.measured")
            if curve.fractions is None:
                raise ValueError(f"curves[{name!r}] is no curve: it has no fractions of changed features")
            at, mean = 100 * curve.fractions, curve.mean()
            (line,) = ax.plot(at, mean.values, label=name)
            ax.fill_between(at, *mean.interval(level), color=line.get_color(), alpha=0.25, lw=0)
        ax.axhline(0, color="0.6", lw=0.8, zorder=0)
        ax.set(xlabel="changed features in %", ylabel="mean score in favour\nof the predicted class", xlim=(0, 100))
        ax.set_title(f"bands: {level:.0%} intervals of the mean, by the errors of the score", fontsize=9)
        ax.legend(fontsize="small", frameon=False)
    return ax


def sign_label(attribution: Attribution, classes: Classes | None = None) -> str:
    """Return the label of a colour bar: the attributed quantity and the meaning of the sign, in two or three lines.

    Args:
        attribution: Attribution whose observables, head and form define the score.
        classes: Names of the classes.

    Returns:
        The text of the label.

    Example:
        >>> import hattriq_cirq as hq
        >>> a = hq.integrated_gradients(hq.ring_ansatz(1, layers=1), [0.6, 0.8], baseline=0)
        >>> print(sign_label(a, ("stripes", "bars")))
        attribution to ⟨Z(q(0))⟩
        + pushes towards +1: bars
        - pushes towards -1: stripes
    """
    a = attribution.assumptions
    names = ", ".join(f"⟨{re.sub(r'(?<![0-9.])1[.]0+[*]', '', text)}⟩" for text in a.observables)
    if len(a.observables) > 3:
        names = f"{len(a.observables)} observables"
    head = a.head.partition("(")[0] if "weights=" in a.head else a.head  # trained weights would be longer than the picture
    score = names if head == "identity" else f"{head} of {names}"
    form = " (normalized)" if a.form == "normalized" else ""
    bounded = a.head == "identity" and any(map(_is_pauli_string, a.observables[:1]))
    ends = ("towards +1", "towards -1") if bounded else ("the score up", "the score down")
    if attribution.target is not None:
        ends = ("towards it", "away from it")
        (first, *others) = np.unique(attribution.target).tolist()
        name = classes[first] if classes and first < len(classes) else first
        score, classes = f"{'the class of each input' if others else f'class {name}'}, {score}", None
    signs = [f"{sign} pushes {end}" for sign, end in zip("+-", ends, strict=True)]
    if classes and len(classes) == 2:
        signs = [f"{sign}: {name}" for sign, name in zip(signs, classes[::-1], strict=True)]
        return printable(f"attribution to {score}{form}\n" + "\n".join(signs), lines=True)
    return printable(f"attribution to {score}{form}\n" + ", ".join(signs), lines=True)


def basis_grid(n_features: int) -> tuple[int, int]:
    """Return the most nearly square shape for features without an image: the first bits of the index by the last bits.

    Args:
        n_features: Number of features, a power of 2.

    Returns:
        (rows, cols), rows * cols = n_features.

    Example:
        >>> basis_grid(32)
        (4, 8)
    """
    n_qubits = (n_features - 1).bit_length()
    rows: int = 2 ** (n_qubits // 2)
    return rows, n_features // rows


def png(plot: Axes | Figure, dpi: float = 150) -> bytes:
    """Return a figure, or the whole figure of an Axes, as the content of a PNG file.

    Args:
        plot: Figure or Axes.
        dpi: Resolution in pixels per inch.

    Returns:
        The content of the file.

    Example:
        >>> png(Figure(figsize=(1, 1)))[1:4]
        b'PNG'
    """
    figure = plot.get_figure(root=True)
    assert figure is not None
    buffer = io.BytesIO()
    with plain_style():
        figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.1)
    return buffer.getvalue()


def show_in_notebook(formatter: Any) -> None:
    """Let a notebook show figures that pyplot does not manage, and their Axes, as pictures; those of pyplot stay as they are.

    Args:
        formatter: Display formatter of IPython, which this module calls for the notebook that imports it.
    """
    pictures = formatter.formatters["image/png"]
    for kind in (Axes, Figure):
        earlier = pictures.for_type(kind)

        def picture(plot: Axes | Figure, earlier: Callable[[Any], Any] | None = earlier) -> Any:
            figure = plot.get_figure(root=True)
            if figure is not None and figure.canvas.manager is None:
                return png(plot, dpi=100)
            return None if earlier is None else earlier(plot)

        pictures.for_type(kind, picture)


def plain_style() -> ExitStack:
    """Return a context in which pictures do not depend on the settings of the caller for matplotlib and NumPy.

    Example:
        >>> import matplotlib
        >>> with matplotlib.rc_context({"image.origin": "lower"}), plain_style():
        ...     print(matplotlib.rcParams["image.origin"])
        upper
    """
    stack = ExitStack()
    stack.enter_context(matplotlib.style.context("default"))
    stack.enter_context(numpy_defaults())
    return stack


def figure_style() -> ExitStack:
    """Return a context of `plain_style` with seaborn's ticks and font sizes."""
    stack = plain_style()
    stack.enter_context(sns.axes_style("ticks"))
    stack.enter_context(sns.plotting_context("notebook", font_scale=0.85))
    return stack


def _layout(
    a: Attribution, shape: tuple[int, int] | None, names: Sequence[str] | None
) -> tuple[tuple[int, int] | None, Sequence[str] | None]:
    """Return the shape of an image, or the names of the features of a table, or None for both for the amplitudes of a state.

    What is given decides; the data contract decides the rest.

    Raises:
        ValueError: The shape or the names do not match the number of features.
    """
    if shape is not None:
        return as_shape(shape, a.n_features), None
    if names is not None:
        _check_names(names, a.n_features - 1)
        return None, names
    contract = a.contract
    if contract is None:
        return None, None
    if contract.columns is not None:
        units = (f" ({unit})" if (unit := contract.unit(k)) else "" for k in range(a.n_features))
        return None, [name + unit for name, unit in zip(contract.feature_names(a.n_features), units, strict=True)]
    rows, cols = contract.image_shape or (0, 0)
    return (contract.image_shape if rows * cols == a.n_features else None), None


def _largest(values: FloatArray, count: int) -> list[int]:
    """Return the features with the largest absolute values, largest first, without those that are 0."""
    order = largest_first(values)[: min(count, max(1, np.count_nonzero(values)))]
    features: list[int] = order.tolist()
    return features


def _title(a: Attribution) -> str:
    """Return what the model says of one input, and the scores at both ends of the path."""
    scores = f"score {a.f_input:+.3f}, at the baseline {a.f_baseline:+.3f}"
    return scores if a.predicted is None else f"{a.verdict()}\n{scores}"


def _pair_of_axes(features: int, shape: tuple[int, int] | None, ranked: Sequence[int] | None) -> tuple[Axes, Axes]:
    if ranked is not None:
        figure = Figure(figsize=(9.0, 0.27 * len(ranked) + 1.7), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 3))
        right.tick_params(axis="y", left=False)
        return left, right
    if shape is None:
        size = (float(np.clip(0.42 * features, 6.4, 12.0)), 5.2)
        upper, lower = Figure(figsize=size, layout="constrained").subplots(2, 1, sharex=True, height_ratios=(2, 3))
        return upper, lower
    side = 3.4
    height = float(np.clip(side * shape[0] / shape[1], 1.6, 5.0)) + 0.9
    left, right = Figure(figsize=(2 * side + 2.2, height), layout="constrained").subplots(1, 2)
    return left, right


def _real_amplitudes(x: Array) -> FloatArray:
    return np.abs(x) if np.iscomplexobj(x) else x


def symmetric_limit(values: FloatArray) -> float:
    """Return the upper end of the symmetric scale; 1 if every value is 0."""
    return float(np.max(np.abs(values), initial=0.0)) or 1.0


def _draw_input(ax: Axes, x: Array, shape: tuple[int, int] | None, ranked: Sequence[int] | None) -> None:
    label = "|amplitude|" if np.iscomplexobj(x) else "amplitude"
    ax.set_title("input")
    amplitudes = _real_amplitudes(x)
    if ranked is not None:
        ax.barh(range(len(ranked)), amplitudes[list(ranked)], color="0.45", height=0.75)
        ax.axvline(0, color="0.3", lw=0.8)
        ax.set_xlabel(label)
    elif shape is None:
        bars_or_lines(ax, amplitudes, "0.45")
        ax.set_ylabel(label)
    else:
        image = draw_gray(ax, amplitudes, shape)
        ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03).set_label(label)
        integer_ticks(ax)


def draw_gray(ax: Axes, amplitudes: FloatArray, shape: tuple[int, int]) -> AxesImage:
    """Draw amplitudes in shades of gray; black is 0, or the smallest amplitude if one is negative."""
    return ax.imshow(amplitudes.reshape(shape), cmap="gray", vmin=min(0.0, float(amplitudes.min())), **PIXELS)


def draw_map(ax: Axes, values: FloatArray, interval: Interval, shape: tuple[int, int], limit: float) -> AxesImage:
    """Draw a map, with dots on the features whose interval leaves 0 out unless all of them are exact."""
    image = ax.imshow(values.reshape(shape), cmap=SIGNED, norm=Normalize(-limit, limit), **PIXELS)
    integer_ticks(ax)
    low, high = interval
    if (high > low).any():
        rows, cols = np.nonzero(((low > 0) | (high < 0)).reshape(shape))
        pixel = 72 * ax.bbox.width / ax.figure.dpi / shape[1]  # in points
        ax.scatter(cols, rows, s=min(6.0, 0.22 * pixel) ** 2, color="0.1", linewidths=0)
    return image


def _draw_ranked(ax: Axes, a: Attribution, ranked: Sequence[int], names: Sequence[str]) -> None:
    """Draw features of one input as horizontal bars with their names, the first on top, with intervals of measured values."""
    order, places = list(ranked), range(len(ranked))
    values = a.values[order]
    ax.barh(places, values, color=np.where(values < 0, NEGATIVE, POSITIVE).tolist(), height=0.75)
    if _is_sampled(a):
        low, high = (ends[order] for ends in a.interval())
        sides = np.stack([values - low, high - values])
        ax.errorbar(values, places, xerr=sides, fmt="none", ecolor="0.25", elinewidth=1, capsize=2)
    ax.axvline(0, color="0.3", lw=0.8)
    name_ticks(ax.yaxis, names, order)
    ax.set_ylim(len(order) - 0.4, -0.6)


def _remarks(a: Attribution, ranked: Sequence[int]) -> list[str]:
    """Return what the label of ranked bars says of intervals and of the features that are not drawn."""
    left = a.n_features - len(ranked)
    others = float(a.values.sum() - a.values[list(ranked)].sum())
    remarks = ["lines: 95% intervals"] if _is_sampled(a) else []
    remarks += [f"{quantity(left, 'more feature')}, together {rounded([others])[0]}"] if left else []
    return ["; ".join(remarks)] if remarks else []


def _draw_states(ax: Axes, a: Attribution, label: str) -> None:
    """Draw the amplitudes of a state as bars, in the order of the basis states."""
    colours = np.where(a.values < 0, NEGATIVE, POSITIVE)
    bars_or_lines(ax, a.values, colours.tolist())
    if _is_sampled(a):
        low, high = a.interval()
        sides = np.stack([a.values - low, high - a.values])
        ax.errorbar(range(a.n_features), a.values, sides, fmt="none", ecolor="0.25", elinewidth=1, capsize=2)
    ax.axhline(0, color="0.3", lw=0.8)
    ax.set_ylabel(label, parse_math=False, fontsize=8)  # the lines of the label fit the axis
    ax.margins(x=0.02)
    bits = (a.n_features - 1).bit_length()
    if a.n_features <= _BITS_UP_TO:
        ax.set_xticks(range(a.n_features), [f"{k:0{bits}b}" for k in range(a.n_features)])
        ax.tick_params(axis="x", rotation=0 if a.n_features <= 8 else 45)
    else:
        marked = _spread(_largest(a.values, _STATES), max(1, a.n_features // 24))
        ax.set_xticks(marked, [f"{k:0{bits}b}" for k in marked], rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    ax.set_xlabel("basis state" + (", with 95% intervals" if _is_sampled(a) else ""))


def _spread(places: Sequence[int], distance: int) -> list[int]:
    """Return places without those that are closer than a distance to an earlier one."""
    kept: list[int] = []
    for place in places:
        if all(abs(place - other) >= distance for other in kept):
            kept.append(place)
    return sorted(kept)


def bars_or_lines(ax: Axes, heights: FloatArray, colours: str | list[str]) -> None:
    """Draw numbers as bars, or as lines where there are many."""
    if len(heights) <= _BARS_UP_TO:
        ax.bar(range(len(heights)), heights, color=colours, width=0.8)
    else:
        ax.vlines(range(len(heights)), 0, heights, colors=colours, linewidth=max(0.2, 400 / len(heights)))


def name_ticks(axis: Axis, names: Sequence[str], features: Sequence[int]) -> None:
    """Label the ticks of an axis with the names of features, if they are few enough to be read.

    Args:
        axis: Axis with one place per feature.
        names: Names of all features.
        features: Features in the order of their places.

    Raises:
        ValueError: A feature has no name.
    """
    _check_names(names, max(features))
    if len(features) <= _NAMED_UP_TO:
        axis.set_ticks(range(len(features)), [clipped(names[k], _NAME_LENGTH) for k in features])
        is_x = axis is axis.axes.xaxis
        shared = axis.axes.get_shared_x_axes() if is_x else axis.axes.get_shared_y_axes()
        siblings = (ax.xaxis if is_x else ax.yaxis for ax in shared.get_siblings(axis.axes))
        for label in (label for own in siblings for label in own.get_ticklabels()):
            label.set_parse_math(False)
            if is_x:
                label.set(rotation=45, ha="right", rotation_mode="anchor")


def _check_names(names: Sequence[str], last: int) -> None:
    if len(names) <= last:
        raise ValueError(f"names hold {len(names)} names; there must be one for each of the features up to {last}")


def integer_ticks(ax: Axes) -> None:
    """Set ticks at whole numbers of rows and columns."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 4, 8, 10], integer=True, min_n_ticks=1))


def _is_sampled(a: Attribution) -> bool:
    low, high = a.interval()
    return bool((high > low).any())


def _error_note(a: Attribution) -> str:
    low, high = a.interval()
    return f"dots: the 95% interval leaves out 0 (half of its width at most {np.max(high - low) / 2:.1g})"


def _check_attribution(attribution: Attribution) -> Attribution:
    checked: Attribution = check_type(
        attribution, "attribution", Attribution, "an Attribution, as integrated_gradients gives it"
    )
    return checked


def _check_classes(classes: Classes | None, a: Attribution) -> Classes | None:
    """Return the names of the classes that are given, or else those of the data contract."""
    if classes is None:
        return None if a.contract is None else a.contract.classes
    if isinstance(classes, str) or len(tuple(classes)) < 2:
        raise ArgumentTypeError(f"classes={shown(classes)} must be the names of the classes, such as -1 and +1, or None")
    return tuple(map(str, classes))


def _headings(a: Attribution, labels: ArrayLike | None, classes: Classes | None) -> list[str]:
    if labels is None:
        return [f"score {score:+.2f}" for score in a.f_input]
    headings = []
    for label, score in zip(np.asarray(labels).tolist(), a.f_input, strict=True):
        name = f"label {label:+d}" if classes is None or len(classes) != 2 else classes[label > 0]
        wrong = a.assumptions.head == "identity" and label * score <= 0
        headings.append(f"{name}\nscore {score:+.2f}{' (wrong)' if wrong else ''}")
    return headings


def _is_pauli_string(observable: str) -> bool:
    """Return True for the text of one Pauli string with coefficient +-1, whose outcomes are +1 and -1."""
    return bool(re.fullmatch(r"-?1\.0+\*[XYZ]\(.+\)", observable)) and not re.search(r"\)[+-]\d", observable)


if "IPython" in sys.modules and (_shell := sys.modules["IPython"].get_ipython()) is not None:
    show_in_notebook(_shell.display_formatter)
