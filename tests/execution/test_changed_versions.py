"""Runs that are continued with other versions of the software: their results say so."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.execution.journal import Journal
from hattriq_cirq.foundation import provenance

X = np.array([[0.5, 0.5, 0.3, -0.4], [0.1, 0.2, 0.3, 0.4]])


def attribute(folder: Path) -> hq.Attribution:
    engine = hq.cirq_simulator(seed=1, journal=folder)
    assert engine.journal is not None
    with engine.journal:
        return hq.integrated_gradients(
            hq.ring_ansatz(2, layers=1), X, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=100
        )


@pytest.mark.parametrize("stored", [0, 1])
def test_result_of_a_run_continued_with_other_versions_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: int
) -> None:
    undisturbed = attribute(tmp_path / "whole")
    assert not any("version" in note for note in undisturbed.assumptions.notes)
    count, store = [0], Journal.store

    def interrupt(journal: Journal, *arguments: object) -> None:
        if count[0] == stored:
            raise KeyboardInterrupt
        count[0] += 1
        store(journal, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "store", interrupt)
        patch.setattr(provenance, "_versions", lambda: {"python": "3.10.1", "numpy": "2.0.0", "scipy": "1.15"})
        with pytest.raises(KeyboardInterrupt):
            attribute(tmp_path / "run")
    resumed = attribute(tmp_path / "run")
    np.testing.assert_array_equal(resumed.values, undisturbed.values)
    (note,) = (note for note in resumed.assumptions.notes if "version" in note)
    assert note.startswith(f"This run was continued with other versions: python 3.10.1, then {platform.python_version()};")
    assert f"numpy 2.0.0, then {np.__version__}" in note
    assert attribute(tmp_path / "run").assumptions.notes == resumed.assumptions.notes


def test_versions_that_only_open_a_journal_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "_versions", lambda: {"numpy": "2.0.0"})
        hq.cirq_simulator(seed=1, journal=tmp_path).journal.close()  # type: ignore[union-attr]
    assert not any("version" in note for note in attribute(tmp_path).assumptions.notes)
