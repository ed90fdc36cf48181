"""Studies of mitigation: error summaries, reproducible tasks, figures and findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest

from calibration import measure_correlated, measure_readout
from calibration.testing import FaultyReadout
from experiments.__main__ import main
from experiments.runner.bias_and_coverage import summarize_map_errors
from experiments.runner.figures import confusion_figure, drift_figure, error_figure, map_figure
from experiments.runner.study import Done
from experiments.studies import mitigation_report
from experiments.studies import noise_presets as mitigation
from experiments.studies.noise_presets import STUDIES, Task
from hattriq_cirq.execution.backends.simulators import sampler


def made(bias: float, spread: float, claimed: float, seed: int = 0, inputs: int = 200, runs: int = 4) -> dict[str, Any]:
    """Return a result with maps of four features, of norm 1, with normal errors."""
    exact = np.tile([0.5, -0.5, 0.5, -0.5], (inputs, 1))
    noise = np.random.default_rng(seed).normal(scale=spread, size=(inputs, runs, 4))
    values = exact[:, np.newaxis] * (1 + bias) + noise
    half_width = np.full(values.shape, 1.96 * claimed).tolist()
    maps = {"values": values.tolist(), "half_width": half_width, "variance_factor": [1.5] * inputs}
    return {"exact": exact.tolist(), "maps": {"1000": maps}}


def test_error_summary_of_known_errors() -> None:
    right = summarize_map_errors([made(bias=0.0, spread=0.1, claimed=0.1, seed=seed) for seed in range(5)], "1000")
    assert right.error[0] == pytest.approx(0.2, rel=0.05)  # 4 features of 0.1
    assert right.error[1][0] < 0.2 < right.error[1][1]
    assert right.coverage[0] == pytest.approx(0.95, abs=0.01)
    assert right.bias[0] < 0.04
    assert right.bias[1][0] == 0
    assert right.variance_factor == pytest.approx(1.5)
    biased = summarize_map_errors([made(bias=0.3, spread=0.1, claimed=0.1)], "1000")
    assert biased.bias[0] == pytest.approx(0.3, abs=0.01)
    assert biased.bias[1][0] > 0.28
    assert biased.coverage[0] < 0.75  # a bias of 1.5 standard errors


def test_title_of_the_drift_figure_is_its_verdict() -> None:
    engine = sampler(FaultyReadout(e0=0.01, e1=0.05, drift=0.05, over=80_000, seed=0))
    figure = drift_figure([measure_readout(engine, cirq.LineQubit.range(2), 10_000) for _ in range(4)])
    assert figure.axes[0].get_title().startswith("readout drifted: e1 of q(")


def test_confusion_figure_shows_the_difference_from_a_product() -> None:
    qubits = cirq.LineQubit.range(2)
    engine = sampler(FaultyReadout(qubits, e0=0.01, e1=0.05, pairs=[(0, 1, 0.04)], seed=0))
    figure = confusion_figure(measure_correlated(engine, qubits), measure_readout(engine, qubits))
    left, right = figure.axes[:2]
    assert right.get_title() == "correlated"
    assert np.asarray(left.images[0].get_array())[0, 3] == pytest.approx(0.04 * 0.95**2, abs=0.01)  # 00 read as 11


def test_error_figure_shows_intervals() -> None:
    lines = {
        "raw": {100: (0.2, (0.1, 0.3)), 1000: (0.1, (0.05, 0.2))},
        "product": {100: (0.4, (0.3, 0.5)), 1000: (0.1, (0.1, 0.1))},
    }
    figure = error_figure({"strong": lines, "drifting": lines})
    assert [ax.get_title() for ax in figure.axes] == ["strong", "drifting"]
    raw, product = figure.axes[0].lines
    np.testing.assert_array_equal(raw.get_xydata(), [[100, 0.2], [1000, 0.1]])
    np.testing.assert_array_equal(product.get_ydata(), [0.4, 0.1])
    band = np.asarray(figure.axes[0].collections[0].get_paths()[0].vertices)
    assert {tuple(point) for point in np.round(band, 9).tolist()} >= {(100, 0.1), (100, 0.3), (1000, 0.05), (1000, 0.2)}


def test_map_figure_has_one_scale_and_crosses_features_outside_their_intervals() -> None:
    exact = np.array([1.0, -2.0, 0.5, 0.0])
    far = exact + np.array([0, 0.3, 0, 0])
    figure = map_figure({"raw": (far, np.full(4, 0.2)), "product": (exact, np.full(4, 0.2))}, exact, "some maps")
    raw, product, last = figure.axes[:3]
    assert last.get_title() == "exact"
    np.testing.assert_array_equal(raw.lines[0].get_xydata(), [[1, 0]])  # second pixel of the first row
    assert np.size(product.lines[0].get_xdata()) == 0
    assert {ax.images[0].get_clim() for ax in (raw, product, last)} == {(-2.0, 2.0)}


def readout(method: str, shots: tuple[int, ...], noise: str = "strong") -> Task:
    return Task("resolved", noise, method, 0, 1, shots, runs=2)


def test_readout_task_is_reproducible_and_its_runs_differ() -> None:
    first, again = (mitigation.run(readout("TREX", (2_000,)))["maps"]["2000"]["values"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    values = np.array(first)
    assert not np.array_equal(values[:, 0], values[:, 1])  # every run has shots and a calibration of its own


@pytest.mark.slow
def test_readout_errors_of_a_virtual_processor_are_corrected() -> None:
    off = {}
    for method in mitigation.METHODS:
        result = mitigation.run(readout(method, (200_000,), "readout of willow_pink"))
        assert "calibrations" not in result
        maps, exact = result["maps"]["200000"], np.array(result["exact"])[:, np.newaxis]
        off[method] = maps["values"] - exact
        if method != "raw":
            assert (np.abs(off[method]) < 5 * maps["stderr"]).all()
            assert maps["cost"][0]["mitigation_shots"] == 40_000
    assert np.linalg.norm(off["raw"]) > 2 * np.linalg.norm(off["product"])


EXACT = np.array([0.3, -0.4, 0.0, 0.0])
PLAIN = {"train": 1.0, "test": 1.0, "logistic train": 0.5, "logistic test": 0.5, "chance": 0.5}
ORIGIN = {"versions": {}, "created_utc": "2026-01-01T00:00:00+00:00", "commit": "none"}


def maps(values: np.ndarray[Any, Any], gaps: list[float], costs: list[dict[str, float]]) -> dict[str, Any]:
    """Return two pictures' maps of one run each."""
    errors = {"stderr": [[[0.01] * 4]] * 2, "half_width": [[[0.02] * 4]] * 2}
    return {"values": [[values.tolist()]] * 2, **errors, "gap": [[gap] for gap in gaps], "cost": costs}


def cost(circuits: int, shots: int, extra: int, variance_factor: float, gates: int) -> dict[str, float]:
    return {
        "circuits": 1,
        "mitigation_circuits": circuits - 1,
        "shots": shots,
        "mitigation_shots": extra,
        "variance_factor": variance_factor,
        "two_qubit_gates": gates,
    }


def piped(option: str, seed: int, off: float) -> Done[Task]:
    """Return two pictures whose maps differ from the exact ones at right angles, by a share of their norm."""
    values = EXACT + off * np.array([0.4, 0.3, 0, 0])  # at right angles to the exact map and as long
    level = maps(values, [0.01, -0.03], [cost(34, 1_900_000, 100_000, 1.2, 20)])
    result = {"accuracy": PLAIN, "exact": [EXACT.tolist()] * 2, "maps": {"950000": level}}
    task = Task("resolved", "willow_pink", option, seed, 2, (950_000,))
    return Done(task, result, 1.0, ORIGIN)


@pytest.mark.parametrize(("off", "verdict"), [(0.05, "met, with both intervals; 4 of 4"), (0.2, "MISSED; 0 of 4")])
def test_target_of_the_best_pipeline_is_met_or_missed_by_its_numbers(off: float, verdict: str) -> None:
    best = "extrapolation, twirling, readout"
    done = [piped(o, seed, 0.5 if o == "none" else off) for o in ("none", best) for seed in (1, 2)]
    section = STUDIES["best_pipeline"].summarise(done)
    raw, mitigated = section.findings
    assert "MISSED" in raw
    assert f"median relative L2 error {off:.3f} [{off:.3f}, {off:.3f}]" in mitigated
    assert f"{1 / np.hypot(1, off):.4f} [" in mitigated  # the cosine of such a map
    assert verdict in mitigated
    row = section.tables[0].rows[1]
    assert row[:4] == ("clean pictures", best, "4", f"{off:.3f} [{off:.3f}, {off:.3f}]")
    assert row[6].startswith("1.000 [" if off < 0.1 else "0.500 [")  # features are off by 0.4 and 0.3 of that, and by 0
    assert row[7:9] == ("17", "1,000,000")


@pytest.mark.parametrize("name", ["readout_mitigation", "noise_mitigation", "best_pipeline", "gate_noise"])
def test_full_studies_have_all_inputs_of_five_seeds_and_ten_of_random_circuits_under_many_corrections(name: str) -> None:
    counts: dict[tuple[str, str, str, str, int], int] = {}
    shared: dict[tuple[str, str, int], set[tuple[int, str]]] = {}
    for task in chosen(name):
        if task.estimator == "resolved" and task.noise != mitigation_report.DEPOLARISING:
            key = (task.noise, task.mitigation, task.estimator, task.kind, task.seed)
            counts[key] = counts.get(key, 0) + task.inputs
            shared.setdefault((task.kind, task.subject, task.seed), set()).add((task.inputs, task.mitigation))
    random = 3 * mitigation.OF_RANDOM if name in ("readout_mitigation", "noise_mitigation") else 100
    few = {key: count for key, count in counts.items() if count != {"clean": 28, "dense": 100, "random": random}[key[3]]}
    assert {option for _, option, *_ in few} == ({mitigation_report.LONGEST} if name == "noise_mitigation" else set())
    assert {key[3] for key in counts} == set(mitigation.KINDS)
    assert all(len({seed for *own, seed in counts if own == rest}) == 5 for *rest, _ in counts)
    for pairs in shared.values():  # pipelines share their inputs
        assert len({inputs for inputs, option in pairs if option != mitigation_report.LONGEST}) == 1


@pytest.mark.parametrize("kind", mitigation.KINDS)
def test_models_and_inputs_follow_from_seed_and_kind_alone(kind: str) -> None:
    subject = next(iter(mitigation.KINDS[kind]))
    task = Task("resolved", "willow_pink", "none", 3, 2, (0,), kind, subject=subject)
    model, x, _ = mitigation.case(task)
    again, y, _ = mitigation.case(replace(task, mitigation="readout", noise="weber", shots=(5,), inputs=4))
    assert model == again
    np.testing.assert_array_equal(x, y[:2])
    assert not np.array_equal(x, mitigation.case(replace(task, seed=4))[1])
    assert np.count_nonzero(x) == x.size if kind != "clean" else np.count_nonzero(x) < x.size


def corrected(option: str, seed: int, off: float, kind: str = "clean", shots: Sequence[int] = mitigation.SHOTS) -> Done[Task]:
    """Return two inputs whose maps are off by a share of themselves, more so at fewer shots."""
    levels = {mitigation_report.EXACT: off} | {str(n): off + 10 / n for n in shots}
    costs = [cost(3, 0, 100, 1.0, 20), cost(5, 0, 300, 2.0, 22)]
    result = {
        "accuracy": PLAIN,
        "exact": [EXACT.tolist()] * 2,
        "maps": {name: maps(EXACT * (1 - size), [size, -size], costs) for name, size in levels.items()},
    }
    task = Task("resolved", "willow_pink", option, seed, 2, (0, *shots), kind)
    return Done(task, result, 1.0, ORIGIN)


def test_mitigations_are_compared_on_the_same_pictures() -> None:
    sizes = {"none": 0.2, "twirling": 0.1, "decoupling": 0.3}
    section = STUDIES["noise_mitigation"].summarise([corrected(o, seed, off) for o, off in sizes.items() for seed in (20, 21)])
    best, compared = section.findings
    assert "the smallest median error is that of twirling, 0.100 [0.100, 0.100]" in best
    assert "smaller with twirling (0.50 [0.50, 0.50]). Larger with decoupling (1.50 [1.50, 1.50])" in compared
    exact, counted, bias, shots = section.tables
    assert exact.columns == ("correction", "clean pictures")
    assert exact.rows[1] == ("twirling", "0.100 [0.100, 0.100]")
    assert counted.rows[2][1].startswith("0.300 [")
    assert bias.rows[1] == ("twirling", "4", *(f"{v:.3f} [{v:.3f}, {v:.3f}]" for v in (0.1, 1.0, 0.9, 0.1)))
    assert shots.rows[0][1].startswith("0.201 [")  # 0.2 + 10 / 10,000
    assert section.cost is not None
    assert section.cost.rows[1] == ("twirling", "4.0", "21", "200", "1.5")


def test_a_number_of_shots_that_random_circuits_cannot_serve_is_left_out_of_their_tables_and_named() -> None:
    kinds = [("clean", mitigation.SHOTS), ("random", mitigation.SHOTS_OF_RANDOM)]
    section = STUDIES["noise_mitigation"].summarise([corrected("none", 20, 0.2, *kind) for kind in kinds])
    clean, random = (table.columns for table in section.tables if table.caption.startswith("With shots: "))
    assert [column for column in clean if column not in random] == ["error, 10,000 shots", "error, 100,000 shots"]
    assert [column for column in random if column not in clean] == ["error, 200,000 shots"]
    left_out = section.assumptions["not measured"]
    assert left_out.startswith("random circuits with dense random inputs at 10,000, 100,000 shots: ")
    levels = {task.kind: task.shots for task in mitigation.noise_mitigation_tasks(False)}
    assert levels == {
        "clean": (0, *mitigation.SHOTS),
        "dense": (0, *mitigation.SHOTS),
        "random": (0, *mitigation.SHOTS_OF_RANDOM),
    }
    only = STUDIES["noise_mitigation"].summarise([corrected("none", 20, 0.2)])
    assert "not measured" not in only.assumptions


def test_longest_mitigation_is_applied_to_the_first_inputs_of_the_others() -> None:
    full = mitigation.noise_mitigation_tasks(False)
    longest = [task for task in full if task.mitigation == mitigation_report.LONGEST]
    assert {task.inputs for task in longest} == {mitigation_report.OF_LONGEST}
    assert {task.mitigation for task in full} == set(mitigation.OPTIONS)
    one, two = (mitigation.run(Task("resolved", "willow_pink", "none", 20, inputs)) for inputs in (1, 2))
    np.testing.assert_allclose(one["exact"][0], two["exact"][0], rtol=0, atol=1e-12)
    assert not np.allclose(two["exact"][0], two["exact"][1])


def chosen(name: str, *words: str) -> list[Task]:
    study = STUDIES[name]
    return list(study.chosen_tasks(study.parser().parse_args(words)))


def test_settings_of_a_preset_are_options_of_its_command() -> None:
    made = chosen("noise_mitigation", "--processor", "weber", "--mitigation", "twirling", "--subject", "bars")
    assert {task.mitigation for task in made} == {"none", "twirling"}
    assert {(task.noise, task.subject) for task in made if task.kind != "random"} == {("weber", "bars")}
    assert {task.subject for task in made if task.kind == "random"} == set(mitigation.KINDS["random"])


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("option", ["--mitigation", "--processor", "--subject"])
def test_unknown_word_of_an_option_is_refused_with_the_known_ones(
    name: str, option: str, quick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [name, option, "bogus", *["--quick"] * quick]
    assert main(words) == 1
    printed = capsys.readouterr().err
    assert f"{option}{', with --quick,' * (quick and option == '--mitigation')}='bogus' must be" in printed
    known = {
        "--mitigation": {repr(task.mitigation) for task in chosen(name, *words[3:])},
        "--processor": {"willow_pink", "weber", "rainbow"},
        "--subject": {"bars", "bars3"},
    }
    assert all(word in printed or word.strip("'") in printed for word in known[option])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("noise_mitigation", ("--mitigation", "twirling"), "must be 'none' or 'twirling, readout'"),
        ("readout_mitigation", ("--processor", "weber"), "changes nothing"),
        ("best_pipeline", ("--subject", "digits"), "must be 'bars_clean', 'bars', 'bars3' or 'bars_held_out'"),
    ],
)
def test_option_without_an_effect_on_the_quick_run_is_refused(name: str, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chosen(name, "--quick", *words)
