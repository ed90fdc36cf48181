"""Attribution to the amplitudes inside a circuit: one map per cut.

Cut the circuit, U = U_> U_<=. The state at the cut, x_l = U_<= x, enters the rest of the circuit as an input enters the whole,
with M_l = U_>' O U_>. Its map is IG_j = Re(conj(d_l)_j (M_l s_l)_j) = Re(conj(U_<= d)_j (U_<= M s)_j), so that all cuts follow
from M s by forward evolution. Each map sums to F(x) - F(b).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet, resolve
from hattriq_cirq.attribution.other_methods import diagonal
from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    IntArray,
    normal_interval,
    rescaled,
    scaling_exponents,
    times_power_of_2,
)
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.checks import as_count
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.model import Model, check_columns, model_inputs

_BYTES_MAX = 2**32  # of all flows
_ARRAYS = ("values", "stderr", "f_input", "f_baseline", "population", "flow", "systematic", "rare_stderr")


@dataclass(frozen=True, eq=False)
class LayerAttribution(Displayed, Frozen):
    """Attributions to the amplitudes at several cuts of a circuit, of one input or a batch; all arrays are read-only.

    Args:
        cuts: Number of moments before each cut, (cuts,); 0 is the input.
        values: Maps, (..., cuts, features); each sums to f_input - f_baseline. They belong to the basis states at the cut: a
            change of basis there changes the map and not its sum.
        stderr: Standard error of each value, in the same shape; 0 for exact maps.
        f_input: Score at the input, (...,).
        f_baseline: Score at the baseline, or its mean over a set, (...,).
        population: Sum over j of (M_l)_jj (|x_l,j|^2 - |b_l,j|^2), (..., cuts): the part of the score that the populations of
            the basis states at the cut decide; the rest is interference. None for measured maps.
        flow: Contribution of each input feature through each amplitude at the cut, (..., cuts, features at the cut, features);
            its rows sum to the map of the cut, its columns to that of the input. None if it was not computed.
        systematic: Standard deviation of what noise and its correction may leave in each value; None where nothing is known.
        rare_stderr: Standard deviation that outcomes too rare to have been counted add in intervals; None for exact maps.
        notes: Findings about the errors, one sentence each.

    Example:
        >>> import hattriq_cirq as hq
        >>> found = hq.layer_attribution(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8])
        >>> found.cuts.tolist(), found.values.shape
        ([0, 3, 5], (3, 4))
    """

    cuts: IntArray
    values: FloatArray
    stderr: FloatArray
    f_input: FloatArray
    f_baseline: FloatArray
    population: FloatArray | None = None
    flow: FloatArray | None = None
    systematic: FloatArray | None = None
    rare_stderr: FloatArray | None = None
    notes: tuple[str, ...] = ()

    @property
    def interference(self) -> FloatArray | None:
        """F(x) - F(b) less the population share, (..., cuts); None for measured maps."""
        if self.population is None:
            return None
        return np.asarray((self.f_input - self.f_baseline)[..., np.newaxis] - self.population)

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Return the low and high ends of the interval of each value, in the shape of `values`.

        Args:
            level: Probability that an interval holds the exact value, between 0 and 1.
        """
        return normal_interval(self.values, self.stderr, level, self.rare_stderr, self.systematic)

    def __getitem__(self, index: int | slice) -> LayerAttribution:
        """Return the attributions of some inputs of a batch."""
        if self.values.ndim < 3:
            raise IndexError("these are the maps of one input, which has no parts")
        arrays = ((name, getattr(self, name)) for name in _ARRAYS)
        parts: dict[str, Any] = {name: None if array is None else array[index] for name, array in arrays}
        return replace(self, **parts)

    def card(self) -> Card:
        """Return the cuts, and of a single input the largest basis state and the population share at each cut."""
        of = quantity(self.f_input.size, "input") if self.f_input.ndim else "one input"
        features = self.values.shape[-1]
        title = f"LayerAttribution of {of}: maps of {features} features at the cuts {self.cuts.tolist()}"
        if self.f_input.ndim:
            return Card(title, notes=self.notes)
        rows = []
        for i, cut in enumerate(self.cuts.tolist()):
            k = int(np.argmax(np.abs(self.values[i])))
            share = "not measured" if self.population is None else f"{self.population[i]:+.4g}"
            rows.append((cut, DataContract().feature_name(k, features), f"{self.values[i, k]:+.4g}", share))
        header = ("cut", "largest at", "its value", "population share")
        scores = [("score", f"{float(self.f_input):+.4g}, at the baseline {float(self.f_baseline):+.4g}")]
        return Card(title, scores, header, rows, numbers=2, notes=self.notes)

    def __repr__(self) -> str:
        return self.card().title


def check_layers(model: Model) -> None:
    """Raise ValueError for a circuit that is not unitary on the data qubits alone."""
    if not model.is_unitary or model.environment:
        raise ValueError(
            f"{model!r} has no layers: at a cut there are amplitudes only if the circuit is unitary on the data qubits alone; "
            "take dilated = model.dilated() and attribute hq.Model(dilated.circuit, [*dilated.qubits, *dilated.environment], "
            "dilated.observable), whose inputs are those of the data qubits beside |0>"
        )


def default_cuts(model: Model) -> list[int]:
    """Return the cuts between the layers of a circuit: at both ends, and after each run of moments with wide gates.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> default_cuts(ring_ansatz(2, layers=2))
        [0, 3, 6, 8]
    """
    moments = model.resolved_circuit.moments
    wide = [any(len(op.qubits) > 1 for op in moment) for moment in moments]
    ends = [i for i, (own, following) in enumerate(pairwise([*wide, False]), 1) if own and not following]
    return sorted({0, *ends, len(moments)})


def as_cuts(model: Model, cuts: Sequence[int] | None) -> list[int]:
    """Return cuts as plain integers in ascending order, or the default cuts.

    Raises:
        ValueError: A cut is repeated or lies outside the circuit.
    """
    if cuts is None:
        return default_cuts(model)
    most = len(model.resolved_circuit)
    found = [as_count(cut, f"cuts[{i}]", 0, most) for i, cut in enumerate(np.atleast_1d(np.asarray(cuts)).tolist())]
    if not found or len(set(found)) != len(found):
        raise ValueError(f"{cuts=} must name at least one number of moments, each once")
    return sorted(found)


def exact_layers(
    model: Model,
    x: ArrayLike,
    *,
    baseline: float | ArrayLike | BaselineSet = 0,
    cuts: Sequence[int] | None = None,
    flow: bool = False,
    shares: bool = True,
) -> LayerAttribution:
    """Compute layer attributions by simulation; users call `hattriq_cirq.layer_attribution`, which describes the arguments.

    Args:
        model: As there.
        x: As there.
        baseline: As there.
        cuts: As there.
        flow: As there.
        shares: Compute the population shares, which take a product M x for each feature and cut.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> exact_layers(ring_ansatz(1, 0), [0.6, 0.8]).values.sum(axis=-1).round(2)
        array([-0.28, -0.28])
    """
    check_layers(model)
    check_columns(model, x, "x")
    inputs = model_inputs(model, x)
    references, _ = resolve(baseline, inputs)
    places = as_cuts(model, cuts)
    lead, n = inputs.shape[:-1], model.n_features
    rows = inputs.reshape(-1, n)
    if flow and len(rows) * len(places) * n**2 * 8 > _BYTES_MAX:
        raise ValueError(
            f"flows of {len(rows)} inputs at {len(places)} cuts between {n:,} features take more than 4 GiB; give fewer inputs "
            "or cuts"
        )
    exponents = scaling_exponents(rows, *references)
    scaled = times_power_of_2(rows, -exponents)
    values, population = np.zeros((len(rows), len(places), n)), np.zeros((len(rows), len(places)))
    flows = np.zeros((len(rows), len(places), n, n)) if flow else None
    f_baseline = np.zeros(len(rows))
    parts = [_part(model, model.resolved_circuit[start:stop]) for start, stop in pairwise([0, *places])]
    before = _states_at(parts, np.eye(n)) if flow else None
    diagonals = [diagonal(_part(model, model.resolved_circuit[cut:])) for cut in places] if shares else None
    own = _states_at(parts, scaled)
    for b in references:
        reference = times_power_of_2(np.broadcast_to(b, rows.shape), -exponents)
        d, acted = scaled - reference, model.observable_action(scaled + reference)
        f_baseline += np.real(np.sum(reference.conj() * model.observable_action(reference), axis=1)) / len(references)
        sides = zip(own, _states_at(parts, reference), _states_at(parts, acted), strict=True)
        for i, (end, start, right) in enumerate(sides):
            values[:, i] += ((end - start).conj() * right).real / len(references)
            if diagonals is not None:
                population[:, i] += (np.abs(end) ** 2 - np.abs(start) ** 2) @ diagonals[i] / len(references)
            if flows is not None and before is not None:
                paths = before[i].T[np.newaxis] * d[:, np.newaxis]
                flows[:, i] += (paths.conj() * right[:, :, np.newaxis]).real / len(references)
    f_input = np.real(np.sum(scaled.conj() * model.observable_action(scaled), axis=1))

    def restored(array: FloatArray) -> FloatArray:
        powers = 2 * exponents.reshape((len(rows), *(1 for _ in array.shape[1:])))
        return rescaled(array, powers, "a layer attribution").reshape((*lead, *array.shape[1:]))

    return LayerAttribution(
        np.array(places),
        restored(values),
        np.zeros((*lead, len(places), n)),
        restored(f_input),
        restored(f_baseline),
        restored(population) if shares else None,
        None if flows is None else restored(flows),
    )


def _states_at(parts: Sequence[Model], x: Array) -> list[Array]:
    """Return U_<= x behind each part of a circuit, for a batch of vectors."""
    return list(accumulate(parts, lambda state, part: part.evolve(state), initial=x))[1:]


def _part(model: Model, circuit: cirq.FrozenCircuit) -> Model:
    """Return the model with a part of its circuit, whose symbols are numbers."""
    return Model(circuit, model.qubits, model.pauli_sum)
