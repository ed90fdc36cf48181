"""Charts of readout calibrations: the confusion of a group of qubits, and the drift of their errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from scipy.stats import beta

from calibration.correlated import CorrelatedCalibration, correlation_test
from calibration.drift import compare
from calibration.readout import ReadoutCalibration
from hattriq_cirq._arrays import FloatArray


def confusion_figure(calibration: CorrelatedCalibration, product: ReadoutCalibration) -> Figure:
    """The measured confusion of a group, and what the product of its qubits' own confusions leaves unexplained."""
    expected: FloatArray = np.eye(1)
    for q in calibration.qubits:
        expected = np.asarray(np.kron(expected, product.confusion(q)), dtype=float)
    bits = len(calibration.qubits)
    labels = [f"{i:0{bits}b}" for i in range(2**bits)]
    drawn = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = drawn.subplots(1, 2)
    rest = calibration.confusion - expected
    most, shots = float(np.abs(rest).max()), min(row.shots or 1 for row in calibration.rows)
    seen = left.imshow(calibration.confusion, cmap="Blues", vmin=0, vmax=1)
    unexplained = right.imshow(rest, cmap="RdBu_r", vmin=-most, vmax=most)
    drawn.colorbar(seen, ax=left, label="chance")
    drawn.colorbar(unexplained, ax=right, label=f"measured - product (s.e. < {0.5 / shots**0.5:.3f})")
    verdict = correlation_test(calibration)
    titles = ("measured confusion", "correlated" if verdict.correlated else "no sign of correlation")
    for ax, title in zip((left, right), titles, strict=True):
        ax.set(title=title, xlabel="observed", ylabel="prepared")
        ax.set_xticks(range(2**bits), labels, rotation=90)
        ax.set_yticks(range(2**bits), labels)
    drawn.suptitle(str(verdict), fontsize="small")
    return drawn


def drift_figure(calibrations: Sequence[ReadoutCalibration]) -> Figure:
    """e1 of every qubit from calibration to calibration, with 95% intervals, and the verdict on the first and the last."""
    drawn = Figure(figsize=(6.4, 3.4), layout="constrained")
    ax = drawn.subplots()
    at = np.arange(1, len(calibrations) + 1)
    for i, q in enumerate(calibrations[0].qubits):
        counts = np.array([c.counts[i, 1] for c in calibrations if c.counts is not None])  # [time, observed]
        middle = np.array([c.errors[i, 1] for c in calibrations])
        ends = np.array([beta.ppf([0.025, 0.975], wrong + 0.5, right + 0.5) for wrong, right in counts])
        ax.errorbar(at + 0.06 * i, middle, np.abs(ends.T - middle), fmt="o-", color=f"C{i}", capsize=2, label=f"{q}")
    ax.set(xlabel="calibration within the run", ylabel="e1, chance that 1 is read as 0", xticks=at)
    ax.legend(title="qubit", frameon=False)
    ax.set_title(str(compare(calibrations[0], calibrations[-1])), fontsize="small", wrap=True)
    sns.despine(ax=ax)
    return drawn
