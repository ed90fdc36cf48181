"""All faithfulness metrics of maps at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from hattriq_cirq import faithfulness
from hattriq_cirq.foundation.arrays import Array, FloatArray

STEPS = 16
SUBSETS = 64  # random sets of features per metric that samples them
SHARES = (0.05, 0.25, 0.5, 0.75)  # of the features, for sensitivity-n
CORRELATION_SHARE = 0.1
#: Metrics and the direction that is better; sensitivity-n and correlation by the share of features in a set.
METRICS: Mapping[str, str] = {
    "SRG": "up",
    "deletion": "down",
    "insertion": "up",
    "correlation": "up",
    **{f"sensitivity {share:.0%}": "up" for share in SHARES},
    "infidelity": "down",
}


def evaluate_maps(
    score: faithfulness.ScoreFunction, x: Array, values: Array, reference: faithfulness.Reference, seed: int
) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    """Compute every metric of maps but max-sensitivity, one number per input, and the deletion curves averaged over inputs.

    With the same reference, features put in most relevant first pass through the same inputs as features removed least
    relevant first, so that insertion is the area under the LeRF deletion curve. Infidelity is that of the map times its best
    factor, relative to that of a zero map: 1 minus the share of the losses explained.
    """
    deletion = partial(faithfulness.deletion_curve, score, x, values, reference=reference, steps=STEPS)
    curves = {"MoRF": deletion(), "LeRF": deletion(order="lerf")}
    areas = {order: faithfulness.area(curve) for order, curve in curves.items()}
    sizes = [max(1, round(share * x.shape[1])) for share in (CORRELATION_SHARE, *SHARES)]
    sampling: dict[str, Any] = {"reference": reference, "samples": SUBSETS, "seed": seed}
    r = faithfulness.sensitivity_n(score, x, values, sizes=sizes, **sampling)
    explained = faithfulness.infidelity(score, x, values, scaled=True, **sampling)
    scores = {
        "SRG": areas["LeRF"] - areas["MoRF"],
        "deletion": areas["MoRF"],
        "insertion": areas["LeRF"],
        "correlation": r[:, 0],
        **{f"sensitivity {share:.0%}": r[:, i + 1] for i, share in enumerate(SHARES)},
        "infidelity": explained / faithfulness.infidelity(score, x, np.zeros(x.shape), **sampling),
    }
    averages = {order: {"fractions": curve.fractions, "scores": curve.scores} for order, curve in curves.items()}
    return scores, averages


def as_json(values: FloatArray) -> list[float | None]:
    """Return numbers for JSON, with None for NaN."""
    return [None if np.isnan(value) else float(value) for value in values]
