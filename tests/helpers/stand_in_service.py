"""Programs and jobs of the stand-in for the quantum engine service, without its protocol."""

from __future__ import annotations

import gzip
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cirq
import cirq_google as cg
import grpc  # type: ignore[import-untyped]
from cirq_google.api import v2
from cirq_google.cloud import quantum
from cirq_google.engine.util import pack_any
from cirq_google.engine.virtual_engine_factory import (
    create_device_spec_from_processor_id,
    load_median_device_calibration,
)
from google.protobuf import empty_pb2  # type: ignore[import-untyped]

RUN, SNAPSHOT, CONFIG = "run-1", "snapshot-1", "config-1"
State = quantum.ExecutionStatus.State
Code = quantum.StreamError.Code
STATUSES = {
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "denied": grpc.StatusCode.PERMISSION_DENIED,
    "disabled": grpc.StatusCode.PERMISSION_DENIED,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "quota": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "internal": grpc.StatusCode.INTERNAL,
    "aborted": grpc.StatusCode.ABORTED,
    "unknown": grpc.StatusCode.UNKNOWN,
    "cancelled_call": grpc.StatusCode.CANCELLED,
    "deadline": grpc.StatusCode.DEADLINE_EXCEEDED,
}
MESSAGES = {
    "unknown": "408: Request Timeout",
    "disabled": "Quantum Engine API has not been used in project 1 before or it is disabled. Enable it by visiting a page.",
}
"""Messages of answers to a call, where they are not "injected: KIND"."""
MEANWHILE = {"unspecified": State.STATE_UNSPECIFIED, "future": 99, "cancelling": State.CANCELLING}
"""States of a job until its time is over, in place of RUNNING."""


@dataclass
class Fault:
    """Fault of the next calls of a method, or of the next jobs.

    Args:
        method: Method such as CreateQuantumJob; * stands for any, QuantumRunStream for each request on the stream, Job for each
            new job.
        kind: Kind of fault. For a call: a key of STATUSES, "after_" and such a key (effect, then this answer), hang
            (no effect, no answer), lost (effect, then the connection
            breaks) or no_answer (effect, no answer). For a job: slow, failure, cancelled, shuffled, short (a shot is missing),
            missing (one run is missing), other (results of other qubits) or a key of MEANWHILE.
        times: Number of calls or jobs.
        seconds: Duration of a slow job, or of the state of a key of MEANWHILE.
    """

    method: str
    kind: str
    times: float = 1
    seconds: float = 0.0


class Refusal(Exception):
    """Error answer to a call or on the stream."""

    def __init__(self, status: grpc.StatusCode, code: Any, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class Record:
    """Job as stored by the service."""

    job: quantum.QuantumJob
    final: Any
    ready: float
    result: Any = None
    failure: str = ""
    meanwhile: Any = State.RUNNING

    def now(self) -> quantum.QuantumJob:
        """Return the job with its present status."""
        state = self.final if time.monotonic() >= self.ready else self.meanwhile
        status = quantum.ExecutionStatus(state=state)
        if state == State.FAILURE:
            code = quantum.ExecutionStatus.Failure.Code.INVALID_PROGRAM
            status.failure = quantum.ExecutionStatus.Failure(error_code=code, error_message=self.failure)
        self.job.execution_status = status
        return self.job


TODAY = {
    "single_qubit_p00_error": "zero_error",
    "single_qubit_p11_error": "one_error",
    "single_qubit_rb_pauli_error_per_gate": "sq_rb_pauli_error",
    "two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle": "cz_inferred_gate_error_pauli",
}
"""Metric names of bundled calibrations and of today's service."""


@cache
def _device(processor: str) -> tuple[Any, Any, cirq.Device]:
    spec = create_device_spec_from_processor_id(processor)
    calibration = load_median_device_calibration(processor)
    metrics = calibration.to_proto()
    metrics.timestamp_ms = calibration.timestamp  # omitted by to_proto
    return spec, metrics, cg.GridDevice.from_proto(spec)


class Quantum:
    """Programs and jobs by their names.

    Args:
        faults: Faults; the first that applies is used.
        sampler: Sampler of circuits; None simulates them without noise, seeded by the job's id.
        job_seconds: Duration of every job.
        unique_ids: True to refuse an existing id; otherwise a second job of that id runs again.
        keyed: True if the results of several circuits carry their keys.
        processor: Name of the processor whose device and median calibration are served.
        log: File that gets a line for each job that ran.

    Attributes:
        descriptions: Fields of each listed processor's description that differ from the usual ones; every listed processor has
            the device and the calibration of `processor`.
        unreadable: Listed processors whose configuration this account may not read.
        slots: Time slots of processors.
        calibration: Calibration that is served; tests may change it.
        published: Published configurations by their snapshots; any other snapshot has the usual device and calibration.
        dead: Qubits that no job may use, whatever its snapshot says.
        shots: Number of shots of all executions.
    """

    def __init__(
        self,
        *,
        faults: Sequence[Fault] = (),
        sampler: cirq.Sampler | None = None,
        job_seconds: float = 0.0,
        unique_ids: bool = True,
        keyed: bool = True,
        processor: str = "willow_pink",
        log: Path | None = None,
    ) -> None:
        self.faults, self.processor = list(faults), processor
        self.descriptions: dict[str, dict[str, Any]] = {processor: {}}
        self.unreadable: set[str] = set()
        self.slots: dict[str, list[quantum.QuantumTimeSlot]] = {}
        self.calibration = v2.metrics_pb2.MetricsSnapshot.FromString(_device(processor)[1].SerializeToString())
        self.snapshot = SNAPSHOT
        self.published: dict[str, tuple[Any, Any]] = {}
        self.dead: set[cirq.GridQubit] = set()
        self.removed: set[str] = set()
        self.executions: Counter[str] = Counter()
        self.shots = 0
        self.jobs: dict[str, Record] = {}
        self.programs: dict[str, quantum.QuantumProgram] = {}
        self._sampler, self._job_seconds, self._unique_ids, self._keyed, self._log = (
            sampler,
            job_seconds,
            unique_ids,
            keyed,
            log,
        )

    def publish(
        self, snapshot: str, *, hours_ago: float = 0.0, without: Sequence[cirq.GridQubit] = (), error_factor: float = 1.0
    ) -> None:
        """Make a new configuration the current one; earlier snapshots are still offered until they are in `removed`.

        Args:
            snapshot: Id of the snapshot, which begins with snapshot-.
            hours_ago: Age of its calibration.
            without: Qubits that the new device lacks.
            error_factor: Factor of all errors of two-qubit gates, by the row of the first qubit odd or even, so that other
                qubits are best.
        """
        device = type(_device(self.processor)[0]).FromString(_device(self.processor)[0].SerializeToString())
        gone = {v2.qubit_to_proto_id(q) for q in without}
        device.valid_qubits[:] = [q for q in device.valid_qubits if q not in gone]
        for targets in device.valid_targets:
            kept = [target for target in targets.targets if gone.isdisjoint(target.ids)]
            del targets.targets[:]
            targets.targets.extend(kept)
        metrics = [metric for metric in self.calibration.metrics if gone.isdisjoint(metric.targets)]
        calibration = v2.metrics_pb2.MetricsSnapshot(timestamp_ms=int((time.time() - 3600 * hours_ago) * 1000), metrics=metrics)
        for metric in calibration.metrics:
            if metric.name.startswith("two_qubit") and int(metric.targets[0].lstrip("q").split("_")[0]) % 2:
                metric.values[0].double_val *= error_factor
        self.published[snapshot], self.snapshot = (device, calibration), snapshot

    def check_available(self, project: str) -> None:
        """Refuse a job while the processor is down or the time slots belong to others."""
        health = self.descriptions[self.processor].get("health", quantum.QuantumProcessor.Health.OK)
        now, slots = time.time(), self.slots.get(self.processor, [])
        open_slots = [
            slot for slot in slots
            if slot.start_time.timestamp() <= now < slot.end_time.timestamp()
            and slot.time_slot_type.name in ("RESERVATION", "OPEN_SWIM")
        ]  # fmt: skip
        if health != quantum.QuantumProcessor.Health.OK or (slots and not open_slots):
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION, Code.INVALID_ARGUMENT, f"{project} may not use the processor now"
            )

    def use_todays_names(self) -> None:
        """Rename the metrics of the calibration as today's service does."""
        for metric in self.calibration.metrics:
            metric.name = TODAY.get(metric.name, metric.name)

    def drop_metrics(self, keep: Callable[[str, tuple[str, ...]], bool]) -> None:
        """Remove the metrics of the calibration for whose name and qubits a function returns False."""
        kept = [metric for metric in self.calibration.metrics if keep(metric.name, tuple(metric.targets))]
        self.calibration = v2.metrics_pb2.MetricsSnapshot(timestamp_ms=self.calibration.timestamp_ms, metrics=kept)

    def fault(self, method: str) -> Fault:
        """Return the fault of this call or job; its kind is empty if there is none."""
        for fault in self.faults:
            if fault.times > 0 and (fault.method == method or (fault.method == "*" and method != "Job")):
                fault.times -= 1
                return fault
        return Fault(method, "")

    def get(self, known: dict[str, Any], name: str, code: Any = None) -> Any:
        if name not in known:
            raise Refusal(grpc.StatusCode.NOT_FOUND, code, f"{name} does not exist")
        return known[name]

    def create_program(self, program: quantum.QuantumProgram) -> quantum.QuantumProgram:
        if self._unique_ids and program.name in self.programs:
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, Code.PROGRAM_ALREADY_EXISTS, f"{program.name} exists")
        self.programs[program.name] = program
        return program

    def create_job(self, job: quantum.QuantumJob) -> Record:
        program = self.get(self.programs, job.name.rpartition("/jobs/")[0], Code.PROGRAM_DOES_NOT_EXIST)
        if self._unique_ids and job.name in self.jobs:
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, Code.JOB_ALREADY_EXISTS, f"{job.name} exists")
        snapshot = job.scheduling_config.processor_selector.device_config_selector.snapshot_id
        if snapshot in self.removed:
            raise Refusal(grpc.StatusCode.NOT_FOUND, Code.INVALID_ARGUMENT, f"the snapshot {snapshot} does not exist")
        self.check_available(job.name.split("/")[1])
        fault, job_id = self.fault("Job"), job.name.rpartition("/")[2]
        record = Record(job, State.SUCCESS, time.monotonic() + max(self._job_seconds, fault.seconds))
        self.jobs[job.name] = record
        try:
            result = self._execute(job_id, program, job)
        except ValueError as error:
            record.final, record.failure = State.FAILURE, str(error)
        else:
            _damage(result, fault.kind)
            record.result = pack_any(result)
        if fault.kind in ("failure", "cancelled"):
            record.final = State.FAILURE if fault.kind == "failure" else State.CANCELLED
            record.failure = "Program too long."
        if fault.kind in MEANWHILE:
            record.meanwhile = MEANWHILE[fault.kind]
            record.final = State.CANCELLED if fault.kind == "cancelling" else record.final
        return record

    def _execute(self, job_id: str, program: quantum.QuantumProgram, job: quantum.QuantumJob) -> Any:
        """Validate and run a job and return its v2 Result."""
        code, context = v2.program_pb2.Program(), v2.run_context_pb2.RunContext()
        program.code.Unpack(code)
        job.run_context.Unpack(context)
        if context.compressed_run_context:
            context = v2.run_context_pb2.RunContext.FromString(gzip.decompress(context.compressed_run_context))
        keyed = [(key, circuit) for key, _, circuit in cg.CIRCUIT_SERIALIZER.deserialize_multi_program(code)]
        circuits = keyed or [("", cg.CIRCUIT_SERIALIZER.deserialize(code))]
        (setting,) = context.parameter_sweeps
        sweep = v2.sweep_from_proto(setting.sweep)
        sampler = self._sampler or cirq.Simulator(seed=zlib.crc32(job_id.encode()))
        result = v2.result_pb2.Result()
        for key, circuit in circuits:
            if broken := self.dead & circuit.all_qubits():
                raise ValueError(f"qubits {sorted(broken)} are not available")
            _device(self.processor)[2].validate_circuit(circuit)
            runs = sampler.run_sweep(circuit, sweep, setting.repetitions)
            v2.results_to_proto([runs], v2.find_measurements(circuit), out=result)
            for run in result.sweep_results[-1].parameterized_results:
                run.params.key = key if self._keyed else ""
            self.shots += setting.repetitions * len(runs)
        self.executions[job_id] += 1
        if self._log is not None:
            with self._log.open("a") as file:
                file.write(f"{job_id}\n")
        return result

    def cancel(self, name: str) -> Any:
        record = self.get(self.jobs, name)
        if time.monotonic() < record.ready:
            record.final, record.ready = State.CANCELLED, 0.0
        return empty_pb2.Empty()

    def result(self, name: str) -> quantum.QuantumResult:
        record = self.get(self.jobs, name)
        if record.now().execution_status.state != State.SUCCESS:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, None, f"{name} has no results")
        return quantum.QuantumResult(parent=name, result=record.result)

    def get_processor(self, name: str) -> quantum.QuantumProcessor:
        processor = name.rpartition("/processors/")[2]
        if processor not in self.descriptions:
            raise Refusal(grpc.StatusCode.NOT_FOUND, None, f"{name} does not exist")
        key = quantum.DeviceConfigKey(run=RUN, config_alias=CONFIG)
        known = {"health": quantum.QuantumProcessor.Health.OK, "default_device_config_key": key}
        return quantum.QuantumProcessor(name=name, **(known | self.descriptions[processor]))

    def list_processors(self, project: str) -> quantum.ListQuantumProcessorsResponse:
        listed = [self.get_processor(f"{project}/processors/{processor}") for processor in self.descriptions]
        return quantum.ListQuantumProcessorsResponse(processors=listed)

    def list_time_slots(self, name: str) -> quantum.ListQuantumTimeSlotsResponse:
        return quantum.ListQuantumTimeSlotsResponse(time_slots=self.slots.get(name.rpartition("/")[2], []))

    def get_config(self, name: str) -> quantum.QuantumProcessorConfig:
        _, project, _, processor, kind, revision, _, config = name.split("/")
        current = kind == "configAutomationRuns" and revision == RUN
        pinned = kind == "configSnapshots" and revision.startswith("snapshot-") and revision not in self.removed
        if processor not in self.descriptions or config != CONFIG or not (current or pinned):
            raise Refusal(grpc.StatusCode.NOT_FOUND, None, f"{name} does not exist")
        snapshot = self.snapshot if current else revision
        device, calibration = self.published.get(snapshot, (_device(self.processor)[0], self.calibration))
        if processor in self.unreadable:
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, None, f"{name} is not for this account")
        return quantum.QuantumProcessorConfig(
            name=f"projects/{project}/processors/{processor}/configSnapshots/{snapshot}/configs/{config}",
            device_specification=pack_any(device),
            characterization=pack_any(calibration),
        )


def _damage(result: Any, kind: str) -> None:
    """Shuffle or damage results."""
    if kind == "shuffled":
        runs = [run for sweep in result.sweep_results for run in sweep.parameterized_results]
        repetitions = result.sweep_results[0].repetitions
        del result.sweep_results[:]
        sweep = result.sweep_results.add(repetitions=repetitions)
        sweep.parameterized_results.extend(reversed(runs))
    elif kind == "short":
        result.sweep_results[0].repetitions -= 1
    elif kind == "missing":
        del result.sweep_results[-1].parameterized_results[-1]
    elif kind == "other":
        result.sweep_results[0].parameterized_results[0].measurement_results[0].qubit_measurement_results[0].qubit.id = "0_0"
