"""Plots of interactions, counterfactuals and correlation orders: what they draw, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.models.model import Model
from hattriq_cirq.reporting.plotting import png

X = np.array([0.5, 0.1, 0.7, 0.5])


@pytest.fixture(scope="module")
def model() -> Model:
    model = hq.ring_ansatz(2, layers=2)
    rng = np.random.default_rng(3)
    return model.with_params({name: rng.normal() for name in model.params})


def test_strongest_pairs_are_lines_in_the_colour_of_their_sign(model: Model) -> None:
    found = hq.interactions(model, X)
    pairs = found.pairs(top=3)
    ax = hq.plot_interactions(found, shape=(2, 2), x=X, top=3)
    assert ax.get_title() == "the 3 strongest pairs"
    assert len(ax.lines) == 3
    strongest = ax.lines[-1]
    assert strongest.get_linewidth() == max(line.get_linewidth() for line in ax.lines)
    assert strongest.get_color() == ("#c23b3b" if pairs[0].value > 0 else "#3372b5")
    ends = {divmod(pairs[0].first, 2), divmod(pairs[0].second, 2)}
    drawn = np.array(strongest.get_xydata())[[0, -1]]
    assert {(round(y), round(x)) for x, y in drawn} == ends
    assert png(ax)[1:4] == b"PNG"


def test_matrix_is_drawn_with_its_names(model: Model) -> None:
    found = hq.interactions(model, X, groups=[0, 1, 1, 0])
    ax = hq.plot_interactions(found, names=["edge", "middle"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["edge", "middle"]
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), found.values)


def test_pairs_that_errors_may_explain_are_dashed() -> None:
    values, stderr = np.array([[0, 0.1], [0.1, 0]]), np.array([[0, 0.2], [0.2, 0]])
    found = hq.Interactions(values, stderr, np.arange(2), np.arange(2))
    assert hq.plot_interactions(found, shape=(1, 2)).lines[0].get_linestyle() == "--"


def test_counterfactual_shows_input_change_result_and_map(model: Model) -> None:
    found = hq.counterfactual(model, X)
    map_ = hq.integrated_gradients(model, X, baseline=0)
    for shape in ((2, 2), None):
        figure = hq.plot_counterfactual(found, shape=shape, attribution=map_)
        titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
        assert titles == ["input", "least change", "changed input", "map of the input"]
        assert f"distance of {float(found.distance):.3g}" in figure.get_suptitle()
    images = hq.plot_counterfactual(found, shape=(2, 2)).axes[1].images
    np.testing.assert_allclose(np.asarray(images[0].get_array()).ravel(), found.change)


def test_level_out_of_reach_is_the_title() -> None:
    found = hq.counterfactual(hq.ring_ansatz(1, 0), [0.6, 0.8], free=[False, False], level=0.5)
    assert "out of reach" in hq.plot_counterfactual(found).get_suptitle()


def test_orders_of_a_batch_show_means(model: Model) -> None:
    orders = hq.correlation_orders(model, np.array([X, X[::-1]]))
    ax = hq.plot_orders(orders)
    np.testing.assert_allclose([bar.get_height() for bar in ax.containers[0]], orders.by_weight.mean(axis=0))
    assert "mean" in ax.get_ylabel()


def test_batches_and_wrong_shapes_are_refused(model: Model) -> None:
    batch = np.array([X, X])
    with pytest.raises(ValueError, match=r"as in interactions\[0\]"):
        hq.plot_interactions(hq.interactions(model, batch))
    with pytest.raises(ValueError, match=r"as in counterfactual\[0\]"):
        hq.plot_counterfactual(hq.counterfactual(model, batch))
    assert hq.plot_interactions(hq.interactions(model, batch)[0]).images
    assert hq.plot_counterfactual(hq.counterfactual(model, batch)[1]).axes
    with pytest.raises(ValueError, match="shape"):
        hq.plot_interactions(hq.interactions(model, X), shape=(3, 2))
    with pytest.raises(ValueError, match="that of the input"):
        hq.plot_counterfactual(hq.counterfactual(model, X), attribution=hq.integrated_gradients(model, batch, baseline=0))


def test_names_are_ticks_of_every_picture_of_a_table_as_they_are(model: Model) -> None:
    names = ["$cost$", "a_b^2", "x" * 40, "<b>"]
    pairs, changes, maps = (
        hq.interactions(model, X),
        hq.counterfactual(model, X),
        hq.integrated_gradients(model, X, baseline=0),
    )
    figures = (
        hq.plot_interactions(pairs, names=names),
        hq.plot_counterfactual(changes, names=names).axes[-1],
    )
    shown = ["$cost$", "a_b^2", "x" * 23 + "…", "<b>"]
    for ax in figures:
        assert [label.get_text() for label in ax.get_xticklabels()] == shown
        assert not any(label.get_parse_math() for label in ax.get_xticklabels())
        assert png(ax)[1:4] == b"PNG"
    ax, map_ax = hq.plot_attribution(maps, names=names).figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [shown[each.feature] for each in maps.top(4)]
    assert not any(label.get_parse_math() for each in (ax, map_ax) for label in each.get_yticklabels())
    assert png(ax)[1:4] == b"PNG"
    with pytest.raises(ValueError, match="names hold 3 names"):
        hq.plot_interactions(pairs, names=names[:3])
    with pytest.raises(ValueError, match="names hold 3 names"):
        hq.plot_counterfactual(changes, names=names[:3])
    with pytest.raises(ValueError, match="names hold 3 names"):
        hq.plot_attribution(maps, names=names[:3])


def test_some_rows_of_an_image_are_drawn_and_some_columns_refused(model: Model) -> None:
    found = hq.interactions(model, X)
    rows = found.select([3, 1], range(4))
    assert len(hq.plot_interactions(rows, shape=(2, 2)).lines) == len(rows.pairs())
    for part in (found.select([0, 3], [0, 1]), found.select(range(4), [1, 0])):
        with pytest.raises(ValueError, match="not all pixels as columns"):
            hq.plot_interactions(part, shape=(1, 2))


def test_orders_of_no_input_are_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="nothing to plot"):
        hq.plot_orders(hq.correlation_orders(model, np.zeros((0, 4))))
