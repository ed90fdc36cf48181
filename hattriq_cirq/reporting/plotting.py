"""Pictures: an attribution beside its input, galleries of them, training curves.

Figures are made without pyplot, so nothing here needs a display or leaves a figure open. `ax.figure.savefig(path)`
writes one; a notebook or window shows what is drawn into an `ax` of `matplotlib.pyplot.subplots()`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import ExitStack
from math import ceil, sqrt

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.models.training import Training

Classes = tuple[str, str]
"""What -1 and +1 mean, in this order."""

_NEGATIVE, _POSITIVE = "#3372b5", "#c23b3b"  # blue and red differ for every kind of colour vision
_SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#0b3468", _NEGATIVE, "#a5c8e4", "#ffffff", "#f2b3a6", _POSITIVE, "#760d1c"], N=257
)  # an odd number of colours, so that 0 is exactly white
_SIGNIFICANT = 2.0  # standard errors
_BITS_UP_TO = 16  # features up to which a tick names its basis state in bits
_BARS_UP_TO = 128  # features up to which each has a bar of its own


def plot_attribution(
    attribution: Attribution,
    *,
    shape: tuple[int, int] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    classes: Classes | None = None,
) -> Axes:
    """Draws the signed attribution of one input, in diverging colours centred on 0.

    Features more than 2 standard errors from 0 carry a dot where the values come from shots; bars carry their errors.

    Args:
        attribution: of one input; choose from a batch by `a[0]`.
        shape: (rows, cols) of the image the features make row by row; None draws a bar for each basis state.
        ax: where to draw the map; None makes a figure with the input beside it.
        title: of the map; None gives the score at the input and at the baseline.
        classes: what -1 and +1 mean, to be named by the colour bar.

    Returns:
        The Axes of the map.

    Raises:
        ValueError: the attribution is a batch, or the shape does not hold its features.
    """
    a = attribution
    if a.values.ndim != 1:
        raise ValueError(f"{a.values.shape=} is a batch; choose one input, as in a[0], or draw all with plot_gallery")
    _check_shape(shape, a.n_features)
    with _style():
        if ax is None:
            input_ax, ax = _pair_of_axes(a.n_features, shape)
            _draw_input(input_ax, a.x, shape)
        ax.set_title(f"score {a.f_input:+.3f}, at the baseline {a.f_baseline:+.3f}" if title is None else title)
        ax.title.set_parse_math(False)
        if shape is None:
            _draw_bars(ax, a, sign_label(a, classes))
        else:
            image = _draw_map(ax, a.values, a.stderr, shape, _limit(a.values))
            bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
            bar.set_label(sign_label(a, classes), parse_math=False)
            if a.stderr.any():
                ax.set_xlabel(_error_note(a.stderr))
    return ax


def plot_gallery(
    attribution: Attribution,
    *,
    shape: tuple[int, int],
    labels: ArrayLike | None = None,
    columns: int | None = None,
    titles: Sequence[str] | None = None,
    classes: Classes | None = None,
) -> Figure:
    """Draws many inputs, each above its signed map, all maps on one diverging scale with one colour bar.

    Args:
        attribution: of (inputs, features), or of one input.
        shape: (rows, cols) of the image the features make row by row.
        labels: (inputs,) in {-1, +1}, the true classes; a score of the wrong sign is marked where there is no head.
        columns: pairs in a row; None chooses.
        titles: one above each input, in place of the class and score.
        classes: what -1 and +1 mean.

    Returns:
        A figure of 2 * inputs panels and the colour bar.

    Raises:
        ValueError: lengths or shape do not fit, or there is no input.
    """
    a = attribution
    values, stderr, x = (rows.reshape(-1, a.n_features) for rows in (a.values, a.stderr, a.x))
    count = len(values)
    _check_shape(shape, a.n_features)
    if count == 0 or (columns is not None and columns < 1):
        raise ValueError(f"a gallery needs an input and a column, got {count} inputs and {columns=}")
    for name, given in (("labels", labels), ("titles", titles)):
        if given is not None and np.shape(given) != (count,):
            raise ValueError(f"{name} has shape {np.shape(given)}, must be ({count},): one for each input")
    columns = min(count, columns or max(4, min(8, ceil(sqrt(2 * count)))))
    headings = list(titles) if titles is not None else _headings(a, labels, classes)
    with _style():
        lines = 1 + max(heading.count("\n") for heading in headings)
        height = float(np.clip(1.65 * shape[0] / shape[1], 0.4, 3.3))
        strips = ceil(count / columns)
        size = (max(5.0, 1.6 * columns + 0.3), strips * (2 * height + 0.2 * lines + 0.3) + 1.1)
        figure = Figure(figsize=size)
        figure.set_layout_engine("compressed", w_pad=0.04, h_pad=0.03, hspace=0.0, wspace=0.0)
        grid = figure.add_gridspec(3 * strips - 1, columns, height_ratios=[1, 1, 0.1] * (strips - 1) + [1, 1])
        places = [(3 * (i // columns), i % columns) for i in range(count)]
        panels = [(figure.add_subplot(grid[row, col]), figure.add_subplot(grid[row + 1, col])) for row, col in places]
        limit = _limit(values)
        for i, (above, below) in enumerate(panels):
            _draw_gray(above, _shown(x[i]), shape)
            above.set_title(headings[i], fontsize=9, parse_math=False)
            image = _draw_map(below, values[i], stderr[i], shape, limit)
            for ax in (above, below):
                ax.set(xticks=[], yticks=[])
        bar = figure.colorbar(
            image, ax=[ax for pair in panels for ax in pair], location="bottom", aspect=40, shrink=0.8, pad=0.02
        )
        note = f"\n{_error_note(stderr)}" if stderr.any() else ""
        bar.set_label(sign_label(a, classes) + note, parse_math=False, fontsize=9)
        bar.ax.tick_params(labelsize=9)
        bar.locator = MaxNLocator(nbins=min(8, columns + 3))
    return figure


def plot_training(training: Training, ax: Axes | None = None) -> Axes:
    """Draws the loss (left axis) and accuracy (right axis) after each epoch, and marks the best one.

    Args:
        training: what `train` returned; its validation curves are dashed where there are any.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes of the loss; that of the accuracy is its twin.
    """
    history = training.history
    with _style():
        if ax is None:
            ax = Figure(figsize=(6.4, 3.8), layout="constrained").subplots()
        right = ax.twinx()
        epochs, lone = np.arange(1, len(history) + 1), "o" if len(history) == 1 else ""
        curves = (
            (ax, history.loss, history.validation_loss, _NEGATIVE, "loss"),
            (right, history.accuracy, history.validation_accuracy, _POSITIVE, "accuracy"),
        )
        lines = []
        for axes, seen, held_out, colour, name in curves:
            lines += axes.plot(epochs, seen, color=colour, marker=lone, label=f"{name}, training")
            if not np.isnan(held_out).all():
                lines += axes.plot(epochs, held_out, color=colour, marker=lone, ls="--", label=f"{name}, validation")
            axes.set_ylabel(name, color=colour)
            axes.tick_params(axis="y", colors=colour)
        best = training.best_epoch + 1
        lines.append(ax.axvline(best, color="0.35", ls=":", lw=1.5, label=f"best epoch, {best}"))
        ax.set(xlabel="epoch", title=f"{len(history)} epochs, {training.seconds:.1f} s; stopped by {training.stopped}")
        ax.set_ylim(bottom=0)
        right.set_ylim(min(0.5, float(history.accuracy.min())) - 0.02, 1.02)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.legend(handles=lines, loc="center right", fontsize=9)
    return ax


def sign_label(attribution: Attribution, classes: Classes | None = None) -> str:
    """What is attributed and what its sign means, in two or three lines for a colour bar.

    Args:
        attribution: its observables, head and form say what the score is.
        classes: what -1 and +1 mean, to be named with the sign.
    """
    a = attribution.assumptions
    names = ", ".join(f"⟨{re.sub(r'(?<![0-9])1.000[*]', '', text)}⟩" for text in a.observables)
    what = names if a.head == "identity" else f"{a.head} of {names}"
    form = " (normalized)" if a.form == "normalized" else ""
    if a.head == "identity" and _is_pauli_string(a.observables[0]):
        ends = ("towards +1", "towards -1")
    else:
        ends = ("the score up", "the score down")
    signs = [f"{sign} pushes {end}" for sign, end in zip("+-", ends, strict=True)]
    if classes:
        signs = [f"{sign}: {name}" for sign, name in zip(signs, classes[::-1], strict=True)]
    return f"attribution to {what}{form}\n" + ("\n" if classes else ", ").join(signs)


def basis_grid(n_features: int) -> tuple[int, int]:
    """The most nearly square (rows, cols) for features that make no image: first bits of the index by last bits."""
    n_qubits = (n_features - 1).bit_length()
    rows: int = 2 ** (n_qubits // 2)
    return rows, n_features // rows


def png(drawing: Axes | Figure, dpi: float = 150) -> bytes:
    """A figure, or the whole figure of an Axes, as the bytes of a PNG file."""
    figure = drawing.get_figure(root=True)
    assert figure is not None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.1)
    return buffer.getvalue()


def _style() -> ExitStack:
    """Seaborn's ticks and font sizes for what is drawn inside, and nothing outside."""
    stack = ExitStack()
    stack.enter_context(sns.axes_style("ticks"))
    stack.enter_context(sns.plotting_context("notebook", font_scale=0.85))
    return stack


def _check_shape(shape: tuple[int, int] | None, features: int) -> None:
    if shape is not None and (len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] != features):
        raise ValueError(f"{shape=} must be (rows, cols) with rows * cols = features = {features}")


def _pair_of_axes(features: int, shape: tuple[int, int] | None) -> tuple[Axes, Axes]:
    if shape is None:
        size = (float(np.clip(0.42 * features, 6.4, 12.0)), 5.2)
        upper, lower = Figure(figsize=size, layout="constrained").subplots(2, 1, sharex=True, height_ratios=(2, 3))
        return upper, lower
    side = 3.4
    height = float(np.clip(side * shape[0] / shape[1], 1.6, 5.0)) + 0.9
    left, right = Figure(figsize=(2 * side + 2.2, height), layout="constrained").subplots(1, 2)
    return left, right


def _shown(x: Array) -> FloatArray:
    return np.abs(x) if np.iscomplexobj(x) else x


def _limit(values: FloatArray) -> float:
    """The end of the symmetric scale; 1 where every value is 0."""
    return float(np.max(np.abs(values), initial=0.0)) or 1.0


def _draw_input(ax: Axes, x: Array, shape: tuple[int, int] | None) -> None:
    label = "|amplitude|" if np.iscomplexobj(x) else "amplitude"
    ax.set_title("input")
    shown = _shown(x)
    if shape is None:
        _bars_or_lines(ax, shown, "0.45")
        ax.set_ylabel(label)
        return
    image = _draw_gray(ax, shown, shape)
    ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03).set_label(label)
    _integer_ticks(ax)


def _draw_gray(ax: Axes, shown: FloatArray, shape: tuple[int, int]) -> AxesImage:
    """Black is 0, or the least amplitude where one is negative."""
    return ax.imshow(shown.reshape(shape), cmap="gray", vmin=min(0.0, float(shown.min())))


def _draw_map(ax: Axes, values: FloatArray, stderr: FloatArray, shape: tuple[int, int], limit: float) -> AxesImage:
    image = ax.imshow(values.reshape(shape), cmap=_SIGNED, norm=Normalize(-limit, limit))
    _integer_ticks(ax)
    if stderr.any():
        rows, cols = np.nonzero((np.abs(values) > _SIGNIFICANT * stderr).reshape(shape))
        pixel = 72 * ax.bbox.width / ax.figure.dpi / shape[1]  # in points
        ax.scatter(cols, rows, s=min(6.0, 0.22 * pixel) ** 2, color="0.1", linewidths=0)
    return image


def _draw_bars(ax: Axes, a: Attribution, label: str) -> None:
    colours = np.where(a.values < 0, _NEGATIVE, _POSITIVE)
    _bars_or_lines(ax, a.values, colours.tolist())
    if a.stderr.any():
        ax.errorbar(range(a.n_features), a.values, a.stderr, fmt="none", ecolor="0.25", elinewidth=1, capsize=2)
    ax.axhline(0, color="0.3", lw=0.8)
    ax.set_ylabel(label, parse_math=False, fontsize=8)  # two or three lines no longer than the axis
    ax.margins(x=0.02)
    if a.n_features <= _BITS_UP_TO:
        bits = (a.n_features - 1).bit_length()
        ax.set_xticks(range(a.n_features), [f"{k:0{bits}b}" for k in range(a.n_features)])
        ax.tick_params(axis="x", rotation=0 if a.n_features <= 8 else 45)
    ax.set_xlabel("basis state" + (", with standard errors" if a.stderr.any() else ""))


def _bars_or_lines(ax: Axes, heights: FloatArray, colours: str | list[str]) -> None:
    if len(heights) <= _BARS_UP_TO:
        ax.bar(range(len(heights)), heights, color=colours, width=0.8)
    else:
        ax.vlines(range(len(heights)), 0, heights, colors=colours, linewidth=max(0.2, 400 / len(heights)))


def _integer_ticks(ax: Axes) -> None:
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 4, 8, 10], integer=True, min_n_ticks=1))


def _error_note(stderr: FloatArray) -> str:
    return f"dots: more than {_SIGNIFICANT:g} standard errors from 0 (standard error at most {stderr.max():.1g})"


def _headings(a: Attribution, labels: ArrayLike | None, classes: Classes | None) -> list[str]:
    scores = a.f_input.reshape(-1)
    if labels is None:
        return [f"score {score:+.2f}" for score in scores]
    headings = []
    for label, score in zip(np.asarray(labels).tolist(), scores, strict=True):
        name = f"label {label:+d}" if classes is None else classes[label > 0]
        wrong = a.assumptions.head == "identity" and label * score <= 0
        headings.append(f"{name}\nscore {score:+.2f}{' (wrong)' if wrong else ''}")
    return headings


def _is_pauli_string(observable: str) -> bool:
    """Whether the text of an observable is one Pauli string of coefficient +-1, whose outcomes are +1 and -1."""
    return bool(re.fullmatch(r"-?1\.000\*[XYZ]\(.+\)", observable)) and not re.search(r"\)[+-]\d", observable)
