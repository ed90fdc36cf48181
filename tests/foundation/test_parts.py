"""Large batches in parts: any number of threads, and results on disk."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from hattriq_cirq.foundation import parts
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.parts import in_parts

X = np.random.default_rng(0).normal(size=(1000, 8))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 24)


@pytest.mark.parametrize("workers", [None, 1, 2, 5])
def test_results_of_parts_are_put_together_in_order(workers: int | None) -> None:
    found = in_parts(lambda part: {"double": 2 * X[part], "row": np.arange(1000)[part]}, X, workers)
    assert np.array_equal(found["double"], 2 * X)
    assert np.array_equal(found["row"], np.arange(1000))


def test_parts_run_on_as_many_threads_as_wanted() -> None:
    seen, both = set(), threading.Barrier(2, timeout=20)

    def function(part: slice) -> dict[str, Array]:
        if part.start in (3, 6):  # the first two parts after the first wait for each other
            both.wait()
        seen.add(threading.get_ident())
        return {"x": X[part]}

    in_parts(function, X, 2)
    assert len(seen) == 3  # this thread computes the first part


def test_error_of_a_part_stops_the_others() -> None:
    def function(part: slice) -> dict[str, Array]:
        if part.start == 30:
            raise ValueError("row 30")
        return {"x": X[part]}

    with pytest.raises(ValueError, match="row 30"):
        in_parts(function, X, 2)


def test_results_of_a_file_are_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = in_parts(lambda part: {"double": 2 * x[part], "sum": x[part].sum(axis=1)}, x)
    assert isinstance(found["double"], np.memmap)
    assert not isinstance(found["sum"], np.memmap)
    assert np.array_equal(found["double"], 2 * X)
