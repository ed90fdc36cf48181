"""The study of the classifier: its targets, its generated table, and a quick run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.runner.study import Done
from experiments.studies import classifier


def done(table: str, lead: float, *, warned: bool = False, accuracy: float = 0.9) -> list[Done[classifier.Task]]:
    """Return two results of a table, of 100 test rows, with an accuracy and what logistic regression is ahead by."""
    own, other = (np.arange(100) < round(100 * share) for share in (accuracy, accuracy + lead))
    result: dict[str, Any] = {"right": own.astype(int).tolist(), "regression right": other.astype(int).tolist()}
    result |= {
        "warnings": ["far ahead"] if warned else [],
        "classes": 2,
        "qubits": 3,
        "samples": 400,
        "params": 9,
        "seconds": 1.0,
    }
    return [Done(classifier.Task(table, seed), result, 1.0, {}) for seed in range(2)]


def all_tables(**changes: list[Done[classifier.Task]]) -> list[Done[classifier.Task]]:
    of = {name: done(name, 0.0, accuracy=0.95) for name in classifier.TABLES} | changes
    return [each for results in of.values() for each in results]


def test_targets_of_the_study_of_the_classifier() -> None:
    far = {name: done(name, 0.05, warned=True) for name in ("wine", "moons")}
    assert classifier.passes(all_tables(**far))
    assert not classifier.passes(all_tables(**far, iris=done("iris", 0.05, warned=True)))
    assert not classifier.passes(all_tables(wine=done("wine", 0.05)))
    assert classifier.passes(all_tables(wine=done("wine", 0.02)))
    assert not classifier.passes(all_tables(digits=done("digits", 0.0, accuracy=0.92)))


def test_summary_of_the_study_of_the_classifier() -> None:
    findings = classifier.summarise(all_tables(wine=done("wine", 0.05)))
    assert findings.findings[0].endswith("on 7 of 8 tables.")
    assert findings.findings[1].startswith("Behind: wine, by 0.050")
    assert len(findings.tables[0].rows) == 8


def test_table_with_categories_and_missing_values() -> None:
    table, _ = classifier.visitors(50)
    assert table.isna().to_numpy().any()
    train, test = classifier.numbers(table[:40], table[40:])
    assert train.shape == (40, 8)
    assert np.isfinite(test.to_numpy()).all()


@pytest.mark.slow
def test_quick_study_of_the_classifier(tmp_path: Path) -> None:
    assert classifier.STUDY.main(["--quick", "--out", str(tmp_path), "--workers", "1"]) == 0
