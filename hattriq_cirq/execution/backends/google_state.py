"""State of a real processor: whether it takes jobs, and whether circuits still fit its present configuration."""

from __future__ import annotations

from collections.abc import Iterable

import cirq

from hattriq_cirq.circuits.errors import CircuitRefusedError, ProcessorUnavailableError, StaleConfigurationError
from hattriq_cirq.compilation.snapshot import Snapshot
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.processors import ProcessorInfo, TimeSlot

_DOWN = ("DOWN", "INACTIVE", "UNAVAILABLE")
#: Cure for a configuration that the run cannot go on with.
RECOMPILE = (
    "compile the unfinished part anew for the current configuration, --recompile or recompile=True, or start a new run in "
    "another folder"
)


def unavailable(info: ProcessorInfo, *, refused: bool = False) -> ProcessorUnavailableError | None:
    """Return the error of a processor that takes no jobs now; None if nothing speaks against jobs.

    Args:
        info: State of the processor.
        refused: True after the service refused a job, so that a time slot of others is the reason.
    """
    slot = info.active_slot
    in_maintenance = slot is not None and slot.kind == "maintenance"
    if info.health in _DOWN or in_maintenance:
        return ProcessorUnavailableError(
            f"the processor {info.id} takes no jobs now: {info.availability}; resume the run later"
        )
    if refused and info.schedule and not _is_open(slot, info.project):
        coming = next((each for each in info.schedule if each != slot and _is_open(each, info.project)), None)
        when = "when there is a new one" if coming is None else f"in the next one, {coming}"
        present = "no time slot is open" if slot is None else f"the present time slot is {slot}"
        return ProcessorUnavailableError(
            f"the time slot of project {info.project} on the processor {info.id} is over: {present}; resume the run {when}"
        )
    return None


def _is_open(slot: TimeSlot | None, project: str) -> bool:
    """Return True if a project may use the processor in a time slot."""
    return slot is not None and (slot.kind == "open_swim" or (slot.kind == "reservation" and slot.title in ("", project)))


def check_age(pinned: Snapshot, max_hours: float | None, current: Snapshot | None) -> None:
    """Raise `StaleConfigurationError` if the configuration of a run is older than allowed.

    Args:
        pinned: Configuration that the jobs run on.
        max_hours: Largest age of its calibration in hours; None for any.
        current: Present configuration of the processor; None if it is not known.
    """
    hours = pinned.age_hours
    if max_hours is None or (hours is not None and hours <= max_hours):
        return
    age = "has no date" if hours is None else f"is {hours:.1f} hours old, of {pinned.calibration_utc}"
    newer = current is not None and current.snapshot_id != pinned.snapshot_id
    cure = RECOMPILE if newer else "wait for a new calibration"
    raise StaleConfigurationError(
        f"the calibration of the snapshot {pinned.snapshot_id!r} {age}, max_configuration_age={max_hours:g}; {cure}, or allow "
        "a larger age"
    )


def check_circuits(current: Snapshot, jobs: Iterable[Job], reason: str = "") -> None:
    """Raise `CircuitRefusedError` if circuits use qubits or couplers that the present configuration of a processor lacks.

    Args:
        current: Present configuration.
        jobs: Jobs whose circuits are checked.
        reason: Explanation by the service, if it refused a job.
    """
    circuits = {id(circuit): circuit for job in jobs for circuit in job.circuits}.values()
    metadata = current.device.metadata
    qubits = sorted({q for circuit in circuits for q in circuit.all_qubits()} - set(metadata.qubit_set))
    pairs = {frozenset(op.qubits) for circuit in circuits for op in circuit.all_operations() if _is_gate_on_two(op)}
    lost = sorted(sorted(pair) for pair in pairs - set(metadata.qubit_pairs) if not pair & set(qubits))
    if not qubits and not lost:
        return
    what = [f"qubits {', '.join(map(str, qubits))}"] * bool(qubits)
    what += [f"couplers {', '.join('-'.join(map(str, pair)) for pair in lost)}"] * bool(lost)
    detail = f" ({reason})" if reason else ""
    raise CircuitRefusedError(
        f"the circuits use {' and '.join(what)}, which the present configuration {current.snapshot_id!r} of the processor "
        f"{current.processor_id} does not offer{detail}; {RECOMPILE}"
    )


def _is_gate_on_two(op: cirq.Operation) -> bool:
    return len(op.qubits) == 2 and not cirq.is_measurement(op)


def changed_note(pinned: Snapshot, current: Snapshot) -> str:
    """Return the note of a run whose processor has another configuration now; empty if it has not."""
    if current.snapshot_id == pinned.snapshot_id:
        return ""
    return (
        f"The configuration of {pinned.processor_id} changed: its present snapshot is {described(current)}. This run stayed on "
        f"{described(pinned)}, for which its circuits were compiled."
    )


def described(snapshot: Snapshot) -> str:
    """Return a snapshot's id with the date of its calibration."""
    return f"{snapshot.snapshot_id!r} (calibration of {snapshot.calibration_utc or 'unknown date'})"
