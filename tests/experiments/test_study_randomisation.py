"""Results of the randomisation test, and the two choices that mislead it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments.studies.randomisation import VARIANTS, Task, run


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return run(Task("digits", 0, 20, 2))


def test_cascade_and_single_layers_start_with_the_same_layer(result: dict[str, Any]) -> None:
    assert len(result["cascade"]) == len(result["independent"]) == 5
    assert result["cascade"][0] == result["independent"][0]
    assert result["cascade"][-1] != result["independent"][-1]
    for variant in VARIANTS:
        assert np.shape(result["cascade"][0][variant]) == (20,)


def test_signed_maps_of_random_models_are_uncorrelated_but_absolute_ones_and_projectors_are_not(result: dict[str, Any]) -> None:
    mean = {variant: np.mean(result["cascade"][-1][variant]) for variant in VARIANTS}
    assert abs(mean["signed"]) < 0.3 < min(mean["absolute"], mean["projector"])
    picture = result["picture_of_input"]["randomised"]
    assert np.mean(picture["projector"]) > 0.5
    assert result["permuted_accuracy"] < 0.9 < result["accuracy"]["test"]


def test_map_of_the_projector_is_half_the_map_plus_half_the_squared_input(result: dict[str, Any]) -> None:
    example = result["example"]
    for when in ("trained", "randomised"):
        np.testing.assert_allclose(example[f"projector, {when}"], (example[when] + example["input"] ** 2) / 2, atol=1e-12)
