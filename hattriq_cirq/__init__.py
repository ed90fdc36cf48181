"""Input attribution of amplitude-encoded quantum models by integrated gradients, with Cirq.

Public names are imported on first use, so that `import hattriq_cirq` and `hattriq --help` stay instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hattriq_cirq._version import __version__

if TYPE_CHECKING:
    from hattriq_cirq import (
        approximate,
        baselines,
        datasets,
        decomposition,
        encoding,
        engines,
        estimators,
        faithfulness,
        saliency,
    )
    from hattriq_cirq.ansatz import grid_ansatz, ring_ansatz
    from hattriq_cirq.attribution import Assumptions, Attribution, Cost
    from hattriq_cirq.baselines import BaselineSet
    from hattriq_cirq.engines import cirq_simulator, qsim, sampler, virtual
    from hattriq_cirq.engines.google import google
    from hattriq_cirq.estimators import HadamardTest, ParallelHadamardTest, PolarizationShift, ResolvedHadamardTest
    from hattriq_cirq.model import IdentityPartWarning, Model
    from hattriq_cirq.neighbours import NeighbourEncoder
    from hattriq_cirq.path_integral import CompletenessWarning, integrated_gradients
    from hattriq_cirq.plotting import plot_attribution, plot_gallery, plot_training
    from hattriq_cirq.pricing import Resources, resources
    from hattriq_cirq.sampled import estimate
    from hattriq_cirq.scores import Head
    from hattriq_cirq.training import Training, accuracy, train

_MODULES = (
    "approximate",
    "baselines",
    "datasets",
    "decomposition",
    "encoding",
    "engines",
    "estimators",
    "faithfulness",
    "saliency",
)
_HOME = {
    "Assumptions": "attribution",
    "Attribution": "attribution",
    "BaselineSet": "baselines",
    "CompletenessWarning": "path_integral",
    "Cost": "attribution",
    "Head": "scores",
    "IdentityPartWarning": "model",
    "Model": "model",
    "NeighbourEncoder": "neighbours",
    "Training": "training",
    "accuracy": "training",
    "grid_ansatz": "ansatz",
    "integrated_gradients": "path_integral",
    "plot_attribution": "plotting",
    "plot_gallery": "plotting",
    "plot_training": "plotting",
    "ring_ansatz": "ansatz",
    "HadamardTest": "estimators",
    "ParallelHadamardTest": "estimators",
    "PolarizationShift": "estimators",
    "ResolvedHadamardTest": "estimators",
    "Resources": "pricing",
    "cirq_simulator": "engines",
    "estimate": "sampled",
    "google": "engines.google",
    "qsim": "engines",
    "resources": "pricing",
    "sampler": "engines",
    "train": "training",
    "virtual": "engines",
}

__all__ = [
    "Assumptions",
    "Attribution",
    "BaselineSet",
    "CompletenessWarning",
    "Cost",
    "HadamardTest",
    "Head",
    "IdentityPartWarning",
    "Model",
    "NeighbourEncoder",
    "ParallelHadamardTest",
    "PolarizationShift",
    "ResolvedHadamardTest",
    "Resources",
    "Training",
    "__version__",
    "accuracy",
    "approximate",
    "baselines",
    "cirq_simulator",
    "datasets",
    "decomposition",
    "encoding",
    "engines",
    "estimate",
    "estimators",
    "faithfulness",
    "google",
    "grid_ansatz",
    "integrated_gradients",
    "plot_attribution",
    "plot_gallery",
    "plot_training",
    "qsim",
    "resources",
    "ring_ansatz",
    "saliency",
    "sampler",
    "train",
    "virtual",
]


def __getattr__(name: str) -> Any:
    """Imports a public name, or a module of the package, when it is first asked for (PEP 562)."""
    if name in _MODULES:
        return import_module(f"hattriq_cirq.{name}")
    if name in _HOME:
        return getattr(import_module(f"hattriq_cirq.{_HOME[name]}"), name)
    raise AttributeError(f"module 'hattriq_cirq' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
