"""Input attribution of amplitude-encoded quantum models by integrated gradients, with Cirq.

Public names are imported on first use, so that `import hattriq_cirq` and `hattriq --help` stay instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hattriq_cirq._moved import install
from hattriq_cirq._version import __version__

if TYPE_CHECKING:
    from hattriq_cirq import datasets, encoding, estimators, faithfulness
    from hattriq_cirq.attribution import baselines, decomposition, other_methods
    from hattriq_cirq.attribution.baselines import BaselineSet
    from hattriq_cirq.attribution.objective import Head
    from hattriq_cirq.attribution.path_integral import CompletenessWarning
    from hattriq_cirq.attribution.result import Assumptions, Attribution, Cost
    from hattriq_cirq.encoding.connectivity import NeighbourEncoder
    from hattriq_cirq.estimators import HadamardTest, ParallelHadamardTest, PolarizationShift, ResolvedHadamardTest
    from hattriq_cirq.execution import cirq_simulator, qsim, sampler, virtual
    from hattriq_cirq.execution.backends.google import google
    from hattriq_cirq.models.ansatz import grid_ansatz, ring_ansatz
    from hattriq_cirq.models.model import IdentityPartWarning, Model
    from hattriq_cirq.models.training import Training, accuracy, train
    from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients
    from hattriq_cirq.pipeline.prepare import estimate, prepare, resources
    from hattriq_cirq.pipeline.resources import Resources
    from hattriq_cirq.reporting.plotting import plot_attribution, plot_gallery, plot_training

_MODULES = {
    "baselines": "hattriq_cirq.attribution.baselines",
    "datasets": "hattriq_cirq.datasets",
    "decomposition": "hattriq_cirq.attribution.decomposition",
    "encoding": "hattriq_cirq.encoding",
    "estimators": "hattriq_cirq.estimators",
    "faithfulness": "hattriq_cirq.faithfulness",
    "other_methods": "hattriq_cirq.attribution.other_methods",
}
"""Public modules -> where they are."""
_HOME = {
    "BaselineSet": "hattriq_cirq.attribution.baselines",
    "Head": "hattriq_cirq.attribution.objective",
    "Assumptions": "hattriq_cirq.attribution.result",
    "Attribution": "hattriq_cirq.attribution.result",
    "Cost": "hattriq_cirq.attribution.result",
    "NeighbourEncoder": "hattriq_cirq.encoding.connectivity",
    "HadamardTest": "hattriq_cirq.estimators",
    "ParallelHadamardTest": "hattriq_cirq.estimators",
    "PolarizationShift": "hattriq_cirq.estimators",
    "ResolvedHadamardTest": "hattriq_cirq.estimators",
    "cirq_simulator": "hattriq_cirq.execution",
    "qsim": "hattriq_cirq.execution",
    "sampler": "hattriq_cirq.execution",
    "virtual": "hattriq_cirq.execution",
    "google": "hattriq_cirq.execution.backends.google",
    "grid_ansatz": "hattriq_cirq.models.ansatz",
    "ring_ansatz": "hattriq_cirq.models.ansatz",
    "IdentityPartWarning": "hattriq_cirq.models.model",
    "Model": "hattriq_cirq.models.model",
    "Training": "hattriq_cirq.models.training",
    "accuracy": "hattriq_cirq.models.training",
    "train": "hattriq_cirq.models.training",
    "estimate": "hattriq_cirq.pipeline.prepare",
    "CompletenessWarning": "hattriq_cirq.attribution.path_integral",
    "integrated_gradients": "hattriq_cirq.pipeline.integrated_gradients",
    "Resources": "hattriq_cirq.pipeline.resources",
    "resources": "hattriq_cirq.pipeline.prepare",
    "prepare": "hattriq_cirq.pipeline.prepare",
    "plot_attribution": "hattriq_cirq.reporting.plotting",
    "plot_gallery": "hattriq_cirq.reporting.plotting",
    "plot_training": "hattriq_cirq.reporting.plotting",
}
"""Public names -> the module that defines them."""
_RENAMED = ("approximate", "engines", "saliency")
"""Public modules of version 0.1 that moved; importing them warns when a name of theirs is used."""

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
    "baselines",
    "cirq_simulator",
    "datasets",
    "decomposition",
    "encoding",
    "estimate",
    "estimators",
    "faithfulness",
    "google",
    "grid_ansatz",
    "integrated_gradients",
    "other_methods",
    "plot_attribution",
    "plot_gallery",
    "plot_training",
    "prepare",
    "qsim",
    "resources",
    "ring_ansatz",
    "sampler",
    "train",
    "virtual",
]

install()


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of the package, when it is first used (PEP 562)."""
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _RENAMED:
        return import_module(f"hattriq_cirq.{name}")
    raise AttributeError(f"module 'hattriq_cirq' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
