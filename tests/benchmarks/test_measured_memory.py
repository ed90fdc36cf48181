"""The benchmark of memory: it sees the memory that a block takes, and its cases compute the right maps."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from benchmarks.memory import Case, cases, measured
from benchmarks.processes import Peak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read as Linux states it")


def test_peak_is_the_largest_memory_within_a_block() -> None:
    with Peak() as peak:
        kept = np.ones(2**22)
        freed = np.ones(2**23)
        time.sleep(0.2)  # for the thread that looks, on a busy machine too
        del freed
    assert 90 < peak.mib < 110
    assert kept.nbytes == 2**25


@pytest.mark.parametrize("candidate", [case.candidate for case in cases(quick=True) if case.qubits == 10])
def test_every_way_of_giving_inputs_computes_their_maps(candidate: str) -> None:
    found = measured(Case(candidate, 3, 20))  # compares maps with scores
    assert found["peak"] < 300
    assert found["seconds"] > 0
