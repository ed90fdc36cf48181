"""Metrics of faithfulness, robustness and agreement with known truth, for maps of any score and many inputs at once.

Every metric takes `score`, a function (..., features) -> (...,), so that quantum and classical models are judged alike, and
signed `maps` in which a positive value raises the score.
"""

from hattriq_cirq._moved import keep_old_names
from hattriq_cirq.attribution.measured_values import Measured
from hattriq_cirq.faithfulness.curves import Curve, area, deletion_curve, insertion_curve, srg
from hattriq_cirq.faithfulness.measured import MapsOf, measured
from hattriq_cirq.faithfulness.removal import Reference, ScoreFunction, score_of
from hattriq_cirq.faithfulness.subsets import faithfulness_correlation, infidelity, max_sensitivity, sensitivity_n
from hattriq_cirq.faithfulness.truth import parameter_layers, pointing_game, randomised, relevance_mass, signed_correlation

__all__ = [
    "Curve",
    "MapsOf",
    "Measured",
    "Reference",
    "ScoreFunction",
    "area",
    "deletion_curve",
    "faithfulness_correlation",
    "infidelity",
    "insertion_curve",
    "max_sensitivity",
    "measured",
    "parameter_layers",
    "pointing_game",
    "randomised",
    "relevance_mass",
    "score_of",
    "sensitivity_n",
    "signed_correlation",
    "srg",
]

keep_old_names(__name__)
