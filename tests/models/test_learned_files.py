"""Files of learned models: those of earlier versions are read, and everything that a campaign knew is in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.workflows.generated_models import random_ring

FIXTURES = Path(__file__).parents[1] / "fixtures" / "learned_1"


@pytest.mark.parametrize("name", ["first", "second"])
def test_file_of_an_earlier_version_gives_its_maps_and_tests(name: str) -> None:
    model = hq.Model.load(FIXTURES / "model.json")
    learned = hq.LearnedModel.load(FIXTURES / f"{name}.npz", model)
    expected = json.loads((FIXTURES / f"{name}.json").read_text())
    found = hq.integrated_gradients(learned, expected["x"], baseline=0)
    np.testing.assert_allclose(found.values, expected["values"], rtol=0, atol=1e-12)
    assert found.systematic is not None  # the error of the damping, which was a part of the standard error
    np.testing.assert_allclose(np.hypot(found.stderr, found.systematic), expected["stderr"], rtol=1e-6)
    assert learned.held_out_test().pvalue > 0.01
    assert learned.compare(model).pvalue > 0.01
    is_first = name == "first"
    assert (learned.contract is None, learned.record.snapshot_digest is None) == (is_first, is_first)
    assert (len(learned.record.readout_rates) == 0) == is_first


def test_file_holds_rates_snapshot_and_form_of_the_data(tmp_path: Path) -> None:
    table = hq.datasets.bars_and_stripes(side=2)
    model = random_ring(2, 1, seed=1).with_contract(table.contract)
    engine = hq.virtual("willow_pink", seed=1)
    learned = hq.learn_observable(model, engine=engine, shots=2_000, probes=20, mitigation="readout")
    loaded = hq.LearnedModel.load(learned.save(tmp_path / "learned.npz"), model)
    assert loaded.contract == learned.contract == table.contract
    assert loaded.record == learned.record
    assert engine.processor is not None
    assert loaded.record.snapshot_digest == engine.processor.snapshot_digest
    ((qubit, (e0, e1, *errors)),) = loaded.record.readout_rates.items()
    assert qubit in loaded.record.notes[1]
    assert 0 <= max(e0, e1, *errors) < 0.1
    np.testing.assert_array_equal(loaded.covariance, learned.covariance)
    other = hq.Model(model.circuit, model.qubits, -1 * model.pauli_sum, model.params)
    with pytest.raises(ValueError, match="belongs to a model with observable"):
        hq.LearnedModel.load(tmp_path / "learned.npz", other)


def test_accuracy_of_a_learned_model_is_that_of_the_model() -> None:
    data = hq.datasets.bars_and_stripes(side=2)
    model = hq.train(hq.ring_ansatz(2, 1), data.x_train, data.y_train, seed=0, epochs=5).model
    learned = hq.learn_observable(model, engine=hq.cirq_simulator(), shots=None, prior="none")
    assert hq.accuracy(learned, data.x_test, data.y_test) == hq.accuracy(model, data.x_test, data.y_test)
