"""The processors that circuits can run on: bundled with cirq_google, and those of a Google Cloud project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hattriq_cirq.circuits.errors import EngineError
from hattriq_cirq.compilation.gatesets import PROCESSORS
from hattriq_cirq.compilation.snapshot import Snapshot, find_snapshot
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.progress import progress_bar
from hattriq_cirq.foundation.text import aligned, quantity

if TYPE_CHECKING:
    import cirq_google as cg
    from cirq_google.cloud import quantum

_SLOTS = 2  # time slots of a processor in a table


@dataclass(frozen=True)
class TimeSlot:
    """Part of a processor's schedule.

    Args:
        kind: Use of the processor: `maintenance`, `open_swim`, `reservation` or `unallocated`.
        start_utc: Start, ISO 8601.
        end_utc: End, ISO 8601; None if there is none.
        title: Title that the service gives; may be empty.
    """

    kind: str
    start_utc: str
    end_utc: str | None
    title: str = ""

    def __str__(self) -> str:
        """Return the slot as text: its kind, title, start and end."""
        name = self.kind.replace("_", " ") + (f" ({self.title})" if self.title else "")
        return f"{name} {_minute(self.start_utc)} to {'?' if self.end_utc is None else _minute(self.end_utc)}"


@dataclass(frozen=True)
class ProcessorInfo:
    """State of one processor.

    Args:
        id: Id of the processor.
        project: Google Cloud project; empty for a bundled processor, which is simulated.
        snapshot: Device and calibration of the default configuration; None if they cannot be read.
        problem: Reason that the configuration cannot be read; empty if it can.
        health: Health in the words of the service, such as OK, DOWN or INACTIVE; `simulated` for a bundled processor.
        down_utc: Time at which the service expects the processor to go down, ISO 8601; None if it expects none.
        recovery_utc: Time at which the service expects the processor back, ISO 8601; None if it states none.
        active_jobs: Number of jobs that run or wait; None if the service does not tell.
        schedule: Time slots that have not ended, in order; None if the service does not tell.

    Example:
        >>> from hattriq_cirq.execution.processors import processors
        >>> processors()[0].figures()["cz_error"] < 0.01
        True
    """

    id: str
    project: str
    snapshot: Snapshot | None
    problem: str = ""
    health: str = "simulated"
    down_utc: str | None = None
    recovery_utc: str | None = None
    active_jobs: int | None = None
    schedule: tuple[TimeSlot, ...] | None = None

    @property
    def active_slot(self) -> TimeSlot | None:
        """Time slot of this moment; None if there is none, or the service does not tell."""
        now = datetime.now(UTC).isoformat()
        return next((slot for slot in self.schedule or () if slot.start_utc <= now and now < (slot.end_utc or "9")), None)

    @property
    def availability(self) -> str:
        """Health, maintenance and load, as text."""
        slot, words = self.active_slot, [self.health]
        if slot is not None and slot.kind == "maintenance":
            words.append(f"in maintenance until {'?' if slot.end_utc is None else _minute(slot.end_utc)}")
        if self.recovery_utc is not None and self.health != "OK":
            words.append(f"expected back {_minute(self.recovery_utc)}")
        if self.down_utc is not None and self.health == "OK":
            words.append(f"expected down {_minute(self.down_utc)}")
        if self.active_jobs is not None:
            words.append(quantity(self.active_jobs, "active job"))
        return ", ".join(words)

    def figures(self) -> dict[str, float | None]:
        """Return the median errors: of the two-qubit gates of each gate set, of a single-qubit gate, and of readout (e0, e1).

        None stands for a figure that the calibration lacks; there are no figures without a configuration.
        """
        if self.snapshot is None:
            return {}
        described = {name: self.snapshot.processor(name).describe() for name in self.snapshot.gatesets}
        default = self.snapshot.processor().describe()
        figures = {f"{name}_error": one["median_two_qubit_error"] for name, one in described.items()}
        names = {"one_qubit_error": "median_one_qubit_error", "e0": "median_e0", "e1": "median_e1"}
        return figures | {name: default[figure] for name, figure in names.items()}

    def row(self) -> dict[str, Any]:
        """Return everything as one row of a table, with plain values; None stands for what is not known."""
        taken = self.snapshot
        row: dict[str, Any] = {
            "processor": self.id,
            "project": self.project or None,
            "qubits": None if taken is None else taken.qubits,
            "couplers": None if taken is None else taken.couplers,
            "gatesets": None if taken is None else " ".join(taken.gatesets),
            "availability": self.availability,
            "schedule": None if self.schedule is None else "; ".join(map(str, self.schedule)),
            "configuration": None if taken is None else taken.config_name or None,
            "snapshot": None if taken is None else taken.snapshot_id or None,
            "calibration_utc": None if taken is None else taken.calibration_utc,
            "age_hours": None if taken is None or taken.age_hours is None else round(taken.age_hours, 1),
        }
        errors = {f"{name}_error": None for name in ("cz", "sqrt_iswap", "sycamore")}
        errors |= dict.fromkeys(("one_qubit_error", "e0", "e1"))
        return row | errors | self.figures() | {"problem": self.problem or None}


class ProcessorList(Sequence[ProcessorInfo]):
    """Processors, printed as a table.

    Args:
        items: Processors.

    Example:
        >>> from hattriq_cirq.execution.processors import processors
        >>> [each.id for each in processors()]
        ['willow_pink', 'weber', 'rainbow']
    """

    def __init__(self, items: Sequence[ProcessorInfo]) -> None:
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[ProcessorInfo]:
        return iter(self._items)

    def __getitem__(self, index: Any) -> Any:
        """Return a processor by its position or id, or the processors of a slice."""
        if isinstance(index, slice):
            return ProcessorList(self._items[index])
        if isinstance(index, str):
            found = [each for each in self._items if each.id == index]
            if not found:
                raise KeyError(f"no processor {index!r}; there are {', '.join(each.id for each in self._items) or 'none'}")
            return found[0]
        return self._items[index]

    def __repr__(self) -> str:
        headings = (*("processor", "qubits", "couplers", "availability", "configuration", "calibration (UTC)", "age"),)
        rows = [(*headings, "two-qubit error", "one-qubit error", "e0", "e1"), *map(_cells, self._items)]
        lines = [aligned([[printable(cell) for cell in row] for row in rows])]
        for each in self._items:
            if each.problem:
                lines.append(printable(f"{each.id}: its configuration cannot be read: {each.problem}"))
            slots = (each.schedule or ())[:_SLOTS]
            lines += [printable(f"{each.id}: {slot}") for slot in slots]
            if (more := len(each.schedule or ()) - len(slots)) > 0:
                lines.append(printable(f"{each.id}: {quantity(more, 'further time slot')}"))
            if each.snapshot is not None:
                lines += [printable(f"{each.id}: {sentence}") for sentence in each.snapshot.missing]
        return "\n".join(lines)

    __str__ = __repr__

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per processor, for a table of pandas or a CSV file."""
        return [each.row() for each in self._items]


def processors(
    project: str | None = None,
    *,
    call_timeout: float = 20.0,
    patience: float = 20.0,
    progress: bool = False,
    engine: cg.Engine | None = None,
) -> ProcessorList:
    """Return the processors bundled with cirq_google, and those of a Google Cloud project with what the service tells of them.

    Args:
        project: Google Cloud project; None lists the bundled processors only.
        call_timeout: Seconds after which a call counts as unanswered.
        patience: Seconds for which a call is repeated while the service is busy, failing or silent.
        progress: True to show a progress bar.
        engine: Configured client; None makes one from the default credentials.

    Returns:
        The processors, those of the project first. One whose configuration cannot be read says why in `problem`.

    Raises:
        AccessError: There are no credentials, the Quantum Engine API is disabled, the project is unknown, or it has no
            processors; the message says what to do.
        EngineError: The service cannot be reached.

    Example:
        >>> print(processors())  # doctest: +ELLIPSIS
        processor    qubits  couplers  availability  ...
    """
    bundled = [ProcessorInfo(name, "", find_snapshot(name)) for name in PROCESSORS]
    if project is None:
        return ProcessorList(bundled)
    from hattriq_cirq.execution.backends.google_calls import RetryingCaller, connect, list_processors

    client, caller = engine or connect(project), RetryingCaller(call_timeout, patience)
    listed = list_processors(client, caller)
    with progress_bar(shown=progress, total=len(listed), desc="processors", unit="processor") as bar:
        found = []
        for each in listed:
            found.append(request_processor(client, each, caller))
            bar.update()
    return ProcessorList([*found, *bundled])


def request_processor(engine: cg.Engine, listed: quantum.QuantumProcessor, caller: Any) -> ProcessorInfo:
    """Return a processor with its default configuration and its schedule, as far as the service tells them.

    Args:
        engine: Client.
        listed: Description of the processor by the service.
        caller: Caller that repeats failing calls.
    """
    from hattriq_cirq.execution.backends.google_calls import configuration_of_key, list_time_slots

    processor_id, snapshot, problem, schedule = listed.name.rpartition("/")[2], None, "", None
    try:
        snapshot = configuration_of_key(engine, processor_id, caller, listed.default_device_config_key)
        snapshot.processor()
    except (EngineError, ValueError) as error:
        snapshot, problem = None, str(error)
    try:
        slots = list_time_slots(engine, processor_id, caller)
    except EngineError:  # the schedule is not shown to everybody
        schedule = None
    else:
        schedule = tuple(sorted(map(_time_slot, slots), key=lambda slot: slot.start_utc))
    return ProcessorInfo(
        processor_id,
        engine.project_id,
        snapshot,
        problem,
        listed.health.name,
        _utc(listed.expected_down_time),
        _utc(listed.expected_recovery_time),
        listed.activity_stats.active_jobs_count if "activity_stats" in listed else None,
        schedule,
    )


def _time_slot(slot: quantum.QuantumTimeSlot) -> TimeSlot:
    title = slot.maintenance_config.title if "maintenance_config" in slot else ""
    if "reservation_config" in slot:
        title = slot.reservation_config.project_id
    return TimeSlot(slot.time_slot_type.name.lower(), _utc(slot.start_time) or "", _utc(slot.end_time), title)


def _utc(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="seconds")


def _minute(utc: str) -> str:
    return utc[:16].replace("T", " ")


def _cells(each: ProcessorInfo) -> tuple[str, ...]:
    """Return the cells of a processor's row."""
    taken = each.snapshot
    if taken is None:
        return (each.id, "-", "-", each.availability, *("-",) * 7)
    figures = each.figures()
    two = [f"{name} {_percent(figures[f'{name}_error'])}" for name in taken.gatesets]
    hours = taken.age_hours
    age = "-" if hours is None else f"{hours:.1f} h" if hours < 100 else f"{hours / 24:.0f} d"
    return (
        each.id,
        str(taken.qubits),
        str(taken.couplers),
        each.availability,
        f"{taken.config_name} {taken.snapshot_id.partition(' ')[0]}".strip() or "-",
        "-" if taken.calibration_utc is None else _minute(taken.calibration_utc),
        age,
        ", ".join(two) or "-",
        *(_percent(figures[name]) for name in ("one_qubit_error", "e0", "e1")),
    )


def _percent(error: float | None) -> str:
    return "unknown" if error is None else f"{100 * error:.2g}%"
