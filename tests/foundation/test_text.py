"""Numbers in texts: the noun of a number agrees with it, in every text that a single thing can reach."""

from __future__ import annotations

import numpy as np
import pytest

import hattriq_cirq as hq
from calibration import CorrelatedReadout, NoiseEstimation, PauliTwirling, Readout

ONE = hq.ring_ansatz(1, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (str(hq.resources(ONE, [0.6, 0.8], 0, hq.ResolvedHadamardTest())), "1 circuit on 2 qubits"),
        (repr(hq.Model(ONE.circuit[:0], ONE.qubits, ONE.observable)), "Model(1 qubit, 0 gates, 0 params, "),
        (repr(hq.integrated_gradients(ONE, [[0.6, 0.8]], baseline=0)), "Attribution of 1 input, 2 features"),
        (repr(hq.train(ONE, np.eye(2), [1, -1], epochs=1, seed=0)), "Training(1 epoch in"),
        (PauliTwirling(twirls=1).describe(), "(1 gauge, "),
        (NoiseEstimation(circuits=1).describe(), "(1 circuit, "),
        (Readout(shots=1).describe(), "1 shot a state"),
        (CorrelatedReadout(shots=1).describe(), "1 shot a state"),
    ],
)
def test_noun_of_one_is_in_the_singular(text: str, words: str) -> None:
    assert words in text
