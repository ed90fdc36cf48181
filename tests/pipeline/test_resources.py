"""What an attribution is said to cost: gates counted by hand, and shots that simulation confirms."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import cirq
import numpy as np
import oracle
import pytest

import hattriq_cirq as hq
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.cli import main
from hattriq_cirq.cli.commands.cost import plot_costs
from hattriq_cirq.compilation.gatesets import gateset
from hattriq_cirq.compilation.snapshot import find_snapshot, load_processor
from hattriq_cirq.estimators import BilinearTerm, Estimator, plan
from hattriq_cirq.pipeline.resources import shots_for_cosine, shots_for_stderr

ALL: dict[str, Estimator] = {
    "resolved": hq.ResolvedHadamardTest(),
    "hadamard": hq.HadamardTest(),
    "parallel": hq.ParallelHadamardTest(2),
    "polarization": hq.PolarizationShift(),
}


def random_model(n_qubits: int, seed: int, layers: int = 4) -> hq.Model:
    model = hq.ring_ansatz(n_qubits, layers)
    rng = np.random.default_rng(seed)
    return model.with_params({name: float(rng.normal()) for name in model.params})


def zero_baseline_map(model: hq.Model, x: np.ndarray) -> np.ndarray:
    u = oracle.unitary(model.resolved_circuit, model.qubits)
    return np.asarray(x * (u.conj().T @ oracle.pauli_matrix(model.pauli_sum, model.qubits) @ u @ x).real)


def unit(n_qubits: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=2**n_qubits)
    return np.asarray(x / np.linalg.norm(x))


@pytest.mark.parametrize(
    ("estimator", "at_most", "patterns"),
    [
        (hq.HadamardTest(literal=True), 490.0, 2),
        (hq.HadamardTest(), 65.0, 14),
        (hq.ResolvedHadamardTest(), 46.0, 14),
        (hq.PolarizationShift(), 30.0, 14),
    ],
    ids=["literal", "lean", "resolved", "polarization"],
)
def test_cz_counts_of_bars_and_stripes_with_four_qubits_and_layers(estimator: Estimator, at_most: float, patterns: int) -> None:
    """The mean over 14 patterns (2 for the literal circuit, whose compilation is slow), every circuit compiled to CZ."""
    model, data = random_model(4, 1), hq.datasets.bars_and_stripes()
    counts = [hq.resources(model, x, 0.0, estimator, sample=2).compiled.mean for x in data.amplitudes[:28:2][:patterns]]
    assert np.mean(counts) <= at_most
    assert np.mean(counts) > 0.85 * 470 or not getattr(estimator, "literal", False)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_predicted_shots_for_a_cosine_are_what_simulation_needs(name: str, seed: int) -> None:
    """Drawn at the predicted number, the mean cosine over 400 maps is where 0.8 to 1.25 times as many shots would put it."""
    model, x = random_model(4, seed), unit(4, seed)
    made = plan(ALL[name], model, [BilinearTerm(x, x)])
    exact = zero_baseline_map(model, x)
    distributions = hq.qsim().run([reading.circuit for reading in made.circuits], None)
    shots = shots_for_cosine(made, distributions, 0.9)
    rng = np.random.default_rng(seed)
    cosines = []
    for _ in range(400):
        drawn = [rng.multinomial(s, d.probabilities) for s, d in zip(made.shots(shots), distributions, strict=True)]
        values = made.decode([Distribution.from_counts(counts) for counts in drawn]).values
        cosines.append(values @ exact / np.linalg.norm(values) / np.linalg.norm(exact))
    noise = 1 / 0.9**2 - 1
    low, high = (1 / np.sqrt(1 + noise / factor) for factor in (0.8, 1.25))
    assert low < np.mean(cosines) < high


def test_predicted_shots_for_a_standard_error_reach_it() -> None:
    model, x = random_model(3, 0), unit(3, 0)
    for estimator in ALL.values():
        made = plan(estimator, model, [BilinearTerm(x, x)])
        distributions = hq.qsim().run([reading.circuit for reading in made.circuits], None)
        shots = shots_for_stderr(made, distributions, 0.02)
        drawn = hq.estimate(model, x, baseline=0.0, estimator=estimator, engine=hq.qsim(seed=1), shots=shots)
        assert drawn.stderr.max() == pytest.approx(0.02, rel=0.1)


def test_resources_count_what_can_be_counted_by_hand() -> None:
    """A one-qubit model with |x| uniform: no gate but the one controlled Z, which compiles to one CZ."""
    q = cirq.LineQubit(0)
    model = hq.Model(cirq.Circuit(cirq.ry(0.3)(q)), [q], cirq.Z(q))
    found = hq.resources(model, [1.0, 1.0], 0.0, hq.ResolvedHadamardTest())
    assert (found.circuits, found.qubits, found.built.largest, found.compiled.largest) == (1, 2, 1, 1)
    assert (found.preparation.largest, found.compiled.depth, found.routed) == (0, 1, None)
    assert (found.processor, found.compiled_circuits) == (None, 1)
    each = hq.resources(model, [1.0, 1.0], 0.0, hq.HadamardTest())
    assert (each.circuits, each.qubits) == (2, 2)


@pytest.mark.parametrize(("name", "least"), [("sqrt_iswap", 1.0), ("sycamore", 1.0)])
def test_other_gate_sets_cost_at_least_as_much_as_cz(name: str, least: float) -> None:
    model, x = random_model(2, 0, layers=1), unit(2, 0)
    other, cz = (hq.resources(model, x, 0.0, hq.ResolvedHadamardTest(), gateset=g).compiled.mean for g in (name, "cz"))
    assert other >= least * cz > 0


def test_routing_on_a_device_adds_gates_and_keeps_to_its_couplers() -> None:
    found = hq.resources(random_model(3, 0), unit(3, 0), 0.0, hq.ResolvedHadamardTest(), processor="willow_pink")
    assert found.routed is not None
    assert found.routed.mean > found.compiled.mean
    assert "routed on willow_pink" in str(found)


def test_processor_may_be_a_name_a_snapshot_its_file_or_a_device_without_calibration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, x = random_model(1, 0, layers=1), unit(1, 0)
    snapshot = find_snapshot("willow_pink")
    snapshot.save(tmp_path / "device.json")
    (tmp_path / "device.bin").write_bytes(snapshot.specification)
    options = {"shots": 500, "mitigation": "readout"}
    named, *same = (
        hq.resources(model, x, 0, hq.HadamardTest(), processor=source, **options)  # type: ignore[arg-type]
        for source in ("willow_pink", snapshot, tmp_path / "device.json")
    )
    assert same == [named, named]
    assert named.predicted_fidelity is not None
    bare = hq.resources(model, x, 0, hq.HadamardTest(), processor=tmp_path / "device.bin", **options)  # type: ignore[arg-type]
    assert (bare.jobs, bare.shots, bare.snapshot, bare.predicted_fidelity) == (named.jobs, named.shots, "none", None)
    assert bare.duration_ns is not None
    assert "unknown: the calibration has no errors of the two-qubit gate" in str(bare)
    for option in (f"--processor {tmp_path}/device.json", f"--engine virtual:{tmp_path}/device.json,noise=none"):
        assert main(shlex.split(f"cost --qubits 1 --layers 1 --estimators resolved --shots 100 {option}")) == 0
        assert f"willow_pink, calibration {named.snapshot}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gateset": "cnot"}, "gateset='cnot' must be one of cz"),
        ({"processor": "condor"}, "processor 'condor' must be one of willow_pink"),
        ({"target_cosine": 1.0}, "target_cosine=1.0 must lie between 0 and 1"),
        ({"target_stderr": 0.0}, "target_stderr=0.0 must be positive"),
        ({"baseline": [0.6, 0.8]}, "x equals the baseline"),
        ({"mitigation": "readout"}, "mitigation needs shots"),
        ({"engine": hq.qsim(), "processor": "weber"}, "has its own processor; leave out processor='weber'"),
    ],
)
def test_bad_requests_are_refused(options: dict[str, object], message: str) -> None:
    request = {"baseline": 0.0, "estimator": hq.ResolvedHadamardTest()} | options
    with pytest.raises(ValueError, match=message):
        hq.resources(random_model(1, 0), [0.6, 0.8], **request)  # type: ignore[arg-type]


def test_targets_are_those_of_cirq() -> None:
    assert isinstance(gateset("cz"), cirq.CZTargetGateset)
    assert isinstance(gateset("sqrt_iswap"), cirq.SqrtIswapTargetGateset)


def test_cost_on_the_command_line_writes_a_table_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"cost --qubits 1,2 --layers 1 --estimators resolved,polarization --out {tmp_path / 'cost'}"
    assert main(shlex.split(line)) == 0
    with (tmp_path / "cost" / "cost.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["n_qubits"], row["circuits"]) for row in rows] == [("1", "1"), ("1", "4"), ("2", "1"), ("2", "8")]
    assert {(row["routed_mean"], row["processor"], row["jobs"]) for row in rows} == {("", "", "0")}
    assert (tmp_path / "cost" / "cost.png").read_bytes().startswith(b"\x89PNG")
    assert "polarization shift: 8 circuits on 2 qubits" in capsys.readouterr().out


def test_table_of_the_cost_of_a_run_has_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "cost --qubits 1 --layers 1 --estimators resolved --shots 600 --mitigate readout:50"
    assert main(shlex.split(f"{line} --engine virtual:willow_pink --out {tmp_path / 'cost'}")) == 0
    with (tmp_path / "cost" / "cost.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    printed = capsys.readouterr().out
    assert [row["shots"] for row in rows] == ["700"]
    assert [row["mitigation_shots"] for row in rows] == ["100"]  # 50 in each state
    for row in rows:
        assert f"{row['jobs']}\n" in printed
        assert f"{row['bytes']}\n" in printed
        assert all(float(row[name]) > 0 for name in ("duration_ns", "predicted_fidelity", "processor_seconds", "routed_mean"))
        assert row["snapshot"] == load_processor("willow_pink").snapshot


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--engine virtual:willow_pink --processor weber", "has its own processor; leave out --processor 'weber'"),
        ("--mitigate readout", "--mitigate 'readout' needs --shots"),
        ("--inputs test", "--inputs 'test' needs a MODEL"),
    ],
)
def test_contradicting_options_of_cost_are_refused(options: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(f"cost {options}")) == 2
    assert message in capsys.readouterr().err


def test_engine_may_be_any_and_a_batch_is_priced_as_a_whole() -> None:
    model, x = random_model(1, 0, layers=1), np.array([unit(1, 0), unit(1, 1)])
    plain = hq.resources(model, x, 0.0, hq.HadamardTest())
    assert plain.circuits == 4
    for engine in (cirq.ZerosSampler(), hq.cirq_simulator(), hq.virtual("rainbow")):
        whole = hq.resources(model, x, 0.0, hq.HadamardTest(), engine=engine, shots=100)
        assert (whole.circuits, whole.shots, whole.shots_for_cosine) == (4, 200, plain.shots_for_cosine)
        assert whole.jobs > 0
    assert (whole.gateset, whole.processor) == ("sycamore", "rainbow")
    few = hq.resources(model, x, 0.0, hq.HadamardTest(), engine=hq.virtual("rainbow"))
    assert (few.shots, few.jobs, few.processor_seconds) == (0, 0, None)
    assert (few.routed, few.predicted_fidelity) != (None, None)


def test_chart_of_costs_has_one_line_per_estimator() -> None:
    priced = [
        (n, hq.resources(random_model(n, 0, 1), unit(n, 0), 0.0, estimator)) for n in (1, 2) for estimator in ALL.values()
    ]
    circuits = plot_costs(priced[:1] + priced[4:5]).axes[0].lines[0]
    np.testing.assert_array_equal(circuits.get_xydata(), [[1, 1], [2, 1]])
    assert len(plot_costs(priced).axes[2].lines) == len(ALL)
    with pytest.raises(ValueError, match="costs is empty"):
        plot_costs([])


def test_sampled_attributions_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(f"train bars_and_stripes --out {tmp_path}/bars --epochs 5")) == 0
    line = f"attribute {tmp_path}/bars --data bars_and_stripes --inputs test:0:2 --estimator parallel:2 --shots 5000"
    assert main(shlex.split(f"{line} --seed 3 --out {tmp_path}/a")) == 0
    assert main(shlex.split(f"{line} --seed 3 --engine cirq --out {tmp_path}/b")) == 0
    found = hq.Attribution.load(tmp_path / "a" / "attribution.npz")
    assert found.assumptions.estimator == "parallel Hadamard test, m=2"
    assert (found.assumptions.engine, found.assumptions.seed, found.cost.shots) == ("qsim", 3, 10_000)
    assert (found.stderr > 0).any()
    assert np.all(np.abs(found.completeness_gap) < 5 * found.completeness_gap_stderr)
    assert hq.Attribution.load(tmp_path / "b" / "attribution.npz").assumptions.engine == "cirq"
    capsys.readouterr()
    for wrong, message in (
        ("--estimator best", "estimator 'best' must be one of"),
        ("--estimator resolved --engine ionq", "engine 'ionq' must be"),
        ("--estimator resolved --form normalized", "passes through the origin"),
    ):
        assert main(shlex.split(f"attribute {tmp_path}/bars --data bars_and_stripes --out {tmp_path}/c {wrong}")) == 2
        assert message in capsys.readouterr().err
    assert main(shlex.split(f"cost {tmp_path}/bars")) == 2
    assert "needs --data" in capsys.readouterr().err
