"""Mean of a circuit's outcomes over random gauges, with the uncertainty of a finite number of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, t

from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution, SharedUncertainty

_LEVEL = 0.975  # quantile at which an error with few degrees of freedom is compared with a normal one
_ROUNDING = 1e-24  # summed squares of probabilities that rounding explains


def mean_over_gauges(outcomes: Sequence[Distribution | QuasiDistribution], block: int) -> Distribution | QuasiDistribution:
    """Return the mean over gauges: all shots together where the outcomes are counts, and the scatter between blocks of gauges.

    Gauges are clusters: shots in one gauge share its coherent errors. The means of complete blocks are compared, because the
    errors of the gauges within a block cancel; with fewer than two blocks, the gauges themselves. What their scatter exceeds
    that of the counts by, with its uncertainty of one standard deviation, is spread evenly over all outcomes, and multiplied by
    the ratio of the quantiles of the t distribution and the normal distribution.

    Args:
        outcomes: Outcome in each gauge, in order.
        block: Number of gauges in a row whose errors of first order cancel.

    Returns:
        The mean. The scatter of one gauge alone is not known.

    Example:
        >>> outcomes = [Distribution(np.array([p, 1 - p]), None) for p in (0.4, 0.6, 0.5, 0.5)]
        >>> (scatter,) = mean_over_gauges(outcomes, 1).spreads
        >>> scatter.matrix.round(4)
        array([[0.0044]])
    """
    mean = _mean(outcomes)
    clusters = [outcomes[i : i + block] for i in range(0, len(outcomes) - len(outcomes) % block, block)]
    if len(clusters) < 2:
        clusters = [[outcome] for outcome in outcomes]
    measure = QuasiDistribution.from_outcome(mean)
    if len(clusters) < 2 or measure.support is not None:
        return mean
    means = np.array([np.mean([outcome.probabilities for outcome in cluster], axis=0) for cluster in clusters])
    degrees, count = (len(clusters) - 1) * max(1, means.shape[1] - 1), len(clusters)
    counted = measure.total_variance * (1 + np.sqrt(2 / degrees))
    excess = float(np.sum((means - means.mean(axis=0)) ** 2)) / (count * (count - 1)) - counted
    if excess < _ROUNDING:
        return mean
    inflation = float(t.ppf(_LEVEL, degrees) / norm.ppf(_LEVEL)) ** 2
    scatter = SharedUncertainty(np.array([[inflation * excess / means.shape[1]]]))
    return measure.with_uncertainty(spreads={scatter: 1.0})


def scatter_note(means: Sequence[Distribution | QuasiDistribution], gauges: int) -> str:
    """Return a note on how well the gauges of circuits agree with each other, given the means over them."""
    if gauges == 1:
        return "one gauge of each circuit was run, so that the scatter between gauges is not known"
    measures = [measure for measure in map(QuasiDistribution.from_outcome, means) if measure.support is None]
    random = [[key for key in measure.spreads if not key.systematic] for measure in measures]
    scatter, counted = (
        float(np.sqrt(np.mean(each or [0.0])))
        for each in (
            [sum(float(key.matrix[0, 0]) for key in keys) for keys in random],
            [measure.total_variance / len(measure.probabilities) for measure in measures],
        )
    )
    return f"means over {gauges} gauges scatter by {scatter:.1e} in each outcome beyond the {counted:.1e} of their counts"


def _mean(outcomes: Sequence[Distribution | QuasiDistribution]) -> Distribution | QuasiDistribution:
    plain = [outcome for outcome in outcomes if isinstance(outcome, Distribution)]
    if len(plain) < len(outcomes):
        return QuasiDistribution.combined([1 / len(outcomes)] * len(outcomes), outcomes)
    if any(outcome.shots is None for outcome in plain):
        return Distribution(np.mean([outcome.probabilities for outcome in plain], axis=0), None)
    return Distribution.merged(plain)
