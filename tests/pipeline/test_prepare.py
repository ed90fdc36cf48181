"""The prepared attribution: priced as it runs, compiled once, resumed without compiling."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from cirq_google.engine import estimate_run_sweep_time
from strategies import Array

import calibration
import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.compilation.compile import compile_for
from hattriq_cirq.compilation.placement import candidate_layouts
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.encoding.exact import encode
from hattriq_cirq.estimators import Estimator, plan
from hattriq_cirq.execution import Engine
from hattriq_cirq.execution import engine as engine_module
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.backends.google_jobs import SerializedJob
from hattriq_cirq.execution.backends.virtual import VirtualBackend
from hattriq_cirq.execution.journal import JOURNAL
from hattriq_cirq.execution.journal_records import from_line, to_line
from hattriq_cirq.foundation.recent import Recent
from hattriq_cirq.pipeline import prepare as prepare_module
from hattriq_cirq.pipeline.mitigation import Mitigation

X = np.array([[0.6, 0.0, 0.0, 0.8], [0.5, 0.5, -0.5, 0.5]])
ESTIMATORS = (hq.ResolvedHadamardTest(), hq.HadamardTest(), hq.PolarizationShift(), hq.ParallelHadamardTest(2))
TWIRLED = calibration.TwirledReadout(masks=4, calibration_shots=64)
MITIGATIONS: tuple[Mitigation | None, ...] = (
    None,
    calibration.Readout(shots=200),
    calibration.MitigationSequence([calibration.CompletenessRescaling(), TWIRLED]),
    calibration.MitigationSequence([calibration.ZeroNoiseExtrapolation(), calibration.PauliTwirling(twirls=2)]),
)


def model() -> hq.Model:
    ring = hq.ring_ansatz(2, layers=1)
    return ring.with_params({name: 0.3 + 0.2 * i for i, name in enumerate(ring.params)})


def prepared(estimator: Estimator = ESTIMATORS[0], x: Array = X, **options: object) -> prepare_module.PreparedAttribution:
    settings: dict[str, object] = {"engine": hq.virtual("willow_pink", seed=1), "shots": 2000} | options
    return hq.prepare(model(), x, baseline=0, estimator=estimator, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("mitigation", MITIGATIONS, ids=lambda m: "none" if m is None else m.describe())
@pytest.mark.parametrize("estimator", ESTIMATORS[:2], ids=lambda e: e.describe())
def test_resources_price_exactly_what_runs(
    estimator: Estimator, mitigation: Mitigation | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []
    run_job = VirtualBackend.run

    def executed(backend: VirtualBackend, job: Job) -> Any:
        jobs.append(job)
        return run_job(backend, job)

    monkeypatch.setattr(VirtualBackend, "run", executed)
    run = prepared(estimator, mitigation=mitigation)
    priced = run.resources
    assert jobs == []
    cost = run.execute().cost
    assert (priced.circuits, priced.programs) == (cost.circuits, cost.programs)
    assert (priced.mitigation_circuits, priced.mitigation_shots) == (cost.mitigation_circuits, cost.mitigation_shots)
    assert priced.shots == cost.shots + cost.mitigation_shots == sum(job.runs * (job.shots or 0) for job in jobs)
    assert priced.routed is not None
    assert priced.routed.largest == cost.two_qubit_gates
    assert (priced.jobs, priced.bytes) == (len(jobs), sum(SerializedJob.from_job(job).size for job in jobs))
    circuits = [circuit for job in jobs for circuit in job.circuits]
    assert priced.depth == max(map(len, circuits))
    processor = load_processor("willow_pink")
    assert priced.duration_ns == max(map(processor.duration_ns, circuits))
    assert (priced.processor, priced.snapshot) == (processor.id, processor.snapshot)
    seconds = sum(
        1.5
        + sum(estimate_run_sweep_time(circuit, list(map(dict, job.points)), job.shots or 0, 0.0) for circuit in job.circuits)
        for job in jobs
    )
    assert priced.processor_seconds == pytest.approx(seconds)
    assert priced.predicted_fidelity is not None
    if mitigation is None:
        assert priced.predicted_fidelity == min(map(processor.fidelity, circuits))


def test_resources_of_several_chunks_are_those_of_one_chunk_of_all_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    one = prepared(mitigation=MITIGATIONS[1]).resources
    monkeypatch.setattr(prepare_module, "_CHUNK", 1)
    two = prepared(mitigation=MITIGATIONS[1]).resources
    assert (one.shots - one.mitigation_shots, one.circuits) == (two.shots - two.mitigation_shots, two.circuits)
    assert (one.depth, one.duration_ns, one.predicted_fidelity) == (two.depth, two.duration_ns, two.predicted_fidelity)
    assert two.mitigation_shots == 2 * one.mitigation_shots  # each chunk has a calibration of its own
    assert one.routed is not None
    assert two.routed is not None
    assert (one.routed.largest, one.routed.depth) == (two.routed.largest, two.routed.depth)


def test_resources_on_an_engine_without_a_processor_are_those_of_its_jobs() -> None:
    priced = prepared(hq.HadamardTest(), engine=hq.qsim(seed=1), mitigation=MITIGATIONS[1]).resources
    assert (priced.circuits, priced.programs, priced.shots) == (6, 6, 4000 + priced.mitigation_shots)
    assert priced.jobs == priced.circuits + priced.mitigation_circuits == 14  # one circuit per job
    unknown = (priced.bytes, priced.routed, priced.duration_ns, priced.predicted_fidelity, priced.processor_seconds)
    assert (*unknown, priced.processor, priced.snapshot) == (None,) * 7
    exact = prepared(engine=hq.virtual("willow_pink", seed=1), shots=None).resources
    assert (exact.shots, exact.bytes, exact.processor_seconds) == (0, None, None)
    assert exact.jobs > 0
    assert "none: exact probabilities" in str(exact)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.describe())
def test_a_prepared_run_equals_integrated_gradients(estimator: Estimator) -> None:
    direct = hq.integrated_gradients(
        model(), X, baseline=0, estimator=estimator, engine=hq.virtual("willow_pink", seed=1), shots=2000
    )
    found = prepared(estimator).execute()
    np.testing.assert_array_equal(found.values, direct.values)
    np.testing.assert_array_equal(found.stderr, direct.stderr)
    assert found.cost == direct.cost


def test_a_placement_can_be_reused() -> None:
    first = prepared(x=X[0])
    second = prepared(x=X[1], placement=first.placement)
    assert second.placement is first.placement
    assert second.execute().values.shape == (4,)


def test_an_encoder_that_is_named_is_kept_on_a_processor() -> None:
    assert prepared(hq.ResolvedHadamardTest(encoder=encode)).resources.circuits == 2
    for one in prepared(hq.ResolvedHadamardTest(encoder=encode)).input_plans():
        free = next(prepared(engine=hq.qsim(seed=1)).input_plans())
        assert one.plans[0].circuits[0].preparation == free.plans[0].circuits[0].preparation
        break


def test_a_simulator_needs_no_placement() -> None:
    run = prepared(engine=hq.qsim(seed=1))
    assert run.placement is None
    assert run.resources.routed is None


def test_chunks_are_built_when_their_turn_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "_CHUNK", 1)
    built: list[int] = []
    build = prepare_module.InputPlan.build

    def counted(*arguments: object) -> prepare_module.InputPlan:
        built.append(1)
        return build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(prepare_module.InputPlan, "build", counted)
    chunks = prepared(x=np.vstack([X] * 3)).chunks()
    next(chunks)
    assert len(built) == 1
    assert len(list(chunks)) == 5


def test_first_job_runs_when_eight_inputs_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 8, then of 64 inputs: the sequence of compilations and jobs on 80 inputs."""
    events: list[tuple[str, int]] = []
    compile_circuits, run_job = Engine.compile, VirtualBackend.run

    def compiled(engine: Engine, circuits: Any, *arguments: Any) -> Any:
        events.append(("compile", len(circuits)))
        return compile_circuits(engine, circuits, *arguments)

    def executed(backend: VirtualBackend, job: Job) -> Any:
        events.append(("run", job.runs))
        return run_job(backend, job)

    monkeypatch.setattr(Engine, "compile", compiled)
    monkeypatch.setattr(VirtualBackend, "run", executed)
    x = np.random.default_rng(0).normal(size=(80, 4))
    assert prepared(x=x, engine=hq.virtual("willow_pink", seed=1, noise="none"), shots=10).execute().cost.circuits == 80
    assert [event for event in events if event[0] == "compile"] == [("compile", 8), ("compile", 64), ("compile", 8)]
    first, second, *_ = events
    assert (first, second[0]) == (("compile", 8), "run")
    assert sum(count for kind, count in events if kind == "run") == 80


def test_every_phase_of_a_run_has_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    mitigation = calibration.MitigationSequence(
        [calibration.ZeroNoiseExtrapolation(), calibration.PauliTwirling(2), calibration.DynamicalDecoupling()]
    )
    run = prepared(mitigation=mitigation)
    run.execute()
    assert capsys.readouterr().err == ""
    unplaced = np.array([[0.1, 0.2, 0.3, 0.9]])  # another input than that of the first run, whose placement is known by now
    prepared(x=unplaced, mitigation=mitigation, engine=hq.virtual("willow_pink", seed=1, progress=True)).execute()
    phases = capsys.readouterr().err
    for phase in (
        "compare layouts",
        "build circuits",
        "compile circuits",
        "check circuits",
        "fold",
        "twirl",
        "fill idle time",
        "virtual:willow_pink",
    ):
        assert f"{phase}:" in phases
    prepared(progress=True).price()
    assert "compile for the processor:" in capsys.readouterr().err


def test_equal_circuits_are_placed_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []

    def counted(*arguments: Any, **options: Any) -> Any:
        searched.append(1)
        return candidate_layouts(*arguments, **options)

    monkeypatch.setattr(prepare_module, "candidate_layouts", counted)
    x = np.array([[0.3, 0.1, 0.4, 0.2]])
    first, again = (prepared(x=x, shots=shots).placement for shots in (100, 200))
    assert first is not None
    assert again is first
    assert len(searched) == 1
    among = sorted(first.qubits.values(), reverse=True)
    others = {
        "input": prepared(x=x + 0.1),
        "estimator": prepared(hq.HadamardTest(), x=x),
        "processor": prepared(x=x, engine=hq.virtual("weber", noise="none")),
        "qubits": prepared(x=x, engine=hq.virtual("willow_pink", noise="none", qubits=among)),
    }
    assert all(other.placement is not first for other in others.values())
    assert len(searched) == 1 + len(others)


class Stopped(Exception):
    """The process ended here."""


def stop_after(jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the virtual processor fail once it has run some jobs."""
    run_job, done = VirtualBackend.run, list[Job]()

    def failing(backend: VirtualBackend, job: Job) -> object:
        if len(done) == jobs:
            raise Stopped
        done.append(job)
        return run_job(backend, job)

    monkeypatch.setattr(VirtualBackend, "run", failing)


def fail(*_: object, **__: object) -> None:
    raise AssertionError("a resume must neither place nor compile")


@pytest.mark.parametrize("mitigation", MITIGATIONS, ids=lambda m: "none" if m is None else m.describe())
@pytest.mark.parametrize("estimator", ESTIMATORS[:2], ids=lambda e: e.describe())
def test_a_resume_reads_placement_and_programs_from_the_journal(
    estimator: Estimator, mitigation: Mitigation | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = prepared(estimator, mitigation=mitigation, engine=hq.virtual("willow_pink", seed=3)).execute()
    with monkeypatch.context() as patch:
        is_one_job = mitigation is None and estimator == ESTIMATORS[0]
        stop_after(0 if is_one_job else 1, patch)
        engine = hq.virtual("willow_pink", seed=3, journal=tmp_path)
        with pytest.raises(Stopped):
            prepared(estimator, mitigation=mitigation, engine=engine).execute()
        assert engine.journal is not None
        engine.journal.close()
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "compile", fail)
        patch.setattr(prepare_module, "choose_placement", fail)
        patch.setattr(cirq, "optimize_for_target_gateset", fail)
        resumed = prepared(estimator, mitigation=mitigation, engine=hq.virtual("willow_pink", seed=3, journal=tmp_path))
        found = resumed.execute()
    np.testing.assert_array_equal(found.values, undisturbed.values)
    np.testing.assert_array_equal(found.stderr, undisturbed.stderr)
    assert found.cost == undisturbed.cost


def test_another_run_in_the_same_journal_is_refused(tmp_path: Path) -> None:
    engine = hq.virtual("willow_pink", seed=3, journal=tmp_path)
    prepared(x=X[0], engine=engine).execute()
    assert engine.journal is not None
    engine.journal.close()
    with pytest.raises(JournalError, match="holds another run"):
        prepared(x=X[1], engine=hq.virtual("willow_pink", seed=3, journal=tmp_path)).execute()


def as_version_0_1(folder: Path) -> None:
    """Rewrite a journal as version 0.1 wrote it: another format number, and no placements, programs and requests."""
    path = folder / JOURNAL
    kept: list[dict[str, Any]] = []
    circuits: dict[str, str] = {}
    for line in path.read_bytes().splitlines(keepends=True):
        record = from_line(line)
        assert record is not None
        if record["kind"] in ("placement", "programs"):
            circuits |= record.get("circuits", {})
        else:
            record.pop("requests", None)
            kept.append(record | ({"circuits": circuits | record["circuits"]} if record["kind"] == "begin" else {}))
    kept[0]["format"] = "hattriq_cirq.Journal/1"
    path.write_bytes(b"".join(map(to_line, kept)))


PATCHES = cirq.GridQubit.rect(1, 3, 5, 9), cirq.GridQubit.rect(1, 3, 6, 8)


@pytest.mark.parametrize("mitigation", MITIGATIONS, ids=lambda m: "none" if m is None else m.describe())
def test_a_journal_of_version_0_1_is_resumed_with_its_own_circuits(
    mitigation: Mitigation | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(patch: int, journal: Path | None = None) -> Engine:
        return hq.virtual("willow_pink", seed=3, qubits=PATCHES[patch], journal=journal)

    estimator = hq.HadamardTest()
    undisturbed = prepared(estimator, mitigation=mitigation, engine=engine(0)).execute()
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        first = engine(0, tmp_path)
        with pytest.raises(Stopped):
            prepared(estimator, mitigation=mitigation, engine=first).execute()
        assert first.journal is not None
        first.journal.close()
    as_version_0_1(tmp_path)
    resumed = prepared(estimator, mitigation=mitigation, engine=engine(1, tmp_path)).execute()
    np.testing.assert_array_equal(resumed.values, undisturbed.values)
    np.testing.assert_array_equal(resumed.stderr, undisturbed.stderr)
    assert any("an earlier version" in note for note in resumed.assumptions.notes)


def test_marginals_in_one_journal_are_kept_apart(tmp_path: Path) -> None:
    engine = hq.virtual("willow_pink", seed=1, noise="none", journal=tmp_path)
    for measured in ((0,), (1,), (0, 1)):
        exact = hq.ResolvedHadamardTest(measured=measured)
        settings = {"baseline": 0, "estimator": exact, "engine": engine, "shots": 20_000}
        found = hq.estimate(model(), X[0], **settings)  # type: ignore[arg-type]
        expected = exact.marginalize(hq.integrated_gradients(model(), X[0], baseline=0).values)
        assert np.all(np.abs(found.values - expected) < 5 * found.stderr + 1e-12)


FOLDED = [calibration.ZeroNoiseExtrapolation(factors=(1, 3, last), shares="equal") for last in (5, 7)]
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "factors": ({"mitigation": FOLDED[0]}, {"mitigation": FOLDED[1]}),
    "decoupling": ({}, {"mitigation": calibration.DynamicalDecoupling()}),
    "twirls": ({"mitigation": calibration.PauliTwirling(2, seed=0)}, {"mitigation": calibration.PauliTwirling(2, seed=1)}),
    "sign": ({"x": X}, {"x": -X}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_run_in_the_same_journal_is_refused(change: str, tmp_path: Path) -> None:
    first, second = CHANGES[change]
    engine = hq.virtual("willow_pink", seed=3, journal=tmp_path)
    prepared(engine=engine, **first).execute()
    assert engine.journal is not None
    engine.journal.close()
    with pytest.raises(JournalError, match="holds another run"):
        prepared(engine=hq.virtual("willow_pink", seed=3, journal=tmp_path), **second).execute()


def test_a_given_placement_is_used_beside_a_recorded_one(tmp_path: Path) -> None:
    other = prepared(x=X[0], engine=hq.virtual("willow_pink", seed=3, qubits=PATCHES[1])).placement
    engine = hq.virtual("willow_pink", seed=3, journal=tmp_path)
    prepared(x=X[0], engine=engine).execute()
    assert other is not None
    ((_, circuits),) = prepared(x=X[0], engine=engine, placement=other).chunks()
    assert circuits.programs[0].circuit.all_qubits() <= set(other.qubits.values())


def count_builds(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return the numbers of plans built, and of circuits compiled, from now on, with nothing kept from before."""
    built = {"plans": 0, "compiled": 0}
    build, compile_circuits = plan, compile_for

    def counted_plan(*arguments: Any) -> Any:
        built["plans"] += 1
        return build(*arguments)

    def counted_circuits(processor: Any, circuits: Any, qubits: Any) -> Any:
        built["compiled"] += len(circuits)
        return compile_circuits(processor, circuits, qubits)

    monkeypatch.setattr(prepare_module, "_plans", Recent(512))
    monkeypatch.setattr(engine_module, "_programs", Recent(1024))
    monkeypatch.setattr(prepare_module, "plan", counted_plan)
    monkeypatch.setattr(engine_module, "compile_for", counted_circuits)
    return built


def test_equal_circuits_are_built_once_whatever_shots_noise_and_mitigation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = count_builds(monkeypatch)
    first = prepared(engine=hq.virtual("willow_pink", seed=3)).execute()
    once = dict(built)
    prepared(engine=hq.virtual("willow_pink", seed=4, noise="readout"), shots=500).execute()
    prepared(engine=hq.virtual("willow_pink", seed=4, noise="gates"), mitigation=calibration.Readout()).execute()
    again = prepared(engine=hq.virtual("willow_pink", seed=3)).execute()
    assert built == once == {"plans": len(X), "compiled": len(X)}
    np.testing.assert_array_equal(again.values, first.values)
    prepared(x=X + 0.1, engine=hq.virtual("willow_pink", seed=3)).execute()
    assert built == {name: 2 * number for name, number in once.items()}


def test_what_is_kept_of_a_run_does_not_keep_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    count_builds(monkeypatch)
    own = model()
    left = weakref.ref(own)
    options: dict[str, Any] = {"estimator": ESTIMATORS[0], "engine": hq.virtual("willow_pink", seed=3), "shots": 2000}
    hq.integrated_gradients(own, X, baseline=0, mitigation=calibration.CompletenessRescaling(), **options)
    del own
    gc.collect()
    assert left() is None


def test_circuits_that_are_too_many_to_be_kept_are_compiled_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    built = count_builds(monkeypatch)
    monkeypatch.setattr(engine_module, "_programs", Recent(2))
    monkeypatch.setattr(engine_module, "circuits_key", None)  # a call of it fails
    engine = hq.virtual("willow_pink", seed=3)
    circuits = [cirq.Circuit(cirq.ry(angle)(cirq.q("q")), cirq.measure(cirq.q("q"))) for angle in (0.1, 0.2, 0.3)]
    for _ in range(2):
        assert sum(len(program.requests) for program in engine.compile(circuits)) == 3
    assert built["compiled"] == 6
    with pytest.raises(TypeError, match="not callable"):
        engine.compile(circuits[:2])


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ("readout:1000", [calibration.Readout(shots=1000)]),
        ("readout, twirl:4", [calibration.PauliTwirling(twirls=4), calibration.Readout()]),
        ("twirl,zne", [calibration.ZeroNoiseExtrapolation(), calibration.PauliTwirling()]),
    ],
)
def test_names_of_mitigations_are_those_mitigations(names: str, parts: list[Mitigation]) -> None:
    named, built = prepared(mitigation=names), prepared(mitigation=calibration.MitigationSequence(parts))
    assert named.mitigation is not None
    assert built.mitigation is not None
    assert named.mitigation.describe() == built.mitigation.describe()
    np.testing.assert_array_equal(named.execute().values, built.execute().values)


@pytest.mark.parametrize("names", ["", "readout,", "readout,readout", "magic", "auto,twirl", "zne:3", "readout:x"])
def test_names_of_no_mitigation_are_refused(names: str) -> None:
    with pytest.raises(ValueError, match=f"mitigation '{names}"):
        prepared(mitigation=names)
