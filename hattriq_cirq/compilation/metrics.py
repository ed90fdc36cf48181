"""Figures of calibrations: one table of their metric names, and values that are complete for a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from statistics import median
from typing import TYPE_CHECKING, Any

import cirq

from hattriq_cirq.compilation.gatesets import GATESETS

if TYPE_CHECKING:
    import cirq_google as cg

#: Metric names of each figure: that of today's service, if there is one, and that of calibrations bundled with cirq_google.
_METRICS = {
    "e0": ("zero_error", "single_qubit_p00_error"),
    "e1": ("one_error", "single_qubit_p11_error"),
    "one_qubit_errors": ("sq_rb_pauli_error", "single_qubit_rb_pauli_error_per_gate"),
    "t1_ns": ("single_qubit_idle_t1_micros",),
    "dephasing": ("single_qubit_rb_incoherent_error_per_gate",),
    "cz": ("cz_inferred_gate_error_pauli", "two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle"),
    "sqrt_iswap": ("two_qubit_parallel_sqrt_iswap_gate_xeb_pauli_error_per_cycle",),
    "sycamore": ("two_qubit_parallel_sycamore_gate_xeb_pauli_error_per_cycle",),
    **{
        f"{angle} of {gate}": (f"two_qubit_parallel_{gate}_gate_xeb_entangler_{angle}_error_per_cycle",)
        for gate in GATESETS
        for angle in ("theta", "phi")
    },
}
READOUT, QUBIT_NOISE = ("e0", "e1"), ("one_qubit_errors", "t1_ns", "dephasing")
_NO_RELAXATION = 1e6  # T1 in microseconds of a qubit that does not relax
_SMALLEST = 1e-15  # readout error in place of 0
_NO_CALIBRATION = "calibration: there is none; all errors are unknown and count as no error"

Errors = dict[frozenset[cirq.Qid], float]


@dataclass(frozen=True, eq=False)
class CalibratedDevice:
    """Device with the figures of its calibration.

    Args:
        device: Device with metadata.
        calibration: Calibration of today's service or one bundled with cirq_google, whose metric names are both known; None if
            there is none.
    """

    device: cirq.Device
    calibration: cg.Calibration | None

    @cached_property
    def _qubits(self) -> list[frozenset[cirq.Qid]]:
        assert isinstance(self.device.metadata, cirq.GridDeviceMetadata)
        return [frozenset([q]) for q in sorted(self.device.metadata.qubit_set)]

    @cached_property
    def _couplers(self) -> list[frozenset[cirq.Qid]]:
        assert isinstance(self.device.metadata, cirq.GridDeviceMetadata)
        return [frozenset(edge) for edge in self.device.metadata.nx_graph.edges]

    def stated(self, figure: str) -> Errors:
        """Return the usable values of a figure by qubits: finite ones, T1 above 0, and errors from 0 to 1."""
        known: Mapping[str, Any] = {} if self.calibration is None else self.calibration
        metric: Mapping[Any, Any] = next((known[name] for name in _METRICS[figure] if name in known), {})
        return {
            frozenset(qubit for qubit in key if isinstance(qubit, cirq.Qid)): value
            for key, values in metric.items()
            if key and all(isinstance(qubit, cirq.Qid) for qubit in key) and _is_usable(figure, value := _number(values))
        }

    def completed(self, figure: str) -> tuple[Errors, str | None]:
        """Return the values of a figure for all qubits or couplers, and a sentence on those that the calibration lacks.

        Missing values are the median of the others. If there are no values at all, the result is empty, which counts as no
        error.
        """
        keys = self._couplers if figure in GATESETS else self._qubits
        stated = self.stated(figure)
        known = {key: stated[key] for key in keys if key in stated}
        label = f"two_qubit_errors of {figure}" if figure in GATESETS else figure
        if not known:
            return {}, f"{label}: the calibration has none; they count as no error"
        if len(known) == len(keys):
            return known, None
        usual = median(known.values())
        sentence = f"{label}: {len(keys) - len(known)} of {len(keys)} are the median of the others"
        return {key: known.get(key, usual) for key in keys}, sentence

    def missing(self, *gatesets: str) -> tuple[str, ...]:
        """Return the figures that the calibration lacks for circuits of these gate sets, one sentence each."""
        if self.calibration is None:
            return (_NO_CALIBRATION,)
        sentences = [self.completed(figure)[1] for figure in (*READOUT, *gatesets, *QUBIT_NOISE)]
        excess = sum(e0 + e1 > 1 for e0, e1 in self._readout().values())
        if excess:
            sentences.append(f"readout: {excess} of {len(self._qubits)} have e0 + e1 above 1, simulated as 1")
        return tuple(sentence for sentence in sentences if sentence is not None)

    def _readout(self) -> dict[frozenset[cirq.Qid], tuple[float, float]]:
        """Return e0 and e1 of each qubit, 0 for one that the calibration lacks altogether; empty if it lacks both."""
        e0, e1 = (self.completed(figure)[0] for figure in READOUT)
        return {key: (e0.get(key, 0.0), e1.get(key, 0.0)) for key in self._qubits if e0 or e1}

    def calibration_for_noise(self) -> cg.Calibration:
        """Return the completed figures in the metric names that cirq_google's noise properties are made from.

        Qubits whose relaxation or dephasing is unknown have none.
        """
        import cirq_google as cg

        def metric(values: Errors) -> dict[Any, Any]:
            return {tuple(sorted(key)): [value] for key, value in values.items()}

        nothing = dict.fromkeys(self._qubits, 0.0)
        unknown = {"t1_ns": dict.fromkeys(self._qubits, _NO_RELAXATION), "dephasing": nothing}
        figures = {name: self.completed(name)[0] or unknown.get(name, {}) for name in (*QUBIT_NOISE, *GATESETS)}
        for i, name in enumerate(READOUT):  # cirq divides by both errors, and damps by their sum
            figures[name] = {key: max(pair[i], _SMALLEST) / max(1.0, sum(pair)) for key, pair in self._readout().items()}
        figures |= {f"{angle} of {gate}": self.stated(f"{angle} of {gate}") for gate in GATESETS for angle in ("theta", "phi")}
        return cg.Calibration(metrics={_METRICS[name][-1]: metric(values) for name, values in figures.items()})


def is_missing_for(sentence: str, *, gates: bool, readout: bool) -> bool:
    """Return True if a sentence on what a calibration lacks concerns noise of gates and idling, or of readout.

    Example:
        >>> is_missing_for("e1: 2 of 105 are the median of the others", gates=True, readout=False)
        False
    """
    figure = sentence.partition(":")[0]
    if figure == "calibration":
        return gates or readout
    return readout if figure in (*READOUT, "readout") else gates


def _number(values: Sequence[Any]) -> float:
    try:
        return float(values[0])
    except (IndexError, ValueError):
        return float("nan")


def _is_usable(figure: str, value: float) -> bool:
    if figure == "t1_ns":
        return isfinite(value) and value > 0
    return isfinite(value) and (" of " in figure or 0 <= value <= 1)
