"""Every metric of faithfulness at once, and means of many columns with their intervals: what studies of maps share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from hattriq_cirq import faithfulness
from hattriq_cirq.foundation.arrays import Array, FloatArray

STEPS = 16
SUBSETS = 64  # random sets of features for each metric that draws them
SHARES = (0.05, 0.25, 0.5, 0.75)  # of the features, for sensitivity-n
CORRELATION_SHARE = 0.1
_RESAMPLES = 2_000
METRICS: Mapping[str, str] = {
    "SRG": "up",
    "deletion": "down",
    "insertion": "up",
    "correlation": "up",
    **{f"sensitivity {share:.0%}": "up" for share in SHARES},
    "infidelity": "down",
}
"""Each metric, and which way is better; sensitivity-n and the correlation by the share of features in a set."""


def judged(
    score: faithfulness.ScoreFunction, x: Array, values: Array, reference: faithfulness.Reference, seed: int
) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    """Every metric of maps but max-sensitivity, a number an input, and the deletion curves averaged over inputs.

    With the same reference, features put in most relevant first pass through the same inputs as features removed least
    relevant first: insertion is the area under the LeRF deletion curve. Infidelity is of the map times its best factor,
    relative to that of a blank map: 1 less the share of the losses explained.
    """
    ask = partial(faithfulness.deletion_curve, score, x, values, reference=reference, steps=STEPS)
    curves = {"MoRF": ask(), "LeRF": ask(order="lerf")}
    areas = {order: faithfulness.area(curve) for order, curve in curves.items()}
    sizes = [max(1, round(share * x.shape[1])) for share in (CORRELATION_SHARE, *SHARES)]
    draw: dict[str, Any] = {"reference": reference, "samples": SUBSETS, "seed": seed}
    r = faithfulness.sensitivity_n(score, x, values, sizes=sizes, **draw)
    explained = faithfulness.infidelity(score, x, values, scaled=True, **draw)
    scores = {
        "SRG": areas["LeRF"] - areas["MoRF"],
        "deletion": areas["MoRF"],
        "insertion": areas["LeRF"],
        "correlation": r[:, 0],
        **{f"sensitivity {share:.0%}": r[:, i + 1] for i, share in enumerate(SHARES)},
        "infidelity": explained / faithfulness.infidelity(score, x, np.zeros(x.shape), **draw),
    }
    kept = {order: {"fractions": curve.fractions, "scores": curve.scores} for order, curve in curves.items()}
    return scores, kept


def as_json(values: FloatArray) -> list[float | None]:
    """Numbers for JSON, which has no NaN."""
    return [None if np.isnan(value) else float(value) for value in values]


def nested_bands(groups: Sequence[FloatArray]) -> FloatArray:
    """Means of many columns at once with their 95% intervals, as `nested_interval` draws them: seeds, then inputs in each.

    Args:
        groups: of each seed, (inputs, columns); NaN is left out.

    Returns:
        (3, columns): mean, low, high; NaN for a column of nothing else.
    """
    rng, seeds = np.random.default_rng(0), len(groups)
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=_RESAMPLES)  # how often each seed
    sizes = [len(group) for group in groups]
    parts = [rng.multinomial(drawn[:, g] * size, np.full(size, 1 / size)) for g, size in enumerate(sizes)]
    weights = np.concatenate(parts, axis=1).astype(float)
    values = np.concatenate([np.asarray(group, dtype=float) for group in groups])
    there = ~np.isnan(values)
    filled, counts = np.where(there, values, 0.0), there.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ filled) / (weights @ counts)
        mean = filled.sum(axis=0) / counts.sum(axis=0)
    found = np.full((3, values.shape[1]), np.nan)
    some = there.any(axis=0)
    found[0, some] = mean[some]
    found[1:, some] = np.nanquantile(means[:, some], (0.025, 0.975), axis=0)
    return found
