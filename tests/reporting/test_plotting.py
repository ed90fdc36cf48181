"""Plots show the numbers of an attribution, with scales and labels that state their meaning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

import hattriq_cirq as hq
from hattriq_cirq.attribution.result import Assumptions, Attribution
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.models.learned import ProbeTest
from hattriq_cirq.models.training import History, Training
from hattriq_cirq.reporting.plotting import basis_grid, plot_attribution, plot_gallery, plot_training, png, sign_label


def make(inputs: int | None = None, features: int = 16, stderr: float = 0.0, **assumed: Any) -> Attribution:
    """Return an attribution of random numbers, without an axis of inputs if `inputs` is None."""
    rng = np.random.default_rng(7)
    lead = () if inputs is None else (inputs,)
    values = rng.normal(size=(*lead, features))
    words = {"form": "quadratic", "rule": "exact", "head": "identity", "observables": ("1.000*Z(q(0))",)}
    return Attribution(
        values=values,
        stderr=np.full(values.shape, stderr),
        imag_values=None,
        x=rng.random((*lead, features)),
        baseline=np.zeros(values.shape),
        f_input=values.sum(axis=-1),
        f_baseline=np.zeros(lead),
        completeness_gap_stderr=np.zeros(lead),
        assumptions=Assumptions(**(words | {"baseline": "zero"} | assumed)),
    )


def image(ax: Axes) -> AxesImage:
    (only,) = ax.get_images()
    return only


def shown(ax: Axes) -> FloatArray:
    return np.asarray(image(ax).get_array())


def figure_of(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


# one input


@pytest.mark.parametrize("shape", [(4, 4), (2, 8), (16, 1)])
def test_map_shows_the_values_row_by_row_beside_the_input(shape: tuple[int, int]) -> None:
    a = make()
    ax = plot_attribution(a, shape=shape)
    np.testing.assert_array_equal(shown(ax), a.values.reshape(shape))
    np.testing.assert_array_equal(shown(figure_of(ax).axes[0]), a.x.reshape(shape))


def test_colour_scale_is_symmetric_and_0_is_white() -> None:
    a = make()
    heatmap = image(plot_attribution(a, shape=(4, 4)))
    low, high = heatmap.get_clim()
    assert high == -low == np.abs(a.values).max()
    blue, white, red = list(heatmap.cmap(heatmap.norm(np.array([low, 0.0, high]))))
    assert white.tolist() == [1, 1, 1, 1]
    assert red[0] > red[2]
    assert blue[2] > blue[0]


def test_colour_scale_of_a_map_of_zeros() -> None:
    a = make()
    flat = replace(a, values=np.zeros(16), f_input=np.asarray(0.0))
    assert image(plot_attribution(flat, shape=(4, 4))).get_clim() == (-1, 1)


def test_label_of_the_colour_bar_names_the_classes() -> None:
    ax = plot_attribution(make(), shape=(4, 4), classes=("digit 0", "digit 1"))
    label = figure_of(ax).axes[-1].get_ylabel()
    assert label == "attribution to ⟨Z(q(0))⟩\n+ pushes towards +1: digit 1\n- pushes towards -1: digit 0"


@pytest.mark.parametrize(
    ("assumed", "words"),
    [
        ({}, "attribution to ⟨Z(q(0))⟩\n+ pushes towards +1, - pushes towards -1"),
        ({"form": "normalized"}, "⟨Z(q(0))⟩ (normalized)\n+ pushes towards +1"),
        ({"observables": ("-1.000*Z(q(0, 0))*X(q(0, 1))",)}, "⟨-Z(q(0, 0))*X(q(0, 1))⟩\n+ pushes towards +1"),
        ({"observables": ("11.000*Z(q(0))",)}, "⟨11.000*Z(q(0))⟩\n+ pushes the score up"),
        ({"observables": ("1.000*Z(q(0))+0.500*X(q(1))",)}, "+ pushes the score up, - pushes the score down"),
        ({"head": "sigmoid(scale=5)"}, "attribution to sigmoid(scale=5) of ⟨Z(q(0))⟩\n+ pushes the score up"),
    ],
)
def test_sign_label_describes_the_score(assumed: dict[str, Any], words: str) -> None:
    assert words in sign_label(make(**assumed))


def test_plot_attribution_draws_into_given_axes() -> None:
    figure = Figure()
    ax = figure.subplots()
    a = make()
    assert plot_attribution(a, shape=(4, 4), ax=ax, title="$mine_{") is ax
    assert ax.get_title() == "$mine_{"
    assert len(figure.axes) == 2  # the map and its colour bar, no input
    np.testing.assert_array_equal(shown(ax), a.values.reshape(4, 4))
    assert png(ax).startswith(b"\x89PNG")


def test_complex_input_is_shown_by_absolute_values() -> None:
    a = make()
    x = a.x * np.exp(1j * np.arange(16))
    ax = plot_attribution(replace(a, x=x, imag_values=a.values / 2), shape=(4, 4))
    np.testing.assert_allclose(shown(figure_of(ax).axes[0]), np.abs(x).reshape(4, 4), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("stderr", "rare"), [(0.3, 0.0), (0.3, 0.4), (0.0, 0.5)])
def test_dots_mark_values_whose_interval_leaves_out_zero(stderr: float, rare: float) -> None:
    a = replace(make(inputs=2, stderr=stderr), rare_stderr=np.full((2, 16), rare))
    marked = [{divmod(int(k), 4) for k in np.flatnonzero(np.abs(row) > 1.96 * np.hypot(stderr, rare))} for row in a.values]
    assert 0 < len(marked[0]) < 16
    ax = plot_attribution(a[0], shape=(4, 4))
    assert dots(ax) == marked[0]
    assert "95% interval" in ax.get_xlabel()
    figure = plot_gallery(a, shape=(4, 4))
    assert [dots(figure.axes[1]), dots(figure.axes[3])] == marked


def test_exact_map_has_no_dots() -> None:
    assert not plot_attribution(make(), shape=(4, 4)).collections
    assert "interval" not in plot_attribution(make(), shape=(4, 4)).get_xlabel()


def dots(ax: Axes) -> set[tuple[int, int]]:
    """Return the rows and columns of the pixels with a dot."""
    (collection,) = ax.collections
    return {(int(row), int(col)) for col, row in np.asarray(collection.get_offsets())}


def test_bar_plot_with_error_bars_without_a_shape() -> None:
    a = make(features=8, stderr=0.25)
    ax = plot_attribution(a)
    heights = np.array([bar.get_bbox().height for bar in ax.patches if isinstance(bar, Rectangle)])
    np.testing.assert_allclose(np.abs(heights), np.abs(a.values))
    np.testing.assert_array_equal(heights < 0, a.values < 0)
    (errors,) = ax.collections
    spans = np.array([np.ptp(np.asarray(path.vertices)[:, 1]) for path in errors.get_paths()])
    np.testing.assert_allclose(spans, 2 * 1.96 * 0.25, rtol=1e-4)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [f"{k:03b}" for k in range(8)]
    assert "pushes towards +1" in ax.get_ylabel()


def test_line_plot_of_many_features() -> None:
    a = make(features=256)
    (lines,) = plot_attribution(a).collections
    tips = np.array([np.asarray(path.vertices)[1, 1] for path in lines.get_paths()])
    np.testing.assert_allclose(tips, a.values)


@pytest.mark.parametrize(
    ("inputs", "shape", "message"), [(None, (3, 5), "features = 16"), (None, (-4, -4), "rows"), (2, (4, 4), "a batch")]
)
def test_plot_of_a_batch_or_wrong_shape_is_rejected(inputs: int | None, shape: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_attribution(make(inputs), shape=shape)


# galleries


@pytest.mark.parametrize(("count", "columns"), [(1, None), (5, None), (5, 2), (17, None), (3, 9)])
def test_gallery_has_two_panels_per_input_and_one_colour_bar(count: int, columns: int | None) -> None:
    a = make(count)
    figure = plot_gallery(a, shape=(4, 4), columns=columns)
    assert len(figure.axes) == 2 * count + 1
    for i, (above, below) in enumerate(zip(figure.axes[:-1:2], figure.axes[1:-1:2], strict=True)):
        np.testing.assert_array_equal(shown(above), a.x[i].reshape(4, 4))
        np.testing.assert_array_equal(shown(below), a.values[i].reshape(4, 4))
        assert image(below).get_clim() == (-np.abs(a.values).max(), np.abs(a.values).max())
    assert "pushes towards +1" in figure.axes[-1].get_xlabel()


def test_gallery_titles_show_class_score_and_wrong_sign() -> None:
    a = replace(make(2), f_input=np.array([0.5, 0.25]))
    figure = plot_gallery(a, shape=(4, 4), labels=[1, -1], classes=("bars", "stripes"))
    assert figure.axes[0].get_title() == "stripes\nscore +0.50"
    assert figure.axes[2].get_title() == "bars\nscore +0.25 (wrong)"
    assert plot_gallery(a, shape=(4, 4), titles=["a", "b"]).axes[2].get_title() == "b"


@pytest.mark.parametrize("shape", [(4, 4), None])
def test_inputs_with_several_axes_are_drawn_in_their_order(shape: tuple[int, int] | None) -> None:
    batch = make(6, stderr=0.1)
    names = ("f_input", "f_baseline", "completeness_gap_stderr")
    arrays = {name: getattr(batch, name).reshape(2, 3) for name in names}
    arrays |= {name: getattr(batch, name).reshape(2, 3, 16) for name in ("values", "stderr", "x", "baseline")}
    assert png(plot_gallery(replace(batch, **arrays), shape=shape), 40) == png(plot_gallery(batch, shape=shape), 40)


def test_gallery_of_one_input() -> None:
    assert len(plot_gallery(make(), shape=(4, 4)).axes) == 3


@pytest.mark.parametrize(
    "bad", [{"labels": [1]}, {"titles": ["a", "b", "c"]}, {"columns": 0}, {"shape": (2, 2)}], ids=lambda bad: str(*bad)
)
def test_gallery_arguments_of_wrong_length_are_rejected(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        plot_gallery(make(2), **({"shape": (4, 4)} | bad))


def test_empty_gallery_is_rejected() -> None:
    with pytest.raises(ValueError, match="0 inputs"):
        plot_gallery(make(0), shape=(4, 4))


@pytest.mark.parametrize(("features", "shape"), [(2, (1, 2)), (8, (2, 4)), (16, (4, 4)), (512, (16, 32))])
def test_basis_grid_is_nearly_square(features: int, shape: tuple[int, int]) -> None:
    assert basis_grid(features) == shape


# training


def trained(validation: bool) -> Training:
    rng = np.random.default_rng(3)
    curves = rng.random((4, 6))
    if not validation:
        curves[2:] = np.nan
    return Training(ring_ansatz(1, 0), History(*curves), best_epoch=4, stopped="patience", seed=0, seconds=1.5)


@pytest.mark.parametrize("validation", [False, True])
def test_training_curves_show_the_history(validation: bool) -> None:
    run = trained(validation)
    ax = plot_training(run)
    (twin,) = (other for other in figure_of(ax).axes if other is not ax)
    curves = {line.get_label(): np.asarray(line.get_ydata()) for line in (*ax.lines, *twin.lines)}
    np.testing.assert_array_equal(curves["loss, training"], run.history.loss)
    np.testing.assert_array_equal(curves["accuracy, training"], run.history.accuracy)
    assert ("loss, validation" in curves) == ("accuracy, validation" in curves) == validation
    if validation:
        np.testing.assert_array_equal(curves["loss, validation"], run.history.validation_loss)
        np.testing.assert_array_equal(curves["accuracy, validation"], run.history.validation_accuracy)


def test_best_epoch_is_marked_counting_from_1() -> None:
    ax = plot_training(trained(False), ax=Figure().subplots())
    (mark,) = (line for line in ax.lines if str(line.get_label()).startswith("best epoch"))
    assert list(mark.get_xdata()) == [5, 5]  # type: ignore[arg-type]


def test_names_with_control_characters_are_drawn_escaped() -> None:
    a = hq.integrated_gradients(ring_ansatz(2, layers=1), [[0.6, 0.0, 0.8, 0.0]], baseline=0)
    classes = ("\x1b[31mminus", "plus\x07")
    figure = plot_gallery(a, shape=(2, 2), labels=[-1], classes=classes)
    assert figure.axes[0].get_title().startswith(r"\x1b[31mminus")
    ax = plot_attribution(a[0], shape=(2, 2), classes=classes, title="\x9b31mtitle")
    assert ax.get_title() == r"\x9b31mtitle"
    assert png(figure) != png(ax)
    assert r"\x1b[31mminus" in sign_label(a, classes)


def test_plot_of_a_test_of_probes_shows_every_probe_and_marks_those_outside() -> None:
    rng, predicted = np.random.default_rng(1), np.linspace(-1, 1, 20)
    measured = predicted + 0.01 * rng.normal(size=20)
    measured[3] += 0.5
    test = ProbeTest(60.0, 19, 3e-6, predicted, measured, np.full(20, 0.05), damping=0.9)
    ax = hq.plot_probe_test(test, title="a title")
    within, outside = ax.containers
    np.testing.assert_allclose(
        np.concatenate([within[0].get_xdata(), outside[0].get_xdata()]).sum(), predicted.sum(), atol=1e-12
    )
    np.testing.assert_allclose(outside[0].get_xydata(), [[predicted[3], measured[3]]])
    (bars,) = outside[2]
    ((_, low), (_, high)) = bars.get_segments()[0]
    assert high - low == pytest.approx(2 * 1.96 * 0.05, rel=1e-3)
    first, *_, last = ax.get_title().splitlines()
    assert (first, last) == ("a title", "1 of 20 probes outside their interval (red)")
    assert "contradict the prediction" in " ".join(ax.get_title().split())
    assert "damping factor 0.900" in ax.get_xlabel()
    given = Figure().subplots()
    assert hq.plot_probe_test(test, given) is given
    with pytest.raises(TypeError, match="must be the result of LearnedModel"):
        hq.plot_probe_test(0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("pvalue", "words"), [(0.5, "agree with"), (0.02, "doubtful"), (1e-4, "contradict")])
def test_verdict_of_a_test_follows_from_its_pvalue(pvalue: float, words: str) -> None:
    assert words in ProbeTest(1.0, 1, pvalue, np.zeros(1), np.zeros(1), np.ones(1)).verdict


# names


def table_map(features: int = 8, **entries: Any) -> Attribution:
    """Return an attribution to a table of named columns, the last of them with the largest value."""
    a = make(features=features)
    columns = tuple(f"column {k}" for k in range(features))
    contract = DataContract(columns=columns, classes=("no", "yes"), units=("mm", *[""] * (features - 1)))
    return replace(a, values=np.linspace(-0.1, 0.4, features), contract=contract, **entries)


def test_table_is_drawn_as_horizontal_bars_with_names_the_largest_first() -> None:
    a = table_map(predicted=np.array(1), probability=np.array(0.9))
    ax = plot_attribution(a, top=3)
    figure = figure_of(ax)
    assert not any(each.images for each in figure.axes)
    bars = [bar for bar in ax.patches if isinstance(bar, Rectangle)]
    np.testing.assert_allclose([bar.get_width() for bar in bars], [value for _, value in a.top(3)])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["column 7", "column 6", "column 5"]
    assert ax.yaxis_inverted()
    assert ax.get_title().startswith("predicted 'yes' (p = 0.90)\nscore ")
    rest = a.values.sum() - sum(value for _, value in a.top(3))
    assert ax.get_xlabel().splitlines()[1:] == [
        "+ pushes towards +1: yes", "- pushes towards -1: no", f"5 more features, together {rest:+.2f}"
    ]  # fmt: skip


def test_bars_of_a_table_have_units_and_intervals() -> None:
    a = replace(table_map(4), stderr=np.array([0.1, 0.2, 0.3, 0.4]))
    ax = plot_attribution(a, ax=Figure().subplots())
    assert "column 0 (mm)" in [label.get_text() for label in ax.get_yticklabels()]
    (errors,) = ax.collections
    spans = [np.ptp(np.asarray(path.vertices)[:, 0]) for path in errors.get_paths()]
    np.testing.assert_allclose(spans, [2 * 1.96 * a.stderr[k] for k, _ in a.top(4)], rtol=1e-4)
    assert "lines: 95% intervals" in ax.get_xlabel()


def test_image_is_drawn_as_its_contract_says_unless_a_shape_or_names_are_given() -> None:
    a = replace(make(), contract=DataContract(image_shape=(2, 8), classes=("no", "yes")))
    assert shown(plot_attribution(a)).shape == (2, 8)
    assert shown(plot_attribution(a, shape=(4, 4))).shape == (4, 4)
    assert not plot_attribution(a, names=[f"n{k}" for k in range(16)]).images
    assert "- pushes towards -1: no" in figure_of(plot_attribution(a)).axes[-1].get_ylabel()
    assert "- pushes towards -1: other" in figure_of(plot_attribution(a, classes=("other", "x"))).axes[-1].get_ylabel()
    table = replace(a, contract=DataContract(columns=tuple(f"n{k}" for k in range(16))))
    assert shown(plot_attribution(table, shape=(4, 4))).shape == (4, 4)


def test_gallery_of_a_table_has_bars_with_names_and_one_scale() -> None:
    a = replace(make(inputs=5), contract=DataContract(columns=tuple(f"n{k}" for k in range(16))))
    figure = plot_gallery(a)
    assert not any(ax.images for ax in figure.axes)
    panels = [ax for ax in figure.axes if ax.axison]
    assert len(panels) == 5
    for ax, one in zip(panels, a, strict=True):
        assert [label.get_text() for label in ax.get_yticklabels()] == [each.name for each in one.top(6)]
        assert ax.get_xlim() == panels[0].get_xlim()
    states = plot_gallery(make(inputs=2))
    assert states.axes[0].get_yticklabels()[0].get_text().startswith("|")


def test_target_class_is_what_the_sign_pushes_towards() -> None:
    a = replace(make(), contract=DataContract(classes=("a", "b", "c")), target=np.array(2))
    assert sign_label(a, ("a", "b", "c")).startswith("attribution to class c, ")
    assert sign_label(a).endswith("+ pushes towards it, - pushes away from it")


def test_label_leaves_out_trained_weights_and_a_long_list_of_observables() -> None:
    trained = "sigmoid(scale=1, weights=[[-35.756208414318294], [35.756208414318294]])"
    a = make()
    long = replace(a, assumptions=replace(a.assumptions, head=trained, observables=("Z(q(0))",) * 15))
    assert sign_label(long).splitlines()[0] == "attribution to sigmoid of 15 observables"
    assert "sigmoid(scale=5) of" in sign_label(replace(a, assumptions=replace(a.assumptions, head="sigmoid(scale=5)")))


def test_map_of_a_table_whose_input_is_not_known_has_its_names() -> None:
    a = replace(table_map(4), x=np.zeros(0), baseline=np.zeros(0))
    ax = plot_attribution(a)
    assert ax.get_yticklabels()[0].get_text() == "column 3"
    assert len(figure_of(ax).axes) == 1


def test_largest_of_many_basis_states_are_labelled() -> None:
    a = make(features=256)
    labels = [label.get_text() for label in plot_attribution(a).get_xticklabels()]
    assert f"{a.top(1)[0][0]:08b}" in labels
    assert len(labels) <= 8
