"""Study of learned models: the fit of slope and floor, the tasks and options, and the strings to which a list is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hattriq_cirq as hq
from experiments.runner.study import Done
from experiments.runner.trained_models import SUBJECTS
from experiments.studies.learned import LEARNED, STUDY, SUBJECT_CUTS, Task, most_important, slope_and_floor
from experiments.studies.learned_28 import STUDY as LARGE


def campaigns(amplitude: float, floor: float) -> list[Done[Task]]:
    """Return results of five seeds whose errors scatter by 5% about sqrt(amplitude^2 / shots + floor^2)."""
    done = []
    for seed in range(5):
        scatter = np.random.default_rng(seed).normal(1, 0.05, size=40)
        for shots in (10**7, 10**5, 10**6):  # the order does not matter
            error = scatter * np.hypot(amplitude / np.sqrt(shots), floor)
            done.append(Done(Task("digits35_grid", seed, 40, "structure", shots), {"error": error.tolist()}, 0.0, {}))
    return done


def test_slope_and_floor_of_known_errors() -> None:
    slope, floor = slope_and_floor(campaigns(20.0, 0.0))
    assert slope[0] == pytest.approx(-0.5, abs=1e-6)
    assert floor[0] == pytest.approx(0.0, abs=1e-4)
    slope, floor = slope_and_floor(campaigns(20.0, 0.03))
    assert -0.4 < slope[0] < -0.1
    assert floor[0] == pytest.approx(0.03, rel=0.03)
    assert floor[1][0] < 0.03 < floor[1][1]


def test_full_run_has_every_model_method_and_number_of_shots_for_five_seeds() -> None:
    tasks = STUDY.tasks(False)
    whole = {(t.subject, t.seed, t.method, t.shots) for t in tasks if t.is_learned and not t.strings}
    deep = [name for name in SUBJECT_CUTS if SUBJECTS[name].layers == 3]
    assert len(whole) == len(SUBJECT_CUTS) * 5 * len(LEARNED) * 3 - len(deep) * 5
    assert not [t for t in tasks if (t.method, t.shots) == ("structure", 10**5) and t.subject in deep]  # six shots a circuit
    large = LARGE.tasks(False)
    assert {t.subject for t in large} == {"mnist01_28_grid"}
    assert {(t.seed, t.method) for t in large} == {(seed, method) for seed in range(5) for method in LEARNED}
    assert all(t.inputs == 100 for t in tasks if t.is_learned)
    settings = {(t.seed, t.method, t.shots, t.strings): t.run_seed for t in tasks if t.is_learned}
    assert len(set(settings.values())) == len(settings)
    assert all(SUBJECTS[t.subject].target is not None for t in (*tasks, *large))


def test_options_choose_tasks_and_unknown_words_are_refused() -> None:
    def chosen(words: str) -> list[Task]:
        return list(STUDY.chosen_tasks(STUDY.parser().parse_args(words.split())))

    (task,) = chosen("--subjects mnist35_grid --methods structure --seeds 3 --shots 5000 --inputs 7 --mitigation readout")
    assert task == replace(Task("mnist35_grid", 3, 7, "structure", 5000), mitigation="readout")
    assert {t.method for t in chosen("--methods prepared")} == {"prepared", "prepared, reweighted"}
    for words, message in (
        ("--subjects mnist36_grid", "--subjects"),
        ("--methods learnt", "--methods"),
        ("--seeds 7", "--seeds"),
        ("--processor nowhere", "nowhere"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            chosen(words)


def test_most_important_strings_lead_to_the_smallest_error_of_maps() -> None:
    model, x = hq.grid_ansatz(2, 2, 2), np.random.default_rng(0).normal(size=(3, 16))
    angles = np.random.default_rng(1).uniform(-3, 3, len(model.params))
    model = model.with_params(dict(zip(model.params, angles.tolist(), strict=True)))
    chosen = most_important(model, x, 4)
    every = most_important(model, x, 10**6)
    assert every[:4] == chosen
    matrix = model.observable_action(np.eye(16)).T
    sizes = []
    for text in every:
        acted = _matrix(text)
        coefficient = float(np.real(np.trace(acted.conj().T @ matrix))) / 16
        sizes.append(coefficient**2 * float(np.mean(np.sum(np.abs(x) ** 2 * np.abs(x @ acted.T) ** 2, axis=1))))
    assert np.all(np.diff(sizes) < 1e-9)


def _matrix(text: str) -> np.ndarray[tuple[int, ...], np.dtype[np.complex128]]:
    paulis = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}
    matrix = np.eye(1, dtype=complex)
    for letter in text:
        matrix = np.kron(matrix, paulis[letter])
    return matrix
