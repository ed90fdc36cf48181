"""Scores that are measured in the run, and normalized forms and heads from circuits: exact, with their errors, and resumed."""

from __future__ import annotations

import shlex
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from entangled_pair import CIRCUIT, ESTIMATORS, LINE, MODEL, OBSERVABLE, B, X
from oracle import Oracle, pauli_matrix, sigmoid, softmax, tanh, unitary
from sampled_estimates import sampled_estimates
from strategies import Array

import calibration
import hattriq_cirq as hq
from hattriq_cirq.attribution.measured_path import MeasuredPath
from hattriq_cirq.attribution.objective import Objective
from hattriq_cirq.circuits.errors import CapReachedError
from hattriq_cirq.cli import main
from hattriq_cirq.execution.caps import CapWarning

OBSERVABLES = [OBSERVABLE, -0.5 * cirq.Z(LINE[1])]
pytestmark = pytest.mark.filterwarnings("ignore::hattriq_cirq.IdentityPartWarning")

CASES = [
    ("quadratic", None, lambda z: z[..., 0]),
    ("normalized", None, lambda z: z[..., 0]),
    ("normalized", hq.Head("sigmoid", 3), sigmoid(3)),
    ("quadratic", hq.Head("tanh", 0.5), tanh(0.5)),
]


def matrices() -> list[Array]:
    u = unitary(CIRCUIT, LINE)
    return [u.conj().T @ pauli_matrix(o, LINE) @ u for o in OBSERVABLES]


@cache
def by_oracle(form: str, head: int) -> tuple[Array, float, float]:
    oracle = Oracle([matrices()[0]], form, CASES[head][2])
    values = sum(oracle.integrated_gradients(X, B))
    return np.asarray(values), float(oracle.score(X)), float(oracle.score(B))


def attribution(case: int, estimator: Any, **options: Any) -> hq.Attribution:
    form, head, _ = CASES[case]
    options = {"baseline": B, "form": form, "head": head, "estimator": estimator, "shots": None} | options
    return hq.integrated_gradients(MODEL, X, **{"engine": hq.cirq_simulator(), **options})


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_maps_and_scores_from_circuits_are_those_of_the_oracle(case: int, estimator: Any) -> None:
    values, at_x, at_b = by_oracle(CASES[case][0], case)
    a = attribution(case, estimator, scores="measured")
    np.testing.assert_allclose(a.values, values, rtol=0, atol=1e-9)
    np.testing.assert_allclose([a.f_input, a.f_baseline], [at_x, at_b], rtol=0, atol=1e-10)
    assert a.assumptions.scores == "measured"
    assert a.f_input_stderr == 0
    plain = attribution(case, estimator)
    np.testing.assert_allclose([plain.f_input, plain.f_baseline], [at_x, at_b], rtol=0, atol=1e-12)
    assert plain.f_input_stderr is None
    assert plain.assumptions.scores == "exact"


def test_measured_scores_are_not_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    def simulated(*_: Any, **__: Any) -> None:
        raise AssertionError("the model is simulated")

    for name in ("observable_action", "action_of_amplitudes", "action_of_rows", "expectation", "announce"):
        monkeypatch.setattr(hq.Model, name, simulated)
    for case in range(4):
        attribution(case, hq.ResolvedHadamardTest(), scores="measured")
    with pytest.raises(AssertionError, match="the model is simulated"):
        attribution(0, hq.ResolvedHadamardTest())


def test_softmax_over_observables_and_a_set_of_baselines_from_circuits() -> None:
    rows = np.stack([B, X[::-1] / 2])
    a = hq.integrated_gradients(
        MODEL,
        X,
        baseline=hq.BaselineSet(rows),
        head=hq.Head("softmax", scale=2, target=1),
        observables=OBSERVABLES,
        estimator=hq.ResolvedHadamardTest(),
        engine=hq.cirq_simulator(),
        shots=None,
        scores="measured",
    )
    oracle = Oracle(matrices(), "quadratic", softmax(2, 1))
    wanted = np.mean([np.sum(oracle.integrated_gradients(X, b), axis=0) for b in rows], axis=0)
    np.testing.assert_allclose(a.values, wanted, rtol=0, atol=1e-9)
    np.testing.assert_allclose(a.f_baseline, np.mean([oracle.score(b) for b in rows]), atol=1e-10)
    assert a.assumptions.observables == tuple(MODEL.with_observable(o).observable_text for o in OBSERVABLES)


@pytest.mark.parametrize(
    ("case", "scores"),
    [
        (0, "measured"),
        pytest.param(1, "exact", marks=pytest.mark.slow),
        (2, "measured"),
        pytest.param(3, "exact", marks=pytest.mark.slow),
    ],
)
def test_errors_of_maps_gaps_and_scores_cover_them(case: int, scores: str) -> None:
    values, at_x, at_b = by_oracle(CASES[case][0], case)
    form, head, _ = CASES[case]
    options: dict[str, Any] = {"baseline": B, "form": form, "head": head, "scores": scores, "shots": 20_000}
    prepared = hq.prepare(MODEL, X, estimator=hq.ResolvedHadamardTest(), engine=hq.cirq_simulator(), **options)
    pulls, covered = list[Array](), list[Array]()
    for estimates in sampled_estimates(prepared, 50, case):
        found = prepared.combine[0](estimates)
        gap = found.values.values.sum() - (at_x - at_b)
        if found.scores is not None:
            gap = found.values.values.sum() - float(np.diff(found.scores.values[::-1])[0])
        own: list[Any] = [(found.values.values - values) / found.values.stderr, [gap / found.gap.stderr[0]]]
        if found.scores is not None:
            own.append((found.scores.values - [at_x, at_b]) / found.scores.stderr)
        pulls.append(np.concatenate(own))
        low, high = found.values.interval()
        covered.append((low <= values) & (values <= high))
    spread = np.sqrt(np.mean(np.square(pulls), axis=0))
    assert np.all((spread > 0.7) & (spread < 1.35)), spread  # 50 repetitions: 1 +- 0.1
    assert 0.9 < np.mean(covered) < 0.99


def test_derivatives_by_the_measured_numbers_agree_with_finite_differences() -> None:
    rng = np.random.default_rng(1)
    for form, head in [("normalized", hq.Head("softmax", scale=2, target=1)), ("quadratic", hq.Head("sigmoid", 4))]:
        path = MeasuredPath(X, B, Objective(form, head))  # type: ignore[arg-type]
        numbers = rng.normal(size=11 * (2 if head.kind == "softmax" else 1))
        _, jacobian = path.evaluate(numbers)
        shifts = 1e-5 * np.eye(len(numbers))
        wanted = np.array([(path.evaluate(numbers + h)[0] - path.evaluate(numbers - h)[0]) / 2e-5 for h in shifts]).T
        np.testing.assert_allclose(jacobian, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_the_gap_of_measured_scores_is_corrected_with_the_map() -> None:
    """Readout errors have their part in all quantities, and a calibration that they share is counted once."""
    engine = hq.virtual("willow_pink", seed=2, noise="readout")
    options: dict[str, Any] = {"engine": engine, "shots": 40_000, "scores": "measured"}
    a = attribution(0, hq.ResolvedHadamardTest(), mitigation=calibration.Readout(shots=20_000), **options)
    values, at_x, at_b = by_oracle("quadratic", 0)
    assert np.all(np.abs(a.values - values) < 5 * a.stderr)
    assert a.f_input_stderr is not None
    assert abs(a.f_input - at_x) < 5 * a.f_input_stderr
    assert a.f_baseline_stderr is not None
    assert abs(a.f_baseline - at_b) < 5 * a.f_baseline_stderr
    assert abs(a.completeness_gap) < 5 * a.completeness_gap_stderr
    rescaling = calibration.CompletenessRescaling()
    rescaled = attribution(0, hq.ResolvedHadamardTest(), mitigation=rescaling, check=False, **options)
    assert rescaled.cost.mitigation_circuits == 4


def test_resources_count_the_circuits_of_all_quantities() -> None:
    options: dict[str, Any] = {"baseline": B, "estimator": hq.ResolvedHadamardTest(), "engine": hq.qsim(seed=1), "shots": 1000}
    variants: list[dict[str, Any]] = [{"scores": "measured"}, {"form": "normalized"}]
    for more in variants:
        prepared = hq.prepare(MODEL, np.stack([X, 2 * X]), **options, **more)
        a = prepared.execute()
        assert prepared.resources.circuits == a.cost.circuits > 4
        assert a.cost.shots == 2000
        assert prepared.price(sample=3).circuits == a.cost.circuits


def test_measured_scores_are_saved_and_shown_and_older_files_have_none(tmp_path: Path) -> None:
    a = attribution(0, hq.ResolvedHadamardTest(), engine=hq.cirq_simulator(seed=1), shots=1000, scores="measured")
    loaded = hq.Attribution.load(a.save(tmp_path / "a.npz"))
    assert loaded == a
    assert a.f_input_stderr is not None
    assert loaded.f_input_stderr == a.f_input_stderr
    assert a.f_input_stderr > 0
    assert f"score {a.f_input:+.6f} +- {a.f_input_stderr:.6f} (measured)" in repr(a)
    batch = hq.integrated_gradients(
        MODEL, np.stack([X, B]), baseline=0, estimator=hq.HadamardTest(), engine=hq.qsim(seed=1), shots=500, scores="measured"
    )
    assert batch[1].f_input_stderr == batch.f_input_stderr[1]  # type: ignore[index]


@pytest.mark.parametrize("options", [{"scores": "measured"}, pytest.param({"form": "normalized"}, marks=pytest.mark.slow)])
def test_a_run_that_stopped_goes_on_with_all_quantities(tmp_path: Path, options: dict[str, Any]) -> None:
    inputs = X * np.arange(1, 10)[:, np.newaxis]  # two chunks

    def run(journal: Path | None, jobs: int | None = None) -> hq.Attribution:
        engine = hq.qsim(seed=3, threads=1, journal=journal, max_jobs=jobs)
        given: dict[str, Any] = {"estimator": hq.ResolvedHadamardTest(), "engine": engine, "shots": 3000, **options}
        try:
            return hq.integrated_gradients(MODEL, inputs, baseline=B, **given)
        finally:
            if engine.journal is not None:
                engine.journal.close()

    wanted = run(None)
    with pytest.raises(CapReachedError), pytest.warns(CapWarning):
        run(tmp_path / "run", 5)
    again = run(tmp_path / "run")
    for name in ("values", "stderr", "f_input", "f_baseline", "completeness_gap_stderr"):
        np.testing.assert_array_equal(getattr(again, name), getattr(wanted, name))


def test_command_line_measures_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = hq.ring_ansatz(2, layers=1).save(tmp_path / "model.json")
    options = "--data random_states:n_qubits=2 --inputs test:0:1 --estimator resolved --engine cirq --shots 2000"
    assert main(shlex.split(f"attribute {model} {options} --scores measured --out {tmp_path}/run")) == 0
    a = hq.Attribution.load(tmp_path / "run" / "attribution.npz")
    assert a.assumptions.scores == "measured"
    assert a.cost.circuits == 2
    assert a.f_input_stderr is not None
    score = f"{a.f_input[0]:+.6f}  {a.f_input_stderr[0]:.1e}"
    assert score in capsys.readouterr().out
    assert main(["show", str(tmp_path / "run")]) == 0
    assert score in capsys.readouterr().out
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "report.html")]) == 0
    low, high = (a.f_input[0] + sign * 1.959964 * a.f_input_stderr[0] for sign in (-1, 1))
    assert f'{a.f_input[0]:+.4f}<span class="interval"> [{low:+.4f}, {high:+.4f}]' in unescape(
        (tmp_path / "report.html").read_text()
    )
    frame = hq.runs.to_frame([tmp_path / "run"], per="input")
    assert frame["f_input_stderr"].tolist() == a.f_input_stderr.tolist()
    assert main(shlex.split(f"attribute {model} {options} --form normalized --baseline mean --out {tmp_path}/other")) == 0
    assert main(shlex.split(f"attribute {model} {options} --estimator exact --scores measured --out {tmp_path}/exact")) == 2
    assert "measured" in capsys.readouterr().err
