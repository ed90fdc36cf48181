"""The benchmark of a GPU: all of its cases on small sizes in main memory, and its answer where there is no GPU."""

from __future__ import annotations

import re

import pytest

from benchmarks import gpu
from hattriq_cirq.foundation import devices
from hattriq_cirq.foundation.devices import Device, DeviceError


def test_without_a_gpu_nothing_is_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> list[Device]:
        raise DeviceError("no GPU was found: PyTorch sees no GPU")

    monkeypatch.setattr(devices, "gpus", none)
    gpu.main([])
    assert capsys.readouterr().out == "nothing is measured: no GPU was found: PyTorch sees no GPU\n"


@pytest.mark.torch
def test_all_cases_in_main_memory(capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--device", "torch", "--quick"])
    out = capsys.readouterr().out
    assert out.startswith("torch: main memory with PyTorch")
    for row in (r"\| 3 x 1 \| [\d.]+ ms", r"\| this library on torch \| [\d.]+ \|", r"\| everything counted \| [\d.]+ ms"):
        assert re.search(row, out), row


def test_results_that_differ_are_not_timed() -> None:
    with pytest.raises(ArithmeticError, match=r"a map differs by 1\.0e-03"):
        gpu._check("a map", [1.001], [1.0], 1e-4)
