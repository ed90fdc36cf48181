"""A job of Google's processors: packed and measured before it is sent, its results checked when they come back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cirq
import cirq_google as cg
import numpy as np
from cirq_google.api import v2
from cirq_google.cloud import quantum
from cirq_google.engine.util import pack_any
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from hattriq_cirq.circuits.errors import CircuitRefusedError, ServiceError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import Point, to_sweep
from hattriq_cirq.execution.backend import Job, State, Status

MAX_SHOTS, MAX_BYTES, MAX_MOMENTS = 5_000_000, 10_000_000, 10_000
"""Of a job; of what is sent for it; of each circuit: the service refuses more."""
_STATUS: dict[str, Status] = {
    "READY": "queued",
    "RUNNING": "running",
    "SUCCESS": "done",
    "FAILURE": "failed",
    "CANCELLING": "cancelled",
    "CANCELLED": "cancelled",
}


@dataclass(frozen=True, eq=False)
class Packed:
    """A job as it is sent.

    Args:
        code: its circuits; several are keyed by their positions.
        run_context: its sweep and shots.
        labels: a fingerprint of both, kept with the job, by which it is known again.
    """

    code: Any
    run_context: Any
    labels: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> Packed:
        """Packs a job.

        Raises:
            CircuitRefusedError: more shots or moments than the service takes, or nothing that it can run.
        """
        if job.shots is None:
            raise CircuitRefusedError(f"job {job.id} has {job.shots=}: a processor counts; name a number of shots")
        if job.shots * job.runs > MAX_SHOTS:
            raise CircuitRefusedError(
                f"job {job.id}: {job.shots=} of {job.runs=} circuits and points exceed {MAX_SHOTS:,} a job"
            )
        for circuit in job.circuits:
            if len(circuit) > MAX_MOMENTS:
                raise CircuitRefusedError(
                    f"job {job.id}: a circuit has {len(circuit):,} moments, the service takes {MAX_MOMENTS:,}"
                )
            measurement(circuit)
        circuits = [_sorted(circuit) for circuit in job.circuits]
        try:
            if len(circuits) == 1:
                program = cg.CIRCUIT_SERIALIZER.serialize(circuits[0])
            else:
                program = cg.CIRCUIT_SERIALIZER.serialize_multi_program({str(i): circuit for i, circuit in enumerate(circuits)})
        except (ValueError, NotImplementedError) as error:
            raise CircuitRefusedError(
                f"job {job.id} cannot be sent: {error}; compile its circuits for the processor"
            ) from error
        swept = to_sweep(job.points) if any(job.points) else None
        plain = v2.run_context_to_proto(swept, job.shots)
        digest = hashlib.sha256(program.SerializeToString(deterministic=True) + plain.SerializeToString(deterministic=True))
        code, run_context = pack_any(program), pack_any(v2.run_context_to_proto(swept, job.shots, compress_proto=True))
        return cls(code, run_context, {"hattriq-fingerprint": digest.hexdigest()[:40]})

    @property
    def size(self) -> int:
        """Bytes, as they are sent."""
        return int(self.code.ByteSize() + self.run_context.ByteSize())

    def refuse_beyond(self, most: int | None, job_id: str) -> None:
        """Refuses more bytes than the service takes."""
        if most is not None and self.size > most:
            raise CircuitRefusedError(
                f"job {job_id} takes {self.size:,} bytes, the service takes {most:,}; shorten its circuit"
            )


def measurement(circuit: cirq.AbstractCircuit) -> tuple[str, tuple[cirq.Qid, ...]]:
    """The key and the qubits of a circuit's only measurement.

    Raises:
        CircuitRefusedError: it has another number of them.
    """
    found = [op for op in circuit.all_operations() if cirq.is_measurement(op)]
    if len(found) != 1:
        raise CircuitRefusedError(f"a circuit must end in one measurement; it has {len(found)}")
    return cirq.measurement_key_name(found[0]), found[0].qubits


def _sorted(circuit: cirq.AbstractCircuit) -> cirq.Circuit:
    """The same circuit whatever the order of operations within moments, so that equal circuits give equal bytes."""
    moments = [sorted(moment.operations, key=lambda op: op.qubits) for moment in circuit.moments]
    return cirq.Circuit(cirq.Moment(operations) for operations in moments)


def state_of(job: quantum.QuantumJob) -> State:
    """Where the service says that a job is."""
    status = job.execution_status
    name = status.state.name
    failure = (status.failure.error_code.name, status.failure.error_message) if name == "FAILURE" else ("", "")
    return State(_STATUS.get(name, "queued"), *failure)


def distributions(job: Job, answer: quantum.QuantumResult) -> list[Distribution]:
    """Counts from what the service answered, whatever order it has them in.

    Args:
        job: that asked.
        answer: with the measured bits of every run, named by circuit, parameters and qubits where the service does so.

    Returns:
        A distribution for each run, points within circuits; bits in the measured order, the first the most significant.

    Raises:
        ServiceError: runs, shots, qubits or parameters other than those asked for.
    """
    results = v2.result_pb2.Result()
    if not answer.result.type_url.endswith(".v2.Result"):
        raise ServiceError(f"the results of job {job.id} are of type {answer.result.type_url!r}, not of the known v2.Result")
    try:
        results.ParseFromString(answer.result.value)
    except DecodeError as error:
        raise ServiceError(f"the results of job {job.id} cannot be read: {error}") from error
    left = [(each.repetitions, run) for each in results.sweep_results for run in each.parameterized_results]
    if len(left) != job.runs:
        raise ServiceError(f"job {job.id} asked for {job.runs} runs, {len(left)} came back; start a new run")
    found = []
    for key, circuit, point in _runs(job):
        position = next((i for i, (_, run) in enumerate(left) if _is_of(run, key, point)), None)
        if position is None:
            raise ServiceError(f"job {job.id}: no results for circuit {key or 0} at {dict(point)}; start a new run")
        shots, run = left.pop(position)
        found.append(_counted(job, circuit, shots, run))
    return found


def _runs(job: Job) -> Iterator[tuple[str, cirq.AbstractCircuit, Point]]:
    for i, circuit in enumerate(job.circuits):
        for point in job.points:
            yield str(i) if len(job.circuits) > 1 else "", circuit, point


def _is_of(run: v2.result_pb2.ParameterizedResult, key: str, point: Point) -> bool:
    """Whether a result is of a circuit and a point, as far as it says; its parameters have single precision."""
    said: Mapping[str, float] = run.params.assignments
    if run.params.key not in ("", key) or not said.keys() <= point.keys():
        return False
    return all(math.isclose(value, point[name], rel_tol=1e-6, abs_tol=1e-6) for name, value in said.items())


def _counted(job: Job, circuit: cirq.AbstractCircuit, shots: int, run: v2.result_pb2.ParameterizedResult) -> Distribution:
    key, qubits = measurement(circuit)
    wanted = [v2.qubit_to_proto_id(q) for q in qubits]
    measured = run.measurement_results
    bits = {q.qubit.id: q.results for m in measured for q in m.qubit_measurement_results}
    columns = sum(len(m.qubit_measurement_results) for m in measured)
    if [m.key for m in measured] != [key] or columns != len(wanted) or set(bits) != set(wanted):
        said = [m.key for m in measured]
        raise ServiceError(f"job {job.id} measured {wanted} as {key!r}, {sorted(bits)} came back as {said}; start a new run")
    lengths = {len(data) for data in bits.values()}
    if shots != job.shots or measured[0].instances > 1 or lengths != {math.ceil(shots / 8)}:
        raise ServiceError(
            f"job {job.id} asked for {job.shots} shots, {shots} came back in {sorted(lengths)} bytes a qubit; start a new run"
        )
    outcomes = np.zeros(shots, dtype=np.int64)
    for q in wanted:
        outcomes = 2 * outcomes + v2.unpack_bits(bits[q], shots)
    return Distribution.from_outcomes(outcomes, len(wanted))
