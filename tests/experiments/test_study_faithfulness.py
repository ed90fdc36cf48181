"""Studies of faithfulness and baselines: intervals of many columns, the grid, and the map of the exact rule."""

from __future__ import annotations

import numpy as np
from strategies import assert_close

from experiments.runner.bootstrap import nested_bootstrap, nested_interval
from experiments.runner.faithfulness_metrics import METRICS
from experiments.runner.trained_models import Task
from experiments.studies import baselines, faithfulness


def test_bootstrap_of_many_columns_agrees_with_that_of_one() -> None:
    rng = np.random.default_rng(1)
    groups = [rng.normal(loc=g, size=(40, 2)) for g in range(5)]
    groups[0][:10, 1] = np.nan
    mean, low, high = nested_bootstrap(groups, by_counts=True)
    for column in range(2):
        one = [group[:, column] for group in groups]
        assert_close(mean[column], np.nanmean(np.concatenate(one)))
        assert_close(np.array([low[column], high[column]]), np.array(nested_interval(one)), 0.15, high[column] - low[column])


def test_bootstrap_of_a_column_of_nan_is_nan() -> None:
    assert np.isnan(nested_bootstrap([np.full((3, 1), np.nan)], by_counts=True)).all()


def test_map_of_the_exact_rule_sums_to_the_form_of_the_labels() -> None:
    x, truth = np.random.default_rng(0).normal(size=(5, 4)), np.array([True, False, True, False])
    assert_close(faithfulness._rule("xor", x, truth).sum(axis=1), 2 * x[:, 0] * x[:, 2])
    one = np.array([False, True, False, False])
    assert_close(faithfulness._rule("planted", x, one).sum(axis=1), 2 * x[:, 1] ** 2 - np.sum(x**2, axis=1))


def test_grid_of_baselines_is_complete_and_beats_random_maps_under_the_own_imputer() -> None:
    result = baselines.run(Task("bars", 0, 10))
    grid = result["grid"]
    assert set(grid) == {*baselines.BASELINES, baselines.CONTROL}
    for row in grid.values():
        assert set(row) == set(baselines.BASELINES)
        assert all(set(cell) == set(METRICS) for cell in row.values())
    for name in baselines.BASELINES:
        assert_close(np.array(result["spearman"][name][name]), np.ones(10))
    own = [np.nanmean(np.array(grid[name][name]["SRG"], dtype=float)) for name in baselines.BASELINES]
    chance = [np.nanmean(np.array(grid[baselines.CONTROL][name]["SRG"], dtype=float)) for name in baselines.BASELINES]
    assert (np.array(own) > np.array(chance)).all()
