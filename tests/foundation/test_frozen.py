"""No value keeps an object that its caller can change, or hands one out; and every value is pickled and copied whole."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import cirq
import numpy as np
import pytest
from scipy.sparse import csr_array

import hattriq_cirq as hq
from calibration.readout.calibration import ReadoutCalibration
from calibration.readout.correlated_calibration import CorrelatedCalibration
from hattriq_cirq.attribution.decomposition import Split
from hattriq_cirq.circuits.linear_maps import LinearMap
from hattriq_cirq.circuits.outcomes import Distribution, LinearTerm, OutcomeWeights, QuasiDistribution, SharedUncertainty
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.placement import Placement
from hattriq_cirq.encoding.exact import encode
from hattriq_cirq.estimators import BilinearTerm, Plan, plan
from hattriq_cirq.faithfulness.curves import Curve
from hattriq_cirq.foundation.frozen import FrozenDict, FrozenList
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.models.training import History
from hattriq_cirq.pipeline.mitigation import MitigationSummary
from hattriq_cirq.workflows.classical import LinearScore, NetworkScore, QuadraticScore

A, B = cirq.LineQubit.range(2)
MODEL = hq.ring_ansatz(2, 1)
X = np.array([0.5, 0.5, 0.3, -0.4])
SETTINGS: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=1)}


def assumptions() -> hq.Assumptions:
    return hq.Assumptions("quadratic", "exact", "identity", ["Z"], "0", notes=["a note"])  # type: ignore[arg-type]


def attribution() -> hq.Attribution:
    arrays: dict[str, Any] = {name: np.ones((2, 4)) for name in ("values", "stderr", "x", "baseline")}
    scores: dict[str, Any] = {name: np.ones(2) for name in ("f_input", "f_baseline", "completeness_gap_stderr")}
    versions = {"python": "3"}
    return hq.Attribution(
        **arrays, **scores, imag_values=np.ones((2, 4)), assumptions=assumptions(), provenance=Provenance(versions, "now")
    )


def dataset() -> Any:
    details = {"columns": ["a", "b"], "nested": {"list": [1, {"deep": [2]}]}}
    return hq.datasets.from_features(np.array([[1.0, 2], [2, 1], [1, 3], [3, 1]]), [1, -1, 1, -1], name="own", details=details)


def a_plan() -> Plan:
    return plan(hq.HadamardTest(), MODEL, [BilinearTerm(X.copy(), X.copy())])


#: Circuits of a plan, which are built for one run and belong to it.
PLANNED = (".circuit", ".preparation")
VALUES: dict[str, Callable[[], Any]] = {
    "Model": lambda: MODEL,
    "Assumptions": assumptions,
    "Attribution": attribution,
    "exact attribution": lambda: hq.integrated_gradients(MODEL, X, baseline=0),
    "measured attribution": lambda: hq.integrated_gradients(MODEL, X, **SETTINGS, shots=100),
    "Cost": lambda: hq.Cost(1, 2),
    "Provenance": lambda: Provenance({"python": "3"}, "now"),
    "Head": lambda: hq.Head("softmax", scale=5, target=1),
    "BaselineSet": lambda: hq.BaselineSet(np.ones((2, 4))),
    "Split": lambda: Split(np.ones(4), np.ones(4)),
    "BilinearTerm": lambda: BilinearTerm(np.ones(4), np.ones(4)),
    "Plan": a_plan,
    "Estimate": lambda: hq.estimate(MODEL, X, **SETTINGS, shots=100),
    "Resources": lambda: hq.resources(MODEL, X, 0, hq.HadamardTest()),
    "OutcomeWeights": lambda: OutcomeWeights(csr_array(np.array([[1.0, -1.0]])), 1),
    "SharedUncertainty": lambda: SharedUncertainty(np.eye(2)),
    "Distribution": lambda: Distribution.from_counts(np.array([3, 5])),
    "sparse Distribution": lambda: Distribution.from_outcomes(np.array([0, 2**30 - 1]), 30),
    "LinearMap": lambda: LinearMap((np.eye(2), np.ones(2))),
    "QuasiDistribution": lambda: QuasiDistribution(
        [LinearTerm(Distribution.from_counts(np.array([3, 5])), LinearMap((np.eye(2),)))],  # type: ignore[arg-type]
        {SharedUncertainty(np.eye(1)): np.ones((2, 1))},
    ),
    "ParameterizedCircuit": lambda: ParameterizedCircuit(
        cirq.Circuit(cirq.measure(A)),  # type: ignore[arg-type]
        [0],  # type: ignore[arg-type]
        [{"a": 1.0}],  # type: ignore[arg-type]
    ),
    "Placement": lambda: Placement({A: B}, encode, 0.1, []),  # type: ignore[arg-type]
    "Curve": lambda: Curve(np.array([0.0, 1.0]), np.ones((1, 2))),
    "History": lambda: History(np.ones(2), np.ones(2), np.ones(2), np.ones(2)),
    "Training": lambda: hq.train(hq.ring_ansatz(2, 1), np.eye(4), [1, -1, 1, -1], seed=0, epochs=1),
    "Dataset": dataset,
    "ApproximateEncoding": lambda: hq.encoding.approximate_encoding(X, (A, B), layers=1),
    "estimator": lambda: hq.ResolvedHadamardTest(measured=[0]),  # type: ignore[arg-type]
    "ReadoutCalibration": lambda: ReadoutCalibration(
        [cirq.GridQubit(0, 0)],  # type: ignore[arg-type]
        counts=np.array([[[9, 1], [2, 8]]]),
        source={"engine": "x"},
    ),
    "CorrelatedCalibration": lambda: CorrelatedCalibration(
        [A],  # type: ignore[arg-type]
        [Distribution(np.array(row), None) for row in ([0.98, 0.02], [0.1, 0.9])],  # type: ignore[arg-type]
    ),
    "MitigationSummary": lambda: MitigationSummary("id", ["a note"]),  # type: ignore[arg-type]
    "LinearScore": lambda: LinearScore(np.ones(2), 0.0),
    "QuadraticScore": lambda: QuadraticScore(np.eye(2)),
    "NetworkScore": lambda: NetworkScore(np.eye(2), np.ones(2), np.ones(2), 0.0),
}


def parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every part of a value with its path."""
    yield path, value
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            if getattr(value, field.name) is getattr(value, field.name):  # or else every access makes a new object
                yield from parts(getattr(value, field.name), f"{path}.{field.name}")
        for name, attribute in vars(type(value)).items():
            if isinstance(attribute, property | cached_property) and not name.startswith("_"):
                try:
                    first, second = getattr(value, name), getattr(value, name)
                except ValueError:  # a property that this value does not have
                    continue
                if first is second and not is_dataclass(first):
                    yield from parts(first, f"{path}.{name}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from parts(item, f"{path}[{key!r}]")
    elif isinstance(value, tuple | list | frozenset):
        for i, item in enumerate(value):
            yield from parts(item, f"{path}[{i}]")


def is_mutable(part: Any) -> bool:
    if isinstance(part, np.ndarray):
        while isinstance(part, np.ndarray):
            if part.flags.writeable:
                return True
            part = part.base
        return False
    if isinstance(part, csr_array):
        return any(is_mutable(array) for array in (part.data, part.indices, part.indptr))
    if isinstance(part, FrozenDict | FrozenList):
        return False
    return isinstance(part, list | dict | set | bytearray | cirq.PauliSum | cirq.Circuit)


@pytest.mark.parametrize("name", VALUES)
def test_no_part_of_a_value_can_be_changed(name: str) -> None:
    value = VALUES[name]()
    mutable = [path for path, part in parts(value, name) if is_mutable(part)]
    assert [path for path in mutable if not path.endswith(PLANNED)] == []


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("again", [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_copies_of_a_value_are_equal_and_cannot_be_changed(name: str, again: Callable[[Any], Any]) -> None:
    value = VALUES[name]()
    copied = again(value)
    assert type(copied) is type(value)
    for (path, part), (_, other) in zip(parts(value, name), parts(copied, name), strict=True):
        if isinstance(part, np.ndarray):
            np.testing.assert_array_equal(part, other)
        elif isinstance(part, str | int | float | cirq.AbstractCircuit | hq.Model):
            assert part == other or part != part, path
        assert not is_mutable(other) or path.endswith(PLANNED), path


def test_arrays_that_were_given_are_copied() -> None:
    rows, versions, notes = np.ones((2, 4)), {"python": "3"}, ["a note"]
    baseline, provenance = hq.BaselineSet(rows), Provenance(versions, "now")
    kept = replace(assumptions(), notes=notes)  # type: ignore[arg-type]
    view = np.broadcast_to(rows, (2, 4))
    from_view = hq.BaselineSet(view)
    rows[:], versions["python"] = 0, "4"
    notes.append("another")
    assert baseline.rows.all()
    assert from_view.rows.all()
    assert provenance.versions == {"python": "3"}
    assert kept.notes == ("a note",)


def test_frozen_mappings_and_lists_are_refused_changes_and_are_written_as_json() -> None:
    data = dataset()
    assert json.loads(json.dumps(data.details))["nested"] == {"list": [1, {"deep": [2]}]}
    assert data.details["columns"] == ["a", "b"]
    changes: list[Callable[[], Any]] = [
        lambda: data.details.update(a=1),
        lambda: data.details["columns"].append("c"),
        lambda: data.details["nested"]["list"][1].pop("deep"),
        lambda: data.details["columns"].sort(),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="belongs to a frozen value"):
            change()
    assert asdict(Provenance({"python": "3"}, "now")) == {"versions": {"python": "3"}, "created_utc": "now"}
