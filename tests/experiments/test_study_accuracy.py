"""Studies of accuracy and of maps: targets, right answers, and groups of basis states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.runner import phase_diagrams as phases
from experiments.runner.study import Done
from experiments.runner.trained_models import FASHION, SUBJECTS, present
from experiments.studies import accuracy
from experiments.studies.accuracy import STUDY, Task


def done(subject: str, seed: int, expectations: list[float], labels: list[int]) -> Done[Task]:
    share = float(np.mean(np.multiply(expectations, labels) > 0))
    found = {"train": 1.0, "test": share, "logistic train": 0.5, "logistic test": 0.5, "chance": 0.5}
    result = {"accuracy": found, "qubits": 4, "expectations": expectations, "labels": labels, "fields": []}
    return Done(Task(subject, seed), result, 1.0, {"versions": {}, "created_utc": "2026-01-01"})


def test_missed_target_is_reported_and_fails() -> None:
    met = [done("bars_clean", seed, [0.5, -0.5], [1, -1]) for seed in range(2)]
    missed = [done("digits", seed, [0.5, 0.5, -0.1, -0.2], [1, 1, -1, 1]) for seed in range(2)]
    assert STUDY.passes(met)
    assert not STUDY.passes(met + missed)
    section = STUDY.section(met + missed)
    assert section.findings[0] == "1 of 2 targets of mean test accuracy are met."
    assert section.findings[1].startswith("MISSED: digits reaches 0.750 [")
    assert "0.99 was wanted" in section.findings[1]
    assert section.accuracy is not None
    assert [row[-1] for row in section.accuracy.rows] == ["1.00 met", "0.99 MISSED"]


def test_mean_accuracy_equal_to_its_target_up_to_rounding_meets_it() -> None:
    subject = SUBJECTS["digits"]
    assert subject.meets(float(np.mean([0.99] * 3)))
    assert not subject.meets(0.9899)
    assert SUBJECTS["bad"].meets(0.0)


def test_expectation_of_zero_is_a_wrong_answer() -> None:
    assert accuracy.right({"expectations": [0.3, -0.3, 0.0], "labels": [1, 1, -1]}).tolist() == [1, 0, 0]


def test_fashion_mnist_is_used_only_if_its_folder_is_present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert present(("bars", "fashion", "fashion_28")) == ("bars",)
    assert "fashion" not in {task.subject for task in accuracy.tasks(False)}
    FASHION.mkdir(parents=True)
    assert present(("bars", "fashion", "fashion_28")) == ("bars", "fashion", "fashion_28")
    assert "fashion" in {task.subject for task in accuracy.tasks(False)}


def test_groups_of_basis_states_by_magnetisation_and_walls() -> None:
    groups = phases.basis_groups(4)
    expected = {"0000": (4, 0), "1111": (4, 0), "0001": (2, 2), "0110": (0, 2), "0101": (0, 4), "1011": (2, 2)}
    for bits, (magnetisation, walls) in expected.items():
        state = int(bits, 2)
        assert (2 * groups["magnetisation"][state], 2 * groups["walls"][state]) == (magnetisation, walls)
    sizes = np.bincount(phases.basis_groups(8)["magnetisation"])
    assert sizes.tolist() == [70, 112, 56, 16, 2]  # C(8, 4), 2 C(8, 3), ...
    assert np.bincount(phases.basis_groups(8)["walls"]).tolist() == [2, 56, 140, 58]  # 2 C(8, w); 56 + 2 of 6 or more


def test_interval_of_means_includes_the_sum_of_columns() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(seed, 1, (20, 3)) for seed in range(4)]
    found = phases.interval_of_means([*groups, np.zeros((0, 3))])
    values = np.concatenate(groups)
    np.testing.assert_allclose(found[0], [*values.mean(axis=0), values.sum(axis=1).mean()])
    assert np.all(found[1] < found[0])
    assert np.all(found[0] < found[2])
    alone = phases.interval_of_means(groups[:1])
    assert np.all((found[2] - found[1]) > (alone[2] - alone[1]))  # the spread between seeds is in it
