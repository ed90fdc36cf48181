"""Quantum data: ground states of the transverse-field Ising chain, labelled by their phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.datasets.split import FRACTION, SAMPLES_MAX
from hattriq_cirq.datasets.value import Dataset, from_features
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, as_number, as_seed, as_word, shown
from hattriq_cirq.foundation.numerics import with_numpy_defaults

Boundary = Literal["periodic", "open"]
_QUBITS = 3, 16
_FIELDS = "be (low, high) with 0 < low < 1 < high"


@with_numpy_defaults
def tfim(
    n_qubits: int = 8,
    samples: int = 200,
    g_range: tuple[float, float] = (0.2, 1.8),
    train_gap: float = 0.0,
    boundary: Boundary = "periodic",
    test_fraction: float = 0.3,
    *,
    seed: int = 0,
) -> Dataset:
    """Return ground states of H = -sum Z_i Z_(i+1) - g sum X_i: ordered (+1, g < 1) or paramagnetic (-1).

    Half of the samples are on each side of g = 1, the transition of the infinite chain; on each side the interval of g is
    divided into equal parts with one uniform sample each.

    Args:
        n_qubits: Length of the chain, 3..16; qubit 0 is the most significant bit of a feature's index.
        samples: Number of samples, even, at least 4.
        g_range: Lowest and highest ratio of field to coupling, 0 < low < 1 < high.
        train_gap: Smallest distance |g - 1| of training samples; test samples come from all of g_range.
        boundary: `periodic` to couple the last qubit to the first, or `open`.
        test_fraction: Share of each class in the test set, between 0 and 1.
        seed: Random seed of the fields.

    Returns:
        A data set with real non-negative amplitudes; details["g"] is the field of each sample.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> data = tfim(n_qubits=3, samples=10)
        >>> data.label_names
        ('paramagnetic, g > 1', 'ordered, g < 1')
    """
    n_qubits, seed = as_count(n_qubits, "n_qubits", *_QUBITS), as_seed(seed)
    advice = f"be even and 4 or more, at most {SAMPLES_MAX}: half of each phase, to train and to test"
    samples = as_count(samples, "samples", 4, SAMPLES_MAX, advice=advice)
    if samples % 2:
        raise ValueError(f"{samples=} must {advice}")
    if not isinstance(g_range, Sequence | np.ndarray) or len(g_range) != 2:
        raise ArgumentTypeError(f"g_range={shown(g_range)} must {_FIELDS}")
    low, high = (as_number(g, f"g_range[{i}]", advice=f"be finite; g_range must {_FIELDS}") for i, g in enumerate(g_range))
    if not 0 < low < 1 < high:
        raise ValueError(f"{g_range=} must {_FIELDS}")
    advice = f"be 0 or more and leave fields inside {g_range=} on both sides of 1"
    train_gap = as_number(train_gap, "train_gap", 0, below=min(1 - low, high - 1), advice=advice)
    test_fraction = as_number(test_fraction, "test_fraction", above=0, below=1, advice=FRACTION)
    rng = np.random.default_rng(seed)
    half = samples // 2
    held_out = int(np.clip(np.rint(test_fraction * half), 1, half - 1))
    train_g = [_stratified_uniform(*limits, half - held_out, rng) for limits in ((low, 1 - train_gap), (1 + train_gap, high))]
    test_g = [_stratified_uniform(*limits, held_out, rng) for limits in ((low, 1.0), (1.0, high))]
    n_train = 2 * (half - held_out)
    order = np.concatenate([rng.permutation(n_train), n_train + rng.permutation(2 * held_out)])
    g = np.concatenate(train_g + test_g)[order]
    return from_features(
        np.stack([ground_state(n_qubits, float(each), boundary)[1] for each in g]),
        np.where(g < 1, 1, -1),
        name=f"tfim n={n_qubits}",
        label_names=("paramagnetic, g > 1", "ordered, g < 1"),
        split=(np.arange(n_train), np.arange(n_train, samples)),
        details={
            "hamiltonian": "-sum Z_i Z_(i+1) - g sum X_i",
            "boundary": boundary,
            "g": g,
            "g_range": [low, high],
            "train_gap": train_gap,
            "test_fraction": test_fraction,
            "seed": seed,
        },
    )


@with_numpy_defaults
def ground_state(n_qubits: int, g: float, boundary: Boundary = "periodic") -> tuple[float, NDArray[np.float64]]:
    """Return the ground state of the transverse-field Ising chain, computed among the states that are even under prod X.

    For g > 0 all off-diagonal elements of H are <= 0 and connect every bit string, so that by Perron and Frobenius the ground
    state is unique, positive, and hence even. The even states (one bit string of each flipped pair, top bit 0) halve the
    problem and exclude the nearly degenerate odd state of g < 1.

    Args:
        n_qubits: Length of the chain, 3..16.
        g: Ratio of field to coupling, > 0.
        boundary: `periodic` or `open`.

    Returns:
        The energy in units of the coupling, and the real non-negative amplitudes of norm 1, (2**n_qubits,).

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> energy, state = ground_state(3, g=1e-6)  # two states, all qubits equal
        >>> round(energy, 3), state[[0, -1]].round(3)
        (-3.0, array([0.707, 0.707]))
    """
    from scipy.sparse import csr_array, diags_array
    from scipy.sparse.linalg import eigsh

    n_qubits = as_count(n_qubits, "n_qubits", *_QUBITS)
    g = as_number(g, "g", above=0, advice="be positive and finite: at g = 0 the ground state is not unique")
    as_word(boundary, "boundary", get_args(Boundary))
    size = 2 ** (n_qubits - 1)
    states = np.arange(size)
    z = 1.0 - 2.0 * (states[:, None] >> np.arange(n_qubits) & 1)
    bonds = (z[:, :-1] * z[:, 1:]).sum(axis=1) + (z[:, -1] * z[:, 0] if boundary == "periodic" else 0.0)
    # flipping the top bit gives the partner of the state with all lower bits flipped
    flips = np.append(2 ** np.arange(n_qubits - 1), size - 1)
    columns = (states[:, None] ^ flips).ravel()
    field = csr_array((np.full(columns.size, -g), (np.repeat(states, n_qubits), columns)), shape=(size, size))
    energy, vector = eigsh(field - diags_array(bonds), k=1, which="SA", v0=np.linspace(1.0, 2.0, size))
    even = np.abs(vector[:, 0]) / np.sqrt(2.0)
    return float(energy[0]), np.concatenate([even, even[::-1]])


def _stratified_uniform(low: float, high: float, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return one uniform random number in each of `count` equal parts of [low, high]."""
    return low + (high - low) * (np.arange(count) + rng.random(count)) / count
