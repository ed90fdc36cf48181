"""Files of the classifier: what is read is what was written, and damage is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import change_bytes, change_json
from numpy.typing import NDArray
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

import hattriq_cirq as hq
from hattriq_cirq.foundation.reading import FileError

Array = NDArray[Any]
IRIS = load_iris(as_frame=True)
QUICK: dict[str, Any] = {"epochs": 5, "layers": 1, "learning_rate": 0.2}
quiet = pytest.mark.filterwarnings("ignore::hattriq_cirq.ClassifierWarning")


def labels(kind: str) -> Array:
    kinds: dict[str, Array] = {
        "text": IRIS.target_names[IRIS.target],
        "number": IRIS.target.to_numpy() * 10,
        "real": IRIS.target.to_numpy() * 1.0,
        "truth": IRIS.target.to_numpy() == 2,
    }
    return kinds[kind]


@quiet
@pytest.mark.parametrize("kind", ["text", "number", "real", "truth"])
def test_saved_classifier_is_the_same(tmp_path: Path, kind: str) -> None:
    y = labels(kind)
    settings = QUICK | {"validation_fraction": 0.2, "class_weight": {y[0]: 2.0, y[-1]: 1.0}} if kind != "real" else QUICK
    classifier = hq.AmplitudeClassifier(**settings).fit(IRIS.data, y)
    again = hq.AmplitudeClassifier.load(classifier.save(tmp_path / "classifier.json"))
    assert again.get_params() == classifier.get_params()
    assert again.classes_.dtype.kind == classifier.classes_.dtype.kind
    for method in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(again, method)(IRIS.data), getattr(classifier, method)(IRIS.data))
    assert (again.models_, again.measured_) == (classifier.models_, classifier.measured_)
    first, second = classifier.attribute(IRIS.data[:3]), again.attribute(IRIS.data[:3])
    np.testing.assert_array_equal(first.values, second.values)
    assert first.contract == second.contract
    np.testing.assert_array_equal(again.history_.validation_loss, classifier.history_.validation_loss)
    assert again.comparison_ == classifier.comparison_
    with pytest.raises(FileExistsError):
        classifier.save(tmp_path / "classifier.json")


@quiet
def test_function_as_ansatz_is_not_saved(tmp_path: Path) -> None:
    classifier = hq.AmplitudeClassifier(**QUICK, ansatz=hq.ring_ansatz).fit(IRIS.data.to_numpy(), IRIS.target)
    again = hq.AmplitudeClassifier.load(classifier.save(tmp_path / "c.json"))
    np.testing.assert_array_equal(again.predict(IRIS.data.to_numpy()), classifier.predict(IRIS.data.to_numpy()))
    with pytest.raises(ValueError, match="ansatz=None"):
        again.fit(IRIS.data, IRIS.target)


def test_classifier_that_is_not_fitted_has_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        hq.AmplitudeClassifier().save(tmp_path / "c.json")


@quiet
def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = hq.AmplitudeClassifier(**QUICK).fit(IRIS.data.to_numpy()[:60], labels("text")[:60]).save(tmp_path / "c.json")
    text = path.read_text()
    rng = np.random.default_rng(0)
    other = tmp_path / "damaged.json"
    refused = 0
    for i in range(120):
        other.write_bytes(change_json(text, rng).encode() if i % 2 else change_bytes(text.encode(), rng))
        try:
            classifier = hq.AmplitudeClassifier.load(other)
        except FileError:
            refused += 1
        else:  # a number or a name was changed
            assert classifier.predict_proba(IRIS.data.to_numpy()[:2]).shape == (2, 2)
    assert refused > 60


@quiet
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["setosa"]}, "its 1 classes must be at least 2"),
        ({"classes": ["versicolor", "setosa"]}, "its classes must be sorted"),
        ({"classes": ["a", "b"]}, "the classes of its contract"),
        ({"weights": [[1.0, 2.0]]}, r"weights must have the shape \(1, 1\)"),
        ({"mean_row": [1.0]}, r"mean_row must have the shape \(8,\)"),
        ({"observables": ["Z9"]}, "9"),
        ({"format": "hattriq_cirq.AmplitudeClassifier/2"}, "format"),
        ({"parameters": {"depth": 3}}, "its parameters depth are ones that this version does not know"),
        ({"encoding": {"shift": [0.0], "factor": [1.0], "constant": 1.0, "n_qubits": 3}}, "its contract has 4 features"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_wrong_entries_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = hq.AmplitudeClassifier(**QUICK).fit(IRIS.data[:100], labels("text")[:100]).save(tmp_path / "c.json")
    content = json.loads(path.read_text()) | changes
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        hq.AmplitudeClassifier.load(tmp_path / "wrong.json")
