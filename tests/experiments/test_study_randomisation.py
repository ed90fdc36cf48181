"""The randomisation test and its two traps, in what a task returns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments.studies.randomisation import READINGS, Task, run


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return run(Task("digits", 0, 20, 2))


def test_the_cascade_starts_where_the_single_layers_start(result: dict[str, Any]) -> None:
    assert len(result["cascade"]) == len(result["independent"]) == 5
    assert result["cascade"][0] == result["independent"][0]
    assert result["cascade"][-1] != result["independent"][-1]
    for reading in READINGS:
        assert np.shape(result["cascade"][0][reading]) == (20,)


def test_signed_maps_forget_and_the_traps_do_not(result: dict[str, Any]) -> None:
    mean = {reading: np.mean(result["cascade"][-1][reading]) for reading in READINGS}
    assert abs(mean["signed"]) < 0.3 < min(mean["absolute"], mean["projector"])
    picture = result["picture_of_input"]["randomised"]
    assert np.mean(picture["projector"]) > 0.5
    assert result["permuted_accuracy"] < 0.9 < result["accuracy"]["test"]


def test_the_map_of_the_projector_is_half_the_map_and_half_the_input_squared(result: dict[str, Any]) -> None:
    example = result["example"]
    for when in ("trained", "randomised"):
        np.testing.assert_allclose(example[f"projector, {when}"], (example[when] + example["input"] ** 2) / 2, atol=1e-12)
