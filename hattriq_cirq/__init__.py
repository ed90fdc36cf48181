"""Input attribution of amplitude-encoded quantum models by integrated gradients, with Cirq.

Public names are imported on first use, so that `import hattriq_cirq` and `hattriq --help` stay fast.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hattriq_cirq._moved import install
from hattriq_cirq._version import __version__

if TYPE_CHECKING:
    from hattriq_cirq import datasets, encoding, estimators, faithfulness
    from hattriq_cirq.attribution import baselines, decomposition, other_methods
    from hattriq_cirq.attribution.baselines import BaselineSet
    from hattriq_cirq.attribution.correlation_orders import CorrelationOrders, correlation_orders
    from hattriq_cirq.attribution.counterfactual import Counterfactual, counterfactual
    from hattriq_cirq.attribution.interactions import Interactions
    from hattriq_cirq.attribution.layers import LayerAttribution
    from hattriq_cirq.attribution.objective import Head
    from hattriq_cirq.attribution.parameter_sensitivity import ParameterSensitivity, parameter_sensitivity
    from hattriq_cirq.attribution.path_integral import CompletenessWarning, NearOriginWarning
    from hattriq_cirq.attribution.result import Assumptions, Attribution, Cost
    from hattriq_cirq.compilation.snapshot import Snapshot
    from hattriq_cirq.datasets.table_encoder import TableEncoder, TableWarning
    from hattriq_cirq.encoding.connectivity import NeighbourEncoder
    from hattriq_cirq.estimators import HadamardTest, ParallelHadamardTest, PolarizationShift, ResolvedHadamardTest
    from hattriq_cirq.execution import cirq_simulator, qsim, sampler, virtual
    from hattriq_cirq.execution.backends.google import google, snapshot
    from hattriq_cirq.execution.backends.virtual import MissingCalibrationWarning
    from hattriq_cirq.execution.processors import processors
    from hattriq_cirq.models.ansatz import grid_ansatz, qcnn_ansatz, ring_ansatz
    from hattriq_cirq.models.convert.pennylane import from_pennylane
    from hattriq_cirq.models.convert.qasm import from_qasm
    from hattriq_cirq.models.convert.qiskit import from_qiskit
    from hattriq_cirq.models.convert.source import RemovedOperationsWarning
    from hattriq_cirq.models.learned import LearnedModel
    from hattriq_cirq.models.learned_group import LearnedModels
    from hattriq_cirq.models.model import IdentityPartWarning, Model
    from hattriq_cirq.models.training import Training, accuracy, train
    from hattriq_cirq.pipeline.gradient import Gradient, gradient
    from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients
    from hattriq_cirq.pipeline.interactions import interactions
    from hattriq_cirq.pipeline.layers import layer_attribution
    from hattriq_cirq.pipeline.prepare import estimate, prepare, resources
    from hattriq_cirq.pipeline.resources import Resources
    from hattriq_cirq.reporting import runs
    from hattriq_cirq.reporting.explanation_plots import plot_counterfactual, plot_interactions, plot_layers, plot_orders
    from hattriq_cirq.reporting.plotting import plot_attribution, plot_curves, plot_gallery, plot_probe_test, plot_training
    from hattriq_cirq.simulation import noise
    from hattriq_cirq.workflows.classifier import AmplitudeClassifier, ClassifierWarning
    from hattriq_cirq.workflows.explain import Explanation, report
    from hattriq_cirq.workflows.learn import LearningPlan, learn_observable, plan_learning
    from hattriq_cirq.workflows.noisy_model import ErrorSplit, NoisyModel, noisy_model

#: Public modules of version 0.1 that moved; the use of a name in them gives a DeprecationWarning.
_RENAMED = ("approximate", "engines", "saliency")
#: Public modules -> their paths.
_MODULES = {name: f"hattriq_cirq.{name}" for name in ("datasets", "encoding", "estimators", "faithfulness", *_RENAMED)} | {
    name: f"hattriq_cirq.attribution.{name}" for name in ("baselines", "decomposition", "other_methods")
}
_MODULES |= {"noise": "hattriq_cirq.simulation.noise", "runs": "hattriq_cirq.reporting.runs"}
#: Modules -> the public names that they define.
_NAMES = {
    "attribution.baselines": "BaselineSet",
    "attribution.correlation_orders": "CorrelationOrders correlation_orders",
    "attribution.counterfactual": "Counterfactual counterfactual",
    "attribution.interactions": "Interactions",
    "attribution.layers": "LayerAttribution",
    "attribution.objective": "Head",
    "attribution.parameter_sensitivity": "ParameterSensitivity parameter_sensitivity",
    "attribution.path_integral": "CompletenessWarning NearOriginWarning",
    "attribution.result": "Assumptions Attribution Cost",
    "compilation.snapshot": "Snapshot",
    "datasets.table_encoder": "TableEncoder TableWarning",
    "encoding.connectivity": "NeighbourEncoder",
    "estimators": "HadamardTest ParallelHadamardTest PolarizationShift ResolvedHadamardTest",
    "execution": "cirq_simulator qsim sampler virtual",
    "execution.backends.google": "google snapshot",
    "execution.backends.virtual": "MissingCalibrationWarning",
    "execution.processors": "processors",
    "models.ansatz": "grid_ansatz qcnn_ansatz ring_ansatz",
    "models.convert.qasm": "from_qasm",
    "models.convert.qiskit": "from_qiskit",
    "models.convert.pennylane": "from_pennylane",
    "models.convert.source": "RemovedOperationsWarning",
    "models.learned": "LearnedModel",
    "models.learned_group": "LearnedModels",
    "models.model": "IdentityPartWarning Model",
    "models.training": "Training accuracy train",
    "pipeline.gradient": "Gradient gradient",
    "pipeline.integrated_gradients": "integrated_gradients",
    "pipeline.interactions": "interactions",
    "pipeline.layers": "layer_attribution",
    "pipeline.prepare": "estimate prepare resources",
    "pipeline.resources": "Resources",
    "reporting.explanation_plots": "plot_counterfactual plot_interactions plot_layers plot_orders",
    "reporting.plotting": "plot_attribution plot_curves plot_gallery plot_probe_test plot_training",
    "workflows.classifier": "AmplitudeClassifier ClassifierWarning",
    "workflows.explain": "Explanation report",
    "workflows.noisy_model": "ErrorSplit NoisyModel noisy_model",
    "workflows.learn": "LearningPlan learn_observable plan_learning",
}
_HOME = {name: f"hattriq_cirq.{module}" for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "AmplitudeClassifier",
    "Assumptions",
    "Attribution",
    "BaselineSet",
    "ClassifierWarning",
    "CompletenessWarning",
    "CorrelationOrders",
    "Cost",
    "Counterfactual",
    "ErrorSplit",
    "Explanation",
    "Gradient",
    "HadamardTest",
    "Head",
    "IdentityPartWarning",
    "Interactions",
    "LayerAttribution",
    "LearnedModel",
    "LearnedModels",
    "LearningPlan",
    "MissingCalibrationWarning",
    "Model",
    "NearOriginWarning",
    "NeighbourEncoder",
    "NoisyModel",
    "ParallelHadamardTest",
    "ParameterSensitivity",
    "PolarizationShift",
    "RemovedOperationsWarning",
    "ResolvedHadamardTest",
    "Resources",
    "Snapshot",
    "TableEncoder",
    "TableWarning",
    "Training",
    "__version__",
    "accuracy",
    "baselines",
    "cirq_simulator",
    "correlation_orders",
    "counterfactual",
    "datasets",
    "decomposition",
    "encoding",
    "estimate",
    "estimators",
    "faithfulness",
    "from_pennylane",
    "from_qasm",
    "from_qiskit",
    "google",
    "gradient",
    "grid_ansatz",
    "integrated_gradients",
    "interactions",
    "layer_attribution",
    "learn_observable",
    "noise",
    "noisy_model",
    "other_methods",
    "parameter_sensitivity",
    "plan_learning",
    "plot_attribution",
    "plot_counterfactual",
    "plot_curves",
    "plot_gallery",
    "plot_interactions",
    "plot_layers",
    "plot_orders",
    "plot_probe_test",
    "plot_training",
    "prepare",
    "processors",
    "qcnn_ansatz",
    "qsim",
    "report",
    "resources",
    "ring_ansatz",
    "runs",
    "sampler",
    "snapshot",
    "train",
    "virtual",
]

install()
logging.getLogger(__name__).addHandler(logging.NullHandler())  # a program that uses the library decides on its log


def __getattr__(name: str) -> Any:
    """Import a public name or module at its first use (PEP 562)."""
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hattriq_cirq' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
