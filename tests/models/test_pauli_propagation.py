"""Lists of Pauli strings of a model: from its structure, from its matrix, and by truncated propagation."""

from __future__ import annotations

import cirq
import numpy as np
import pytest

from hattriq_cirq import Model, grid_ansatz, ring_ansatz
from hattriq_cirq.models import pauli_propagation
from hattriq_cirq.models.pauli_propagation import WeightedStrings, exact_strings, important_strings, structure_strings
from hattriq_cirq.models.pauli_strings import PauliStrings
from hattriq_cirq.workflows.generated_models import random_circuit


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("real", [True, False])
def test_structure_holds_every_string_of_the_matrix(seed: int, real: bool) -> None:
    model = random_circuit(4, seed=seed, gates="mixed", pairs=3)
    allowed, exact = set(structure_strings(model, real=real).texts), exact_strings(model, real=real)
    assert set(exact.strings.texts) <= allowed
    assert len(allowed) < 4**4 - 1


def test_structure_does_not_depend_on_the_angles() -> None:
    model = grid_ansatz(2, 2, 1)
    generic = model.with_params({name: 0.1 + 0.01 * i for i, name in enumerate(model.params)})
    assert structure_strings(model, real=True).texts == structure_strings(generic, real=True).texts
    assert set(structure_strings(model, real=True).texts) == set(exact_strings(generic, real=True).strings.texts)


def test_structure_stays_in_the_light_cone() -> None:
    strings = structure_strings(grid_ansatz(2, 4, 1), real=True)
    assert {text[2:4] + text[6:] for text in strings.texts} == {"IIII"}


def test_clifford_circuit_has_one_string() -> None:
    a, b = cirq.LineQubit.range(2)
    model = Model(cirq.Circuit(cirq.H(a), cirq.CNOT(a, b)), [a, b], cirq.Z(b))
    assert structure_strings(model, real=True).texts == ["XZ"]


def test_too_many_strings_are_refused_with_advice() -> None:
    with pytest.raises(ValueError, match="use strings='important', or fewer gates"):
        structure_strings(ring_ansatz(4, 3), real=True, limit=20)


@pytest.mark.parametrize("seed", range(3))
def test_propagation_without_truncation_gives_the_coefficients_of_the_matrix(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_circuit(3, seed=seed, gates="mixed")
    exact = exact_strings(model, real=False)
    monkeypatch.setattr(pauli_propagation, "MATRIX_QUBITS", 0)
    found = exact_strings(model, real=False)
    coefficients = dict(zip(found.strings.texts, found.coefficients, strict=True))
    np.testing.assert_allclose([coefficients[text] for text in exact.strings.texts], exact.coefficients, atol=1e-12)
    assert found.truncated_share == 0


def test_truncated_propagation_reports_the_share_that_it_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauli_propagation, "MATRIX_QUBITS", 0)
    found = exact_strings(random_circuit(4, seed=1), real=False, limit=30)
    assert len(found.strings) <= 90  # of three terms
    assert 0.01 < found.truncated_share < 1


def test_important_strings_are_the_fewest_that_hold_the_share() -> None:
    strings = PauliStrings.from_text(["ZI", "XI", "IZ"])
    found = important_strings(WeightedStrings(strings, np.array([0.1, 2.0, 1.0])), np.array([1.0, 1.0, 100.0]), 0.99)
    assert found.strings.texts == ["IZ", "XI"]
    assert found.truncated_share == pytest.approx(0.01 / 104.01)
