"""Jobs of Google's processors: serialised and validated before submission, their results checked on arrival."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cirq
import cirq_google as cg
import numpy as np
from cirq_google.api import v2
from cirq_google.cloud import quantum
from cirq_google.engine.engine_client import EngineException
from cirq_google.engine.util import pack_any
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from hattriq_cirq.circuits.errors import CircuitRefusedError, ServiceError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import Point, to_sweep
from hattriq_cirq.execution.backend import Job, State, Status

#: Limits of the service: shots per job, bytes per job, moments per circuit.
MAX_SHOTS, MAX_BYTES, MAX_MOMENTS = 5_000_000, 10_000_000, 10_000
_STATUS: dict[str, Status] = {
    "READY": "queued",
    "RUNNING": "running",
    "SUCCESS": "done",
    "FAILURE": "failed",
    "CANCELLING": "cancelled",
    "CANCELLED": "cancelled",
}


@dataclass(frozen=True, eq=False)
class SerializedJob:
    """Serialised job, ready to be sent.

    Args:
        code: Serialised circuits; several circuits are keyed by their positions.
        run_context: Serialised sweep and number of shots.
        labels: Fingerprint of both, stored with the job so that it can be recognised later.
    """

    code: Any
    run_context: Any
    labels: dict[str, str]

    @classmethod
    def from_job(cls, job: Job) -> SerializedJob:
        """Serialise a job.

        Raises:
            CircuitRefusedError: The job has more shots or moments than the service accepts, or cannot be serialised.
        """
        if job.shots is None:
            raise CircuitRefusedError(f"job {job.id} has {job.shots=}: a processor has no exact probabilities; give shots")
        if job.shots * job.runs > MAX_SHOTS:
            raise CircuitRefusedError(
                f"job {job.id}: {job.shots=} of {job.runs=} circuits and points exceed {MAX_SHOTS:,} per job"
            )
        for circuit in job.circuits:
            if len(circuit) > MAX_MOMENTS:
                raise CircuitRefusedError(
                    f"job {job.id}: a circuit has {len(circuit):,} moments, the service accepts {MAX_MOMENTS:,}"
                )
            measured_qubits(circuit)
            if any(getattr(op.gate, "confusion_map", None) for op in circuit[-1]):
                raise CircuitRefusedError(
                    f"job {job.id}: the measurement has a confusion map, which the service does not take; leave it out"
                )
        circuits = [_sort_operations(circuit) for circuit in job.circuits]
        try:
            if len(circuits) == 1:
                program = cg.CIRCUIT_SERIALIZER.serialize(circuits[0])
            else:
                program = cg.CIRCUIT_SERIALIZER.serialize_multi_program({str(i): circuit for i, circuit in enumerate(circuits)})
        except (ValueError, NotImplementedError) as error:
            raise CircuitRefusedError(
                f"job {job.id} cannot be sent: {error}; compile its circuits for the processor"
            ) from error
        sweep = to_sweep(job.points) if any(job.points) else None
        plain = v2.run_context_to_proto(sweep, job.shots)
        digest = hashlib.sha256(program.SerializeToString(deterministic=True) + plain.SerializeToString(deterministic=True))
        code, run_context = pack_any(program), pack_any(v2.run_context_to_proto(sweep, job.shots, compress_proto=True))
        return cls(code, run_context, {"hattriq-fingerprint": digest.hexdigest()[:40]})

    @property
    def size(self) -> int:
        """Number of bytes that are sent."""
        return int(self.code.ByteSize() + self.run_context.ByteSize())

    def check_size(self, max_bytes: int | None, job_id: str) -> None:
        """Raise `CircuitRefusedError` if the job has more bytes than the service accepts."""
        if max_bytes is not None and self.size > max_bytes:
            raise CircuitRefusedError(
                f"job {job_id} takes {self.size:,} bytes, the service accepts {max_bytes:,}; shorten its circuit"
            )


def measured_qubits(circuit: cirq.AbstractCircuit) -> tuple[str, tuple[cirq.Qid, ...]]:
    """Return the key and the qubits of a circuit's only measurement.

    Raises:
        CircuitRefusedError: The circuit has no measurement or several.
    """
    measurements = [op for op in circuit.all_operations() if cirq.is_measurement(op)]
    if len(measurements) != 1:
        raise CircuitRefusedError(f"a circuit must end in one measurement; it has {len(measurements)}")
    return cirq.measurement_key_name(measurements[0]), measurements[0].qubits


def _sort_operations(circuit: cirq.AbstractCircuit) -> cirq.Circuit:
    """Sort the operations of each moment by their qubits, so that equal circuits give equal bytes."""
    moments = [sorted(moment.operations, key=lambda op: op.qubits) for moment in circuit.moments]
    return cirq.Circuit(cirq.Moment(operations) for operations in moments)


def state_of(job: quantum.QuantumJob) -> State:
    """Return the state of a job as reported by the service.

    Raises:
        EngineException: The service reports no state, or one that this version does not know; with the code of a failing
            service, so that the call is repeated.
    """
    status = quantum.QuantumJob.pb(job).execution_status  # plain numbers: the client warns of those that it does not know
    name = _name_of(status.state, quantum.ExecutionStatus.State)
    if name not in _STATUS:
        raise EngineException(f"the state of the job is {name}", code=503)
    if name != "FAILURE":
        return State(_STATUS[name])
    code = _name_of(status.failure.error_code, quantum.ExecutionStatus.Failure.Code)
    return State("failed", code, status.failure.error_message)


def _name_of(number: int, known: type[IntEnum]) -> str:
    """Return the name of a number of the service; the number itself if the client does not know it."""
    return known(number).name if number in list(known) else str(number)


def distributions_from_result(job: Job, result: quantum.QuantumResult) -> list[Distribution]:
    """Convert the service's result of a job to distributions; the order of runs in the result does not matter.

    Args:
        job: Job that was submitted.
        result: Measured bits of every run, identified by circuit, parameters and qubits as far as the service states them.

    Returns:
        A distribution per run, ordered by circuit, then by point; the first measured bit is the most significant.

    Raises:
        ServiceError: The runs, shots, qubits or parameters are not those of the job.
    """
    results = v2.result_pb2.Result()
    if not result.result.type_url.endswith(".v2.Result"):
        raise ServiceError(f"the results of job {job.id} are of type {result.result.type_url!r}, not of the known v2.Result")
    try:
        results.ParseFromString(result.result.value)
    except DecodeError as error:
        raise ServiceError(f"the results of job {job.id} cannot be read: {error}") from error
    remaining = [(each.repetitions, run) for each in results.sweep_results for run in each.parameterized_results]
    if len(remaining) != job.runs:
        raise ServiceError(f"job {job.id} asked for {job.runs} runs, {len(remaining)} came back; start a new run")
    distributions = []
    for key, circuit, point in _runs(job):
        position = next((i for i, (_, run) in enumerate(remaining) if _matches(run, key, point)), None)
        if position is None:
            raise ServiceError(f"job {job.id}: no results for circuit {key or 0} at {dict(point)}; start a new run")
        shots, run = remaining.pop(position)
        distributions.append(_distribution_of_run(job, circuit, shots, run))
    return distributions


def _runs(job: Job) -> Iterator[tuple[str, cirq.AbstractCircuit, Point]]:
    """Yield the key, circuit and point of every run; the key is empty if the job has one circuit."""
    for i, circuit in enumerate(job.circuits):
        for point in job.points:
            yield str(i) if len(job.circuits) > 1 else "", circuit, point


def _matches(run: v2.result_pb2.ParameterizedResult, key: str, point: Point) -> bool:
    """Return True if the circuit key and the parameters (single precision) that a result states are the given ones."""
    stated: Mapping[str, float] = run.params.assignments
    if run.params.key not in ("", key) or not stated.keys() <= point.keys():
        return False
    return all(math.isclose(value, point[name], rel_tol=1e-6, abs_tol=1e-6) for name, value in stated.items())


def _distribution_of_run(
    job: Job, circuit: cirq.AbstractCircuit, shots: int, run: v2.result_pb2.ParameterizedResult
) -> Distribution:
    """Return the distribution of one run after checking its key, qubits and shots."""
    key, qubits = measured_qubits(circuit)
    expected = [v2.qubit_to_proto_id(q) for q in qubits]
    measurements = run.measurement_results
    bits = {q.qubit.id: q.results for m in measurements for q in m.qubit_measurement_results}
    columns = sum(len(m.qubit_measurement_results) for m in measurements)
    if [m.key for m in measurements] != [key] or columns != len(expected) or set(bits) != set(expected):
        keys = [m.key for m in measurements]
        raise ServiceError(f"job {job.id} measured {expected} as {key!r}, {sorted(bits)} came back as {keys}; start a new run")
    lengths = {len(data) for data in bits.values()}
    if shots != job.shots or measurements[0].instances > 1 or lengths != {math.ceil(shots / 8)}:
        raise ServiceError(
            f"job {job.id} asked for {job.shots} shots, {shots} came back in {sorted(lengths)} bytes per qubit; start a new run"
        )
    outcomes = np.zeros(shots, dtype=np.int64)
    for q in expected:
        outcomes = 2 * outcomes + v2.unpack_bits(bits[q], shots)
    return Distribution.from_outcomes(outcomes, len(expected))
