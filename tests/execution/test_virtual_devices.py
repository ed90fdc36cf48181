"""Virtual processors on a device: probabilities and counts of the CPU, whole jobs at once, memory, failures in mid-run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cirq
import networkx as nx
import numpy as np
import pytest
import sympy
from devices import DEVICES

import hattriq_cirq as hq
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.backends.virtual import VirtualBackend
from hattriq_cirq.foundation.devices import Device, DeviceError
from hattriq_cirq.simulation.schedule import Schedule

LINE = cirq.GridQubit.rect(1, 4, 5, 5)
WIDE = [q for q in sorted(load_processor("willow_pink").graph) if q.row in (5, 6)]


def swept() -> cirq.FrozenCircuit:
    """Return a circuit of which every rotation has symbols, and one gate on two qubits."""
    moments = []
    for layer in range(3):
        names = {"x_exponent": "x", "z_exponent": "z", "axis_phase_exponent": "a"}
        angles = [{name: sympy.Symbol(f"{letter}{layer}_{i}") for name, letter in names.items()} for i in range(4)]
        moments.append(cirq.Moment(cirq.PhasedXZGate(**own).on(q) for own, q in zip(angles, LINE, strict=True)))
        moments.append(cirq.Moment(cirq.CZ(*LINE[i : i + 2]) for i in range(layer % 2, 3, 2)))
    measured = cirq.measure(LINE[2], LINE[0], LINE[1], key="z", invert_mask=(True, False))
    return cirq.FrozenCircuit(*moments, cirq.Moment(measured))


CIRCUIT = swept()


def points(number: int) -> tuple[dict[str, float], ...]:
    rng, names = np.random.default_rng(3), sorted(cirq.parameter_names(CIRCUIT))
    return tuple(dict(zip(names, map(float, rng.uniform(-1, 1, len(names))), strict=True)) for _ in range(number))


def run(backend: VirtualBackend, shots: int | None, number: int = 5, circuits: Any = (CIRCUIT,)) -> Any:
    at = points(number) if circuits == (CIRCUIT,) else ({},)
    return np.array([d.probabilities for d in backend.results(Job("j", circuits, at, shots, 7))])


@contextmanager
def runs_counted(fails_at: int | None = None) -> Iterator[list[int]]:
    """Count the evolutions of states, one of which may fail as a device without memory does."""
    original, seen = Schedule.run, list[int]()

    def counted(self: Schedule, *arguments: Any) -> Any:
        seen.append(len(self.products))
        if len(seen) == fails_at:
            raise MemoryError("out of memory")
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Schedule, "run", counted)
        yield seen


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("noise", ["calibrated", "none", "readout"])
def test_device_gives_the_probabilities_and_counts_of_the_cpu(name: str, noise: Any) -> None:
    here, there = (VirtualBackend("willow_pink", seed=1, noise=noise, device=device) for device in ("cpu", name))
    tolerance = 1e-12 if noise == "calibrated" else 1e-6  # without gate noise qsim computes in single precision
    np.testing.assert_allclose(run(there, None), run(here, None), rtol=0, atol=tolerance)
    if noise == "calibrated":
        np.testing.assert_array_equal(run(there, 300), run(here, 300))
        resolved = tuple(cirq.resolve_parameters(CIRCUIT, point) for point in points(4))
        np.testing.assert_array_equal(run(there, 300, circuits=resolved), run(here, 300, circuits=resolved))
        single = VirtualBackend("willow_pink", seed=1, precision="float32", device=name)
        np.testing.assert_allclose(run(single, None), run(here, None), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", DEVICES)
def test_whole_job_is_computed_at_once(name: str) -> None:
    backend = VirtualBackend("willow_pink", device=name)
    with runs_counted() as seen:
        run(backend, 10, number=150)
    assert len(seen) == 1


@pytest.mark.parametrize("name", DEVICES)
def test_device_is_recorded_and_stated_in_the_notes(name: str) -> None:
    engine = hq.virtual("willow_pink", seed=1, device=name)
    assert f"were computed on {engine.describe()['device']}, in float64" in engine.notes[-1]
    assert engine.describe()["device"].startswith(str(Device.of(name)))
    assert "device" not in hq.virtual("willow_pink").describe()


@pytest.mark.parametrize("name", DEVICES)
def test_device_that_fails_in_mid_run_loses_no_finished_job(name: str, tmp_path: Path) -> None:
    circuits = [cirq.resolve_parameters(CIRCUIT, point) for point in points(6)]
    shots = [100, 100, 200, 200, 300, 300]  # three jobs
    expected = [d.counts.tolist() for d in hq.virtual("willow_pink", seed=1).run(circuits, shots)]
    with runs_counted(fails_at=3), pytest.raises(DeviceError, match="the simulation of 4 qubits needs more memory than"):
        hq.virtual("willow_pink", seed=1, device=name, journal=tmp_path).run(circuits, shots)
    with runs_counted() as seen:
        resumed = hq.virtual("willow_pink", seed=1, journal=tmp_path).run(circuits, shots)
    assert len(seen) == 1
    assert [d.counts.tolist() for d in resumed] == expected


@pytest.mark.parametrize("options", [{"workers": 2}, {"scheduler": "tcp://127.0.0.1:1"}])
def test_workers_of_a_device_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"device='array_api_strict' computes a whole job at once in one process"):
        hq.virtual("willow_pink", device="array_api_strict", **options)


def test_unknown_device_is_refused() -> None:
    with pytest.raises(ValueError, match="device='gpu' must be 'cpu', or a GPU"):
        hq.virtual("willow_pink", device="gpu")


def wide(qubits: int) -> cirq.FrozenCircuit:
    return cirq.FrozenCircuit(cirq.X.on_each(*WIDE[:qubits]), cirq.measure(WIDE[0], key="z"))


@pytest.mark.parametrize(("qubits", "precision", "needed"), [(13, "float64", 2), (14, "float64", 8), (14, "float32", 4)])
@pytest.mark.parametrize("device", ["cpu", "array_api_strict"])
def test_density_matrix_that_the_memory_cannot_hold_is_refused_before_the_run(
    qubits: int, precision: Any, needed: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = VirtualBackend("willow_pink", precision=precision, device=device)
    monkeypatch.setattr(Device, "free_memory", lambda _: needed * 2**30 - 1)
    match = f"circuit on {qubits} qubits in {precision} needs {needed}.0 GiB of memory, .* has {needed}.0 GiB; give fewer"
    with pytest.raises(DeviceError, match=match):
        backend.check(Job("j", (wide(qubits),), ({},), None, None))
    monkeypatch.setattr(Device, "free_memory", lambda _: needed * 2**30)
    assert run(backend, None, circuits=(wide(qubits),))[0, 1] > 0.9


def test_device_takes_density_matrices_up_to_14_qubits() -> None:
    here, there = (VirtualBackend("willow_pink", device=device) for device in ("cpu", "array_api_strict"))
    assert [there.method_for(wide(n), 10_000) for n in (8, 12, 14, 15)] == ["density"] * 3 + ["trajectories"]
    assert [here.method_for(wide(n), 10_000) for n in (8, 14)] == ["density", "trajectories"]


@pytest.mark.slow
def test_exact_noise_on_13_qubits_agrees_with_that_of_fewer_measured_qubits() -> None:
    rng, moments = np.random.default_rng(0), list[cirq.Moment]()
    graph = load_processor("willow_pink").graph
    row = [WIDE[4], *(q for _, q in nx.bfs_edges(graph, WIDE[4]))][:13]
    pairs = list(graph.subgraph(row).edges)
    names = ("x_exponent", "z_exponent", "axis_phase_exponent")
    for _ in range(6):
        angles = rng.uniform(-1, 1, (len(row), 3)).tolist()
        turns = [cirq.PhasedXZGate(**dict(zip(names, own, strict=True))).on(q) for own, q in zip(angles, row, strict=True)]
        coupled = cirq.Moment()
        for pair in (pairs[i] for i in rng.permutation(len(pairs))):
            if not coupled.operates_on(pair):
                coupled = coupled.with_operation(cirq.CZ(*pair))
        moments += [cirq.Moment(turns), coupled]
    backend = VirtualBackend("willow_pink")
    every = run(backend, None, circuits=(cirq.FrozenCircuit(*moments, cirq.Moment(cirq.measure(*row, key="z"))),))[0]
    three = run(backend, None, circuits=(cirq.FrozenCircuit(*moments, cirq.Moment(cirq.measure(*row[:3], key="z"))),))[0]
    assert len(row) == 13
    np.testing.assert_allclose(every.reshape(8, -1).sum(axis=1), three, rtol=0, atol=1e-12)
