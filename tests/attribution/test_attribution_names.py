"""Names of features and classes in attributions: those of the model, kept by files, parts and joined files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.foundation.contract import DataContract

CONTRACT = DataContract(columns=("length", "width", "mass"), classes=("no", "yes"), units=("mm", "mm", ""), constant=True)
MODEL = hq.ring_ansatz(2, layers=1).with_contract(CONTRACT)
X = np.array([[0.5, 0.5, 0.5, 0.5], [0.8, 0.0, 0.6, 0.0]])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"form": "normalized", "head": hq.Head("tanh", 2.0)},
        {"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=1), "shots": 100},
        {"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=1), "shots": 100, "scores": "measured"},
    ],
    ids=("exact", "normalized", "sampled", "measured scores"),
)
def test_attribution_has_the_contract_of_its_model(options: dict[str, object]) -> None:
    a = hq.integrated_gradients(MODEL, X, baseline=1 / 4, **options)  # type: ignore[arg-type]
    assert a.contract is MODEL.contract
    assert [a[1].feature_name(k) for k in range(4)] == ["length", "width", "mass", "constant"]
    assert hq.integrated_gradients(hq.ring_ansatz(2, 1), X, baseline=1 / 4, **options).contract is None  # type: ignore[arg-type]


def test_attribution_of_a_learned_model_has_its_contract() -> None:
    learned = hq.learn_observable(MODEL, engine=hq.qsim(seed=1), shots=1000, inputs=X)
    a = hq.integrated_gradients(learned, X, baseline=0)
    assert a.contract == CONTRACT
    assert hq.integrated_gradients([learned, learned], X, baseline=0, head=hq.Head("softmax")).contract == CONTRACT


def test_names_survive_files_and_indexing(tmp_path: Path) -> None:
    a = replace(
        hq.integrated_gradients(MODEL, X, baseline=0),
        target=np.array([1, 0]),
        predicted=np.array([1, 0]),
        probability=np.array([0.75, 0.5]),
    )
    loaded = hq.Attribution.load(a.save(tmp_path / "a.npz"))
    assert loaded == a
    assert loaded[0].contract == CONTRACT
    assert [loaded[1].target, loaded[1].predicted, loaded[0].probability] == [0, 0, 0.75]
    joined = hq.Attribution.join([loaded[:1].save(tmp_path / "1.npz"), loaded[1:].save(tmp_path / "2.npz")], tmp_path / "3.npz")
    assert hq.Attribution.load(joined) == a


def test_files_of_other_contracts_are_not_joined(tmp_path: Path) -> None:
    a = hq.integrated_gradients(MODEL, X, baseline=0)
    other = replace(a, contract=replace(CONTRACT, columns=("length", "width", "price")))
    with pytest.raises(ValueError, match="different settings"):
        hq.Attribution.join([a.save(tmp_path / "1.npz"), other.save(tmp_path / "2.npz")], tmp_path / "3.npz")


@pytest.mark.parametrize(
    ("name", "array"),
    [("target", [0, 2]), ("predicted", [-1, 0]), ("target", [0.5, 1.0]), ("predicted", [1]), ("probability", [0.5])],
    ids=str,
)
def test_classes_that_do_not_exist_are_refused(name: str, array: list[float]) -> None:
    entry: dict[str, Any] = {name: np.array(array)}
    with pytest.raises(ValueError, match=name):
        replace(hq.integrated_gradients(MODEL, X, baseline=0), **entry)
