"""The choice of product states that probe an observable: which bases, how often, with which signs.

A string P is seen by the bases that agree with it on its support. With the share c_P of all shots that see it and a prior
variance D_P, S shots leave its coefficient a variance of about 1 / (S c_P + 1 / D_P), and attribution maps an expected squared
error of sum_P w_P / (S c_P + 1 / D_P). The shares of the bases that minimize this sum are the solution of a convex problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky
from scipy.optimize import brentq
from scipy.sparse import csr_array

from hattriq_cirq.foundation.arrays import FloatArray, largest_first, read_only
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates

_TABLE_MAX = 2**25  # entries of the table of strings and bases
_GAP = 0.01  # relative distance from the optimum at which the shares are good enough
_STEPS = 1_000
_LEAST_IMPORTANCE = 1e-4  # smallest weight of a string, as a share of the mean, so that each is seen
_PER_STRING = 6  # probes per string: the variance is 6/5 of that of separate estimates, and no prior decides
_PER_STRING_LEAST = 2  # without a prior: the variance is about twice that of separate estimates
_PROBES = 24, 6_000  # fewest probes, and the number above which a design takes no more than it must
_ROUNDS = 12
#: Number of states beside the probes of the fit, for tests: the more there are, the fewer shots each of them has.
HELD_OUT = 8
_SINGULAR = 1e-6  # smallest relative pivot of a design that separates all strings


@dataclass(frozen=True, eq=False)
class ProbeDesign(Frozen):
    """Probes of an observable, each with an equal share of the shots.

    Args:
        states: Product state of each probe.
        strings: Strings whose coefficients the probes estimate.
        importance: Weight w_P of each string for a map, (strings,).
        held_out: States beside the probes for tests, in bases that see the most strings: few, so that each has many shots.

    Example:
        >>> design = design_probes(PauliStrings.from_text(["ZI", "XX"]), np.ones(2), probes=40, seed=1)
        >>> sorted(set(design.states.bases.texts)), round(design.squared_error(10_000), 5)
        (['XX', 'ZX', 'ZZ'], 0.0004)
    """

    states: ProductStates
    strings: PauliStrings
    importance: FloatArray
    held_out: ProductStates

    @cached_property
    def shares(self) -> FloatArray:
        """Share of the probes that see each string, (strings,)."""
        return read_only(_agreements(self.strings, self.states.bases).mean(axis=1).astype(float))

    def variances(self, shots: float, prior: FloatArray | None = None) -> FloatArray:
        """Return the variance of a separate estimate of each coefficient, (strings,); without a prior infinite if it is unseen.

        Args:
            shots: Number of shots of all probes, each with outcomes of variance 1.
            prior: Prior variance of each coefficient, (strings,), which is that of a string that is never seen; None for none.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(1 / (shots * self.shares + (0.0 if prior is None else 1 / prior)))

    def share_left(self, shots: float, prior: FloatArray | None = None) -> float:
        """Return the share of the shots that a fit of all coefficients together leaves of those of separate estimates.

        A fit spends as many probes as it decides coefficients: the share k solves
        k = 1 - (1/probes) sum_P S c_P k / (S c_P k + 1 / prior_P), the equation of ridge regression with random rows (Dobriban
        and Wager, Annals of Statistics 46, 247, 2018).

        Args:
            shots: Number of shots S, as in `variances`.
            prior: Prior variance of each coefficient, (strings,); None for least squares.
        """
        precision = shots * self.shares[self.shares > 0]
        known = 0.0 if prior is None else 1 / prior[self.shares > 0]

        def excess(left: float) -> float:
            return 1 - float(np.sum(precision * left / (precision * left + known))) / len(self.states) - left

        least = 1e-12
        return float(brentq(excess, least, 1, xtol=1e-9)) if excess(least) > 0 else least

    def squared_error(self, shots: float, prior: FloatArray | None = None) -> float:
        """Return the expected squared L2 error of a map, with the arguments of `variances`."""
        return float(np.sum(self.importance * self.variances(shots, prior)))


def design_probes(
    strings: PauliStrings,
    importance: FloatArray,
    *,
    probes: int | None,
    seed: int | Sequence[int],
    least: int = 0,
    known: FloatArray | None = None,
    full_rank: bool = False,
) -> ProbeDesign:
    """Choose probes for the coefficients of strings.

    Args:
        strings: Strings of the observable.
        importance: Weight w_P of each for a map, (strings,), from `PauliStrings.importance`.
        probes: Number of probes; None takes as many as the design needs.
        seed: Random seed for the signs of the eigenvalues.
        least: Smallest number of probes if `probes` is None.
        known: What a prior says about each coefficient, as the share of all shots that would say as much, (strings,):
            1 / (S D_P); None for nothing. Little is spent on strings whose coefficients are known to be small.
        full_rank: Require that the probes alone determine every coefficient, without a prior.

    Returns:
        The design; a basis is probed in proportion to its optimal share, with different signs as long as there are any.

    Raises:
        ValueError: The given number of probes does not determine the coefficients and `full_rank` is asked for.

    Example:
        >>> design = design_probes(PauliStrings.every(2), np.ones(15), probes=None, seed=0, full_rank=True)
        >>> table = design.states.expectations(PauliStrings.every(2)).toarray()
        >>> int(np.linalg.matrix_rank(table)) == table.shape[1]
        True
    """
    if full_rank and probes is not None and probes < len(strings):
        raise ValueError(f"{probes=} cannot determine {len(strings)} coefficients without a prior; use at least that many")
    mean = float(importance.mean())
    weights = np.maximum(importance, _LEAST_IMPORTANCE * mean) if mean > 0 else np.ones(len(strings))
    bases = candidate_bases(strings, weights)
    table = _agreements(strings, bases)
    known = np.zeros(len(strings)) if known is None else known
    shares = basis_shares(table, weights, known)
    rng = np.random.default_rng(seed)
    count = probes or number_of_probes(len(strings), least)
    if full_rank and probes is None:
        count = max(count, _PER_STRING_LEAST * len(strings))
    states = _states(strings, bases, table[known == 0], shares, count, rng)
    for attempt in range(1, _ROUNDS + 1 if full_rank else 1):
        if _has_full_rank(states.expectations(strings)):
            break
        if probes is None:
            count += count // 4
        evened = shares + attempt / _ROUNDS * (1 / len(shares) - shares)
        states = _states(strings, bases, table[known == 0], evened, count, rng)
    else:
        if full_rank:
            raise ValueError(f"{count} probes do not determine all {len(strings)} coefficients; use more probes, or a prior")
    return ProbeDesign(states, strings, np.asarray(importance, dtype=float), _held_out(strings, states, rng))


def number_of_probes(strings: int, least: int = 0) -> int:
    """Return the number of probes that a design for as many strings takes, if it need not determine every coefficient."""
    return max(_PROBES[0], least, min(_PER_STRING * strings, _PROBES[1]))


def candidate_bases(strings: PauliStrings, weights: FloatArray) -> PauliStrings:
    """Return bases that see the strings together: all of them where they are few, and else completions of the strings.

    Qubits on which no string acts are in Z.

    A completion takes the letters of one string and adds, step by step, those of the most important string that agrees with
    it so far. With strings of an even number of Y only, bases with an odd number see nothing that others do not see.

    Args:
        strings: Strings of the observable.
        weights: Positive weight of each, (strings,).

    Example:
        >>> candidate_bases(PauliStrings.from_text(["ZI", "XX"]), np.ones(2)).texts
        ['ZZ', 'ZX', 'XZ', 'XX', 'YY']
    """
    n, used = strings.n_qubits, int(np.bitwise_or.reduce(strings.supports))
    powers = np.array([1 << bit for bit in range(n - 1, -1, -1) if used >> bit & 1], dtype=np.int64)
    if 3 ** len(powers) * len(strings) <= _TABLE_MAX:
        letters = np.array(list(product((1, 2, 3), repeat=len(powers))), dtype=np.int64)
        unused = (2**n - 1) & ~used
        every = PauliStrings(n, (letters >> 1) @ powers, (letters & 1) @ powers | unused)
        return every.select(every.is_real) if strings.is_real.all() else every
    return _completions(strings, weights, max(1, _TABLE_MAX // len(strings)))


def _completions(strings: PauliStrings, weights: FloatArray, limit: int) -> PauliStrings:
    """Return the completions of the most important strings, and of every string that none of them sees."""
    order = largest_first(weights)
    x, z, support = (masks[order] for masks in (strings.x_masks, strings.z_masks, strings.supports))
    found: dict[tuple[int, int], None] = {}
    unseen = np.ones(len(order), dtype=bool)
    for start in range(len(order)):
        if not unseen[start] and len(found) >= limit:
            continue
        basis_x, basis_z, fixed = int(x[start]), int(z[start]), int(support[start])
        while True:
            conflicts = ((x ^ basis_x) | (z ^ basis_z)) & support & fixed
            more = (conflicts == 0) & ((support & ~fixed) != 0)
            preferred = np.flatnonzero(more & unseen)
            chosen = preferred if len(preferred) else np.flatnonzero(more)
            if not len(chosen):
                break
            best = int(chosen[0])
            basis_x |= int(x[best])
            basis_z |= int(z[best])
            fixed |= int(support[best])
        basis_z |= (2**strings.n_qubits - 1) & ~fixed
        found[basis_x, basis_z] = None
        unseen &= ((x ^ basis_x) | (z ^ basis_z)) & support != 0
    masks = np.array(list(found), dtype=np.int64)
    return PauliStrings(strings.n_qubits, masks[:, 0], masks[:, 1])


def basis_shares(table: NDArray[np.float32], weights: FloatArray, known: FloatArray) -> FloatArray:
    """Return the shares of the bases that minimize sum_P w_P / (c_P + known_P), by the update p <- p sqrt(gradient).

    Args:
        table: 1 where a basis sees a string, (strings, bases); every string is seen by some basis.
        weights: Positive weight w_P of each string, (strings,).
        known: What is known of each without data, as a share of all shots, (strings,).

    Returns:
        Shares with sum 1, (bases,); the sum is at most 1% above its minimum, by the duality gap.

    Example:
        >>> basis_shares(np.eye(2, dtype=np.float32), np.array([1.0, 4.0]), np.zeros(2)).round(3)
        array([0.333, 0.667])
        >>> basis_shares(np.eye(2, dtype=np.float32), np.array([1.0, 4.0]), np.array([0.0, 0.5])).round(2)
        array([0.5, 0.5])
    """
    shares = np.full(table.shape[1], 1 / table.shape[1])
    for _ in range(_STEPS):
        seen = table @ shares.astype(np.float32) + known
        gradient = (table.T @ (weights / seen**2).astype(np.float32)).astype(float)
        if gradient.max() - shares @ gradient <= _GAP * float(np.sum(weights / seen)):
            break
        shares = shares * np.sqrt(gradient)
        shares /= shares.sum()
    return np.asarray(shares)


def _agreements(strings: PauliStrings, bases: PauliStrings) -> NDArray[np.float32]:
    """Return 1 where a basis agrees with a string on its support, (strings, bases)."""
    table = np.empty((len(strings), len(bases)), dtype=np.float32)
    for i, (x, z, support) in enumerate(zip(strings.x_masks, strings.z_masks, strings.supports, strict=True)):
        table[i] = (((bases.x_masks ^ x) | (bases.z_masks ^ z)) & support) == 0
    return table


def _states(
    strings: PauliStrings,
    bases: PauliStrings,
    table: NDArray[np.float32],
    shares: FloatArray,
    count: int,
    rng: np.random.Generator,
) -> ProductStates:
    """Return probes in proportion to the shares, with signs that differ within a basis as long as there are any."""
    counts = _counts(table, shares, count)
    used = int(np.bitwise_or.reduce(strings.supports))
    free = [bit for bit in range(strings.n_qubits) if used >> bit & 1]
    signs = [_sign_patterns(free, number, rng) for number in counts.tolist() if number]
    return ProductStates(bases.select(np.repeat(np.arange(len(bases)), counts)), np.concatenate(signs))


def _held_out(strings: PauliStrings, probes: ProductStates, rng: np.random.Generator) -> ProductStates:
    """Return states in the bases of the probes that see the most strings, two of each basis."""
    masks, counts = np.unique([probes.bases.x_masks, probes.bases.z_masks], axis=1, return_counts=True)
    bases = PauliStrings(strings.n_qubits, *masks)
    most = np.lexsort((-counts, -_agreements(strings, bases).sum(axis=0)))[: HELD_OUT // 2]
    spread = np.diff(np.rint(np.linspace(0, HELD_OUT, len(most) + 1))).astype(np.int64)
    used = int(np.bitwise_or.reduce(strings.supports))
    free = [bit for bit in range(strings.n_qubits) if used >> bit & 1]
    signs = [_sign_patterns(free, number, rng) for number in spread.tolist()]
    return ProductStates(bases.select(np.repeat(most, spread)), np.concatenate(signs))


def _counts(table: NDArray[np.float32], shares: FloatArray, count: int) -> NDArray[np.int64]:
    """Return the number of probes of each basis, (bases,), in proportion to the shares and so that all of the table is seen.

    Bases that follow each other are alike. Rounding the sums of the shares up to each basis keeps the sums over bases that are
    alike, however small their own shares.
    """
    counts = np.diff(np.rint(np.cumsum(shares) / shares.sum() * count), prepend=0).astype(np.int64)
    seen = table @ counts.astype(np.float32)
    for string in np.flatnonzero(seen == 0):
        if seen[string]:
            continue
        alone = table[seen == 1].any(axis=0)  # bases without which some string would not be seen
        spare = np.flatnonzero((counts > 1) | ((counts == 1) & ~alone))
        if not len(spare):
            break  # fewer probes than needed; a prior covers the strings that are not seen
        given, taken = spare[np.argmax(counts[spare])], int(np.argmax(table[string] * (shares + 1e-12)))
        counts[given] -= 1
        counts[taken] += 1
        seen += table[:, taken] - table[:, given]
    return np.asarray(counts)


def _sign_patterns(bits: Sequence[int], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return patterns of signs of some qubits, each of them once before any comes again, (count,)."""
    size = 2 ** len(bits)
    if size > 2**16:
        codes = rng.integers(size, size=count)
    else:
        codes = np.concatenate([rng.permutation(size) for _ in range(-(-count // size))])[:count]
    patterns = np.zeros(count, dtype=np.int64)
    for position, bit in enumerate(bits):
        patterns |= (codes >> position & 1) << bit
    return patterns


def _has_full_rank(table: csr_array) -> bool:
    """Return True if the columns of a table (probes, strings) are independent."""
    gram = (table.T @ table).toarray()
    try:
        pivots = np.diag(cholesky(gram, lower=True, check_finite=False))
    except LinAlgError:
        return False
    return bool(pivots.min() ** 2 > _SINGULAR * gram.diagonal().max())
