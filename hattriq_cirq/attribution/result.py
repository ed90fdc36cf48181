"""The result of an attribution as a value: the map, its errors, what it cost and what it assumed."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from hattriq_cirq.foundation.arrays import Array, FloatArray, read_only
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.provenance import Provenance

_FORMAT = "hattriq_cirq.Attribution/1"


@dataclass(frozen=True)
class Cost:
    """What a result cost on a quantum computer; an exact result cost nothing there.

    Args:
        circuits: circuits run, all inputs and path steps together.
        shots: repetitions of them in all.
        two_qubit_gates: two-qubit gates of the largest circuit as it was run.
        programs: different circuits that were compiled; circuits of one structure are points of a sweep of one program.
        mitigation_circuits: circuits run on top of those, by a mitigation.
        mitigation_shots: repetitions of them, on top of `shots`.
        variance_factor: how much more variance a map has by the mitigation than the same shots have without, at most.
    """

    circuits: int = 0
    shots: int = 0
    two_qubit_gates: int = 0
    programs: int = 0
    mitigation_circuits: int = 0
    mitigation_shots: int = 0
    variance_factor: float = 1.0

    def __add__(self, other: Cost) -> Cost:
        """The cost of two results together."""
        return Cost(
            self.circuits + other.circuits,
            self.shots + other.shots,
            max(self.two_qubit_gates, other.two_qubit_gates),
            self.programs + other.programs,
            self.mitigation_circuits + other.mitigation_circuits,
            self.mitigation_shots + other.mitigation_shots,
            max(self.variance_factor, other.variance_factor),
        )


@dataclass(frozen=True)
class Assumptions:
    """What a result rests on, in the words of the call that made it."""

    form: str
    rule: str
    head: str
    observables: tuple[str, ...]
    baseline: str
    precision: str = "float64"
    estimator: str = "exact"
    engine: str = "exact"
    seed: int | None = None
    calibration_id: str | None = None
    mitigation: str = "none"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """Attributions of one input or a batch; all arrays are read-only.

    Args:
        values: (..., features), the signed share of each feature in f_input - f_baseline.
        stderr: (..., features), the standard error of each value; 0 where nothing was sampled.
        imag_values: (..., features), the part of `values` that the imaginary parts of the amplitudes carry; None for
            real inputs.
        x: (..., features), the input.
        baseline: (..., features), or for a set of baselines with an axis in front, (baselines, ..., features), where the
            axes of the inputs may be 1.
        f_input: (...,), the score at the input.
        f_baseline: (...,), the score at the baseline, or its mean over the set.
        completeness_gap_stderr: (...,), the standard error of `completeness_gap`.
        assumptions: form, rule, head, observable, baseline, estimator, engine, seed.
        cost: circuits, shots, two-qubit gates.
        provenance: versions and time.

    Raises:
        ValueError: shapes disagree or a value is not finite.
    """

    values: FloatArray
    stderr: FloatArray
    imag_values: FloatArray | None
    x: Array
    baseline: Array
    f_input: FloatArray
    f_baseline: FloatArray
    completeness_gap_stderr: FloatArray
    assumptions: Assumptions
    cost: Cost = field(default_factory=Cost)
    provenance: Provenance = field(default_factory=Provenance.now)

    def __post_init__(self) -> None:
        for name in _array_names(self):
            array = read_only(np.asarray(getattr(self, name)))
            if not np.isfinite(array).all():
                raise ValueError(f"{name} of an attribution must be finite")
            object.__setattr__(self, name, array)
        lead = self.values.shape[:-1]
        for name in ("stderr", "imag_values", "x"):
            shape = None if getattr(self, name) is None else getattr(self, name).shape
            if shape not in (None, self.values.shape):
                raise ValueError(f"{name}.shape={shape} must be that of values, {self.values.shape}")
        if self.baseline.shape != self.values.shape and not (
            self.baseline.ndim == self.values.ndim + 1
            and all(own in (1, wanted) for own, wanted in zip(self.baseline.shape[1:-1], lead, strict=True))
            and self.baseline.shape[-1] == self.values.shape[-1]
        ):
            raise ValueError(
                f"baseline.shape={self.baseline.shape} must be {self.values.shape}, or a set of such with an axis in front"
            )
        for name in ("f_input", "f_baseline", "completeness_gap_stderr"):
            if getattr(self, name).shape != lead:
                raise ValueError(f"{name}.shape={getattr(self, name).shape} must be {lead}, one number an input")

    @property
    def completeness_gap(self) -> FloatArray:
        """(...,), the sum of the values less f_input - f_baseline; its error is `completeness_gap_stderr`."""
        gap: FloatArray = self.values.sum(axis=-1) - (self.f_input - self.f_baseline)
        return gap

    @property
    def real_values(self) -> FloatArray:
        """(..., features), the part of `values` that the real parts of the amplitudes carry.

        Raises:
            ValueError: the input is complex and the values were read from circuits, which give the whole alone.
        """
        if self.imag_values is None and np.iscomplexobj(self.x):
            raise ValueError("circuits give the sum of real and imaginary parts; attribute without an estimator for each")
        return self.values if self.imag_values is None else self.values - self.imag_values

    @property
    def n_features(self) -> int:
        """Features of an input."""
        return int(self.values.shape[-1])

    def __len__(self) -> int:
        if self.values.ndim == 1:
            raise TypeError("a single attribution has no length; it has n_features")
        return len(self.values)

    def __getitem__(self, index: int | slice) -> Attribution:
        """One input of a batch, or a slice of them."""
        if self.values.ndim == 1:
            raise TypeError("a single attribution cannot be indexed; use .values[k] for a feature")
        per_input = [name for name in _array_names(self) if name != "baseline"]
        parts = {name: getattr(self, name)[index] for name in per_input}
        if self.baseline.ndim == self.values.ndim:
            baseline = self.baseline[index]
        else:  # a set, the same for every input
            baseline = self.baseline if isinstance(index, slice) else self.baseline[:, 0]
        return replace(self, **parts, baseline=baseline)

    def __iter__(self) -> Iterator[Attribution]:
        """Each input of a batch."""
        return (self[i] for i in range(len(self)))

    def top(self, count: int = 5) -> list[tuple[int, float]]:
        """The features of a single input with the largest absolute attribution, as (index, value), largest first."""
        if self.values.ndim != 1:
            raise TypeError(f"{self.values.shape=}: choose one input first, for example a[0].top()")
        order = np.argsort(-np.abs(self.values), kind="stable")[:count]
        return [(int(k), float(self.values[k])) for k in order]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Attribution):
            return NotImplemented
        names = {f.name for f in fields(self)} - set(_array_names(self)) - set(_array_names(other))
        return (
            _array_names(self) == _array_names(other)
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _array_names(self))
            and all(getattr(self, name) == getattr(other, name) for name in names)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        lead = self.values.shape[:-1]
        what = f"{int(np.prod(lead))} inputs" if lead else "one input"
        a = self.assumptions
        lines = [
            f"Attribution of {what}, {self.n_features} features",
            f"  observable {', '.join(a.observables)}; form {a.form}; head {a.head}; baseline {a.baseline}",
            f"  estimator {a.estimator}; rule {a.rule}; engine {a.engine}; seed {a.seed}; {a.precision}",
        ]
        error = float(np.max(self.completeness_gap_stderr, initial=0.0))
        largest = float(np.max(np.abs(self.completeness_gap), initial=0.0))
        if lead:
            lines.append(f"  completeness gap at most {largest:.1e} (standard error at most {error:.1e})")
        else:
            lines.append(
                f"  score {self.f_input:+.6f}, at the baseline {self.f_baseline:+.6f}; "
                f"completeness gap {self.completeness_gap:+.1e} (standard error {error:.1e})"
            )
            top = ", ".join(f"{k}: {v:+.4f}" for k, v in self.top())
            lines.append(f"  largest: {top}")
        c = self.cost
        lines.append(
            f"  cost: {c.circuits} circuits, {c.shots} shots, {c.two_qubit_gates} two-qubit gates, {c.programs} compiled"
        )
        if a.mitigation != "none":
            lines.append(
                f"  mitigation {a.mitigation}: {c.mitigation_circuits} circuits, {c.mitigation_shots} shots more; "
                f"variance times {c.variance_factor:.2f}"
            )
        lines += [f"  note: {note}" for note in a.notes]
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes a new `.npz` file without loss. Raises FileExistsError where one exists; nothing is overwritten."""
        meta = {
            "format": _FORMAT,
            "assumptions": asdict(self.assumptions),
            "cost": asdict(self.cost),
            "provenance": asdict(self.provenance),
        }
        buffer = io.BytesIO()
        arrays = {name: getattr(self, name) for name in _array_names(self)}
        np.savez_compressed(buffer, allow_pickle=False, meta=np.array(json.dumps(meta)), **arrays)
        return write_new(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Attribution:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is not an attribution's.
        """
        archive = io.BytesIO(Path(path).read_bytes())
        try:
            with np.load(archive, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
            meta = json.loads(str(content.pop("meta")))
            if meta["format"] != _FORMAT:
                raise ValueError(f"format {meta['format']!r}")
            known = meta["assumptions"]
            assumptions = known | {name: tuple(known[name]) for name in ("observables", "notes") if name in known}
            return cls(
                **{"imag_values": None, **content},
                assumptions=Assumptions(**assumptions),
                cost=Cost(**meta["cost"]),
                provenance=Provenance(**meta["provenance"]),
            )
        except Exception as error:  # a damaged archive fails in any of a dozen ways; whichever, it is not ours
            raise ValueError(f"{path} is not a saved attribution ({error})") from error

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Writes a new CSV file, a line for each input and feature: input, feature, bits, x, value, stderr."""
        n_qubits = (self.n_features - 1).bit_length()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["input", "feature", "bits", "x", "value", "stderr"])
        flat = (a.reshape(-1, self.n_features) for a in (self.x, self.values, self.stderr))
        for i, (x, values, stderr) in enumerate(zip(*flat, strict=True)):
            for k in range(self.n_features):
                writer.writerow([i, k, f"{k:0{n_qubits}b}", x[k].item(), values[k].item(), stderr[k].item()])
        return write_new(path, text.getvalue())


def _array_names(a: Attribution) -> list[str]:
    names = (
        "values",
        "stderr",
        "imag_values",
        "x",
        "baseline",
        "f_input",
        "f_baseline",
        "completeness_gap_stderr",
    )
    return [name for name in names if getattr(a, name) is not None]
