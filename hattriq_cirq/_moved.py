"""Deprecated module paths and names of version 0.1. They work for one more release, with a warning that gives the new name."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES = {
    "calibration.checks": "calibration.auxiliary_measurement",
    "calibration.correct": "calibration.readout.per_qubit",
    "calibration.correlated": "calibration.readout.per_group",
    "calibration.drift": "calibration.readout.drift",
    "calibration.faults": "calibration.testing",
    "calibration.folding": "calibration.gates.folding",
    "calibration.gate_noise": "calibration.gates.mitigations",
    "calibration.joint": "calibration.readout.correlated_calibration",
    "calibration.measure": "calibration.readout.measure",
    "calibration.pipeline": "calibration.sequence",
    "calibration.product": "hattriq_cirq.circuits.linear_maps",
    "calibration.readout": "calibration.readout.calibration",
    "calibration.twirl": "calibration.readout.trex",
    "calibration.twirling": "calibration.gates.pauli_twirling",
    "hattriq_cirq._arrays": "hattriq_cirq.foundation.arrays",
    "hattriq_cirq._circuits": "hattriq_cirq.circuits.counting",
    "hattriq_cirq._files": "hattriq_cirq.foundation.files",
    "hattriq_cirq._provenance": "hattriq_cirq.foundation.provenance",
    "hattriq_cirq.ansatz": "hattriq_cirq.models.ansatz",
    "hattriq_cirq.approximate": "hattriq_cirq.encoding.approximate",
    "hattriq_cirq.attribution": "hattriq_cirq.attribution.result",
    "hattriq_cirq.baselines": "hattriq_cirq.attribution.baselines",
    "hattriq_cirq.charts": "hattriq_cirq.reporting.plotting",
    "hattriq_cirq.classical": "hattriq_cirq.workflows.classical",
    "hattriq_cirq.decomposition": "hattriq_cirq.attribution.decomposition",
    "hattriq_cirq.encoding": "hattriq_cirq.encoding.exact",
    "hattriq_cirq.engines": "hattriq_cirq.execution",
    "hattriq_cirq.engines.base": "hattriq_cirq.execution.backend",
    "hattriq_cirq.engines.compile": "hattriq_cirq.compilation.compile",
    "hattriq_cirq.engines.density": "hattriq_cirq.simulation.pauli_transfer",
    "hattriq_cirq.engines.engine": "hattriq_cirq.execution.engine",
    "hattriq_cirq.engines.errors": "hattriq_cirq.circuits.errors",
    "hattriq_cirq.engines.google": "hattriq_cirq.execution.backends.google",
    "hattriq_cirq.engines.google_calls": "hattriq_cirq.execution.backends.google_calls",
    "hattriq_cirq.engines.google_jobs": "hattriq_cirq.execution.backends.google_jobs",
    "hattriq_cirq.engines.journal": "hattriq_cirq.execution.journal",
    "hattriq_cirq.engines.local": "hattriq_cirq.execution.backends.simulators",
    "hattriq_cirq.engines.lots": "hattriq_cirq.execution.batching",
    "hattriq_cirq.engines.patches": "hattriq_cirq.compilation.layout_search",
    "hattriq_cirq.engines.placement": "hattriq_cirq.compilation.placement",
    "hattriq_cirq.engines.processor": "hattriq_cirq.compilation.processor",
    "hattriq_cirq.engines.records": "hattriq_cirq.execution.journal_format",
    "hattriq_cirq.engines.samplers": "hattriq_cirq.execution.backends.sampler",
    "hattriq_cirq.engines.summary": "hattriq_cirq.execution.journal_summary",
    "hattriq_cirq.engines.targets": "hattriq_cirq.compilation.gatesets",
    "hattriq_cirq.engines.virtual": "hattriq_cirq.execution.backends.virtual",
    "hattriq_cirq.estimators.base": "hattriq_cirq.estimators.bilinear",
    "hattriq_cirq.gradients": "hattriq_cirq.models.gradients",
    "hattriq_cirq.mitigation": "hattriq_cirq.pipeline.mitigation",
    "hattriq_cirq.model": "hattriq_cirq.models.model",
    "hattriq_cirq.multiplexer": "hattriq_cirq.encoding.multiplexer",
    "hattriq_cirq.neighbours": "hattriq_cirq.encoding.connectivity",
    "hattriq_cirq.outcomes": "hattriq_cirq.circuits.outcomes",
    "hattriq_cirq.path_integral": "hattriq_cirq.pipeline.integrated_gradients",
    "hattriq_cirq.plotting": "hattriq_cirq.reporting.plotting",
    "hattriq_cirq.pricing": "hattriq_cirq.pipeline.resources",
    "hattriq_cirq.quadrature": "hattriq_cirq.attribution.quadrature",
    "hattriq_cirq.relays": "hattriq_cirq.encoding.cnot_trees",
    "hattriq_cirq.report": "hattriq_cirq.reporting.html",
    "hattriq_cirq.saliency": "hattriq_cirq.attribution.other_methods",
    "hattriq_cirq.sampled": "hattriq_cirq.pipeline.prepare",
    "hattriq_cirq.scores": "hattriq_cirq.attribution.objective",
    "hattriq_cirq.section": "hattriq_cirq.reporting.document",
    "hattriq_cirq.statevector": "hattriq_cirq.simulation.statevector",
    "hattriq_cirq.training": "hattriq_cirq.models.training",
}
"""Old module path -> new module path."""
NAMES = {
    "calibration.Pipeline": "calibration.MitigationSequence",
    "calibration.checks.Check": "calibration.auxiliary_measurement.AuxiliaryCircuit",
    "calibration.correct.corrected": "calibration.readout.per_qubit.correct",
    "calibration.correct.inverse": "calibration.readout.per_qubit.inverse_map",
    "calibration.correct.measured_qubits": "calibration.readout.measure.measured_qubits",
    "calibration.correlated.corrected": "calibration.readout.per_group.correct",
    "calibration.folding.apportioned": "calibration.gates.folding.allocate_shots",
    "calibration.folding.folded": "calibration.gates.folding.fold",
    "calibration.folding.measured_last": "calibration.gates.folding.append_measurement",
    "calibration.folding.parted": "calibration.gates.folding.split_measurement",
    "calibration.joint.fisher": "calibration.readout.correlated_calibration.fisher_p_values",
    "calibration.measure.prepared": "calibration.readout.measure.basis_state_circuit",
    "calibration.measure.shots_each": "calibration.readout.measure.shots_per_pattern",
    "calibration.pipeline.Pipeline": "calibration.sequence.MitigationSequence",
    "calibration.product.ProductOperator": "hattriq_cirq.circuits.linear_maps.LinearMap",
    "calibration.twirling.twirled": "calibration.gates.pauli_twirling.twirl",
    "hattriq_cirq.charts.plot_costs": "hattriq_cirq.cli.commands.cost.plot_costs",
    "hattriq_cirq.report.Accuracy": "hattriq_cirq.workflows.accuracies.Accuracy",
    "hattriq_cirq.report.accuracies": "hattriq_cirq.workflows.accuracies.accuracies",
    "hattriq_cirq.report.table_of_accuracies": "hattriq_cirq.workflows.accuracies.table_of_accuracies",
    "hattriq_cirq.classical.logistic_regression_accuracy": "hattriq_cirq.workflows.accuracies.logistic_regression_accuracy",
    "hattriq_cirq.classical.quadratic_form": "hattriq_cirq.workflows.classical.quadratic_regression",
    "hattriq_cirq.approximate.MapEffect": "hattriq_cirq.workflows.map_effect.MapEffect",
    "hattriq_cirq.approximate.map_effect": "hattriq_cirq.workflows.map_effect.map_effect",
    "hattriq_cirq.datasets.user.Table": "hattriq_cirq.datasets.user.LabelledTable",
    "hattriq_cirq.encoding.placed": "hattriq_cirq.encoding.exact.circuit_from_ops",
    "hattriq_cirq.engines.base.Point": "hattriq_cirq.circuits.program.Point",
    "hattriq_cirq.engines.base.Program": "hattriq_cirq.circuits.program.ParameterizedCircuit",
    "hattriq_cirq.engines.compile.Couplings": "hattriq_cirq.compilation.compile.Edges",
    "hattriq_cirq.engines.compile.Placed": "hattriq_cirq.compilation.compile.QubitMap",
    "hattriq_cirq.engines.compile.final_state": "hattriq_cirq.simulation.statevector.final_state",
    "hattriq_cirq.engines.compile.outcome_probabilities": "hattriq_cirq.simulation.statevector.outcome_probabilities",
    "hattriq_cirq.engines.local.drawn": "hattriq_cirq.execution.backends.simulators.sample_counts",
    "hattriq_cirq.engines.lots.Lot": "hattriq_cirq.execution.batching.Batch",
    "hattriq_cirq.engines.lots.lots": "hattriq_cirq.execution.batching.batches",
    "hattriq_cirq.engines.samplers.only_measurement": "hattriq_cirq.circuits.program.only_measurement",
    "hattriq_cirq.engines.samplers.points_of": "hattriq_cirq.circuits.program.points_of",
    "hattriq_cirq.engines.samplers.sweep": "hattriq_cirq.circuits.program.to_sweep",
    "hattriq_cirq.engines.google_calls.Caller": "hattriq_cirq.execution.backends.google_calls.RetryingCaller",
    "hattriq_cirq.engines.google_calls.UNHEARD": "hattriq_cirq.execution.backends.google_calls.NO_ANSWER",
    "hattriq_cirq.engines.google_calls.configuration_of": "hattriq_cirq.execution.backends.google_calls.get_configuration",
    "hattriq_cirq.engines.google_calls.explained": "hattriq_cirq.execution.backends.google_calls.describe_error",
    "hattriq_cirq.engines.google_calls.ids_of": "hattriq_cirq.execution.backends.google_calls.job_ids",
    "hattriq_cirq.engines.google_calls.processor_of": "hattriq_cirq.execution.backends.google_calls.get_processor",
    "hattriq_cirq.engines.google_calls.understood": "hattriq_cirq.execution.backends.google_calls.code_and_message",
    "hattriq_cirq.engines.google_jobs.Packed": "hattriq_cirq.execution.backends.google_jobs.SerializedJob",
    "hattriq_cirq.engines.google_jobs.distributions": "hattriq_cirq.execution.backends.google_jobs.distributions_from_result",
    "hattriq_cirq.engines.google_jobs.measurement": "hattriq_cirq.execution.backends.google_jobs.measured_qubits",
    "hattriq_cirq.engines.local.measured": "hattriq_cirq.execution.backends.simulators.marginal_probabilities",
    "hattriq_cirq.engines.local.pure_populations": "hattriq_cirq.execution.backends.simulators.state_vector_populations",
    "hattriq_cirq.engines.local.with_noise": "hattriq_cirq.execution.backends.simulators.noisy_probabilities",
    "hattriq_cirq.engines.samplers.resolved": "hattriq_cirq.execution.backends.sampler.resolve_circuits",
    "hattriq_cirq.engines.placement.neighbour_encoder": "hattriq_cirq.compilation.placement.connectivity_encoder",
    "hattriq_cirq.engines.patches.Chip": "hattriq_cirq.compilation.layout_search.ProcessorErrors",
    "hattriq_cirq.engines.patches.Demand": "hattriq_cirq.compilation.layout_search.GateCounts",
    "hattriq_cirq.engines.patches.Search": "hattriq_cirq.compilation.layout_search.LayoutSearch",
    "hattriq_cirq.engines.targets.DEVICES": "hattriq_cirq.compilation.gatesets.PROCESSORS",
    "hattriq_cirq.engines.virtual.quicker": "hattriq_cirq.execution.backends.virtual.faster_method",
    "hattriq_cirq.estimators.Product": "hattriq_cirq.estimators.BilinearTerm",
    "hattriq_cirq.estimators.Reading": "hattriq_cirq.estimators.WeightedCircuit",
    "hattriq_cirq.estimators.Term": "hattriq_cirq.estimators.PauliTerm",
    "hattriq_cirq.estimators.base.Estimate": "hattriq_cirq.estimators.plan.Estimate",
    "hattriq_cirq.estimators.base.Plan": "hattriq_cirq.estimators.plan.Plan",
    "hattriq_cirq.estimators.base.Product": "hattriq_cirq.estimators.bilinear.BilinearTerm",
    "hattriq_cirq.estimators.base.Reading": "hattriq_cirq.estimators.bilinear.WeightedCircuit",
    "hattriq_cirq.estimators.base.Term": "hattriq_cirq.estimators.bilinear.PauliTerm",
    "hattriq_cirq.estimators.base.glimpse": "hattriq_cirq.estimators.plan.sample_circuits",
    "hattriq_cirq.estimators.base.light_cone": "hattriq_cirq.circuits.light_cone.light_cone",
    "hattriq_cirq.estimators.base.plan": "hattriq_cirq.estimators.plan.plan",
    "hattriq_cirq.faithfulness.Score": "hattriq_cirq.faithfulness.ScoreFunction",
    "hattriq_cirq.faithfulness.removal.Score": "hattriq_cirq.faithfulness.removal.ScoreFunction",
    "hattriq_cirq.mitigation.Report": "hattriq_cirq.pipeline.mitigation.MitigationSummary",
    "hattriq_cirq.outcomes.Operator": "hattriq_cirq.circuits.linear_maps.LinearMap",
    "hattriq_cirq.outcomes.Part": "hattriq_cirq.circuits.outcomes.LinearTerm",
    "hattriq_cirq.outcomes.Quasi": "hattriq_cirq.circuits.outcomes.QuasiDistribution",
    "hattriq_cirq.outcomes.Shared": "hattriq_cirq.circuits.outcomes.SharedUncertainty",
    "hattriq_cirq.path_integral.CompletenessWarning": "hattriq_cirq.attribution.path_integral.CompletenessWarning",
    "hattriq_cirq.encoding.branch_turns": "hattriq_cirq.encoding.exact.rotation_angles",
    "hattriq_cirq.faithfulness.removal.checked": "hattriq_cirq.faithfulness.removal.check_inputs_and_maps",
    "hattriq_cirq.faithfulness.removal.checked_maps": "hattriq_cirq.faithfulness.removal.check_maps",
    "hattriq_cirq.faithfulness.removal.scored": "hattriq_cirq.faithfulness.removal.evaluate",
    "hattriq_cirq.faithfulness.removal.sides": "hattriq_cirq.faithfulness.removal.predicted_signs",
    "hattriq_cirq.multiplexer.Masks": "hattriq_cirq.encoding.multiplexer.Subsets",
    "hattriq_cirq.multiplexer.Target": "hattriq_cirq.encoding.multiplexer.RotationTarget",
    "hattriq_cirq.multiplexer.Wiring": "hattriq_cirq.encoding.exact.TargetFactory",
    "hattriq_cirq.multiplexer.cheapest_walk": "hattriq_cirq.encoding.multiplexer.cheapest_gray_code",
    "hattriq_cirq.multiplexer.direct": "hattriq_cirq.encoding.multiplexer.RotationTarget",
    "hattriq_cirq.relays.Contents": "hattriq_cirq.encoding.cnot_trees.Parities",
    "hattriq_cirq.relays.Relayed": "hattriq_cirq.encoding.cnot_trees.TreeTarget",
    "hattriq_cirq.relays.Step": "hattriq_cirq.encoding.cnot_trees.RotationStep",
    "hattriq_cirq.relays.sources": "hattriq_cirq.encoding.cnot_trees.parity_sources",
    "hattriq_cirq.relays.Load": "hattriq_cirq.encoding.cnot_trees.FanIn",
    "hattriq_cirq.pricing.resources": "hattriq_cirq.pipeline.prepare.resources",
    "hattriq_cirq.sampled.Ran": "hattriq_cirq.pipeline.prepare.Execution",
    "hattriq_cirq.sampled.checked_engine": "hattriq_cirq.pipeline.prepare.check_engine",
    "hattriq_cirq.sampled.placed": "hattriq_cirq.pipeline.prepare.choose_placement",
    "hattriq_cirq.sampled.products": "hattriq_cirq.pipeline.prepare.bilinear_terms",
    "hattriq_cirq.sampled.products_of_rows": "hattriq_cirq.pipeline.prepare.bilinear_terms_of_rows",
    "hattriq_cirq.sampled.references_of": "hattriq_cirq.pipeline.prepare.baselines_of_row",
    "hattriq_cirq.scores.Score": "hattriq_cirq.attribution.objective.Objective",
    "hattriq_cirq.statevector.Program": "hattriq_cirq.simulation.statevector.FusedCircuit",
}
"""Old full name -> new full name, for names that were renamed or did not move together with their module."""


def moved(module: str, name: str) -> Any:
    """Return the object that an old name of an old module refers to now, and warn with its new name.

    Args:
        module: Old module path, such as `hattriq_cirq.engines.base`.
        name: Name in that module.

    Returns:
        The object under its new name.

    Raises:
        AttributeError: Neither the old nor the new module has the name.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True, action="always"):
        ...     moved("hattriq_cirq.model", "Model").__name__
        'Model'
    """
    old = f"{module}.{name}"
    new = NAMES.get(old, f"{MODULES.get(module, module)}.{name}")
    if name.startswith("__") or new == old:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    home, _, new_name = new.rpartition(".")
    value = getattr(import_module(home), new_name)
    warnings.warn(f"{old} is deprecated; use {new}", DeprecationWarning, stacklevel=2)
    return value


def keep_old_names(module: str) -> None:
    """Let a module resolve the names that `MODULES` and `NAMES` list for its path; call it at the module's end.

    Args:
        module: Path of the module, its `__name__`.
    """
    sys.modules[module].__dict__["__getattr__"] = partial(moved, module)  # found by PEP 562, invisible to type checkers


class _OldModuleFinder(MetaPathFinder, Loader):
    """Importer of old module paths that no longer have a file."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MODULES:
            return None
        return ModuleSpec(fullname, self, is_package=any(name.startswith(f"{fullname}.") for name in MODULES))

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        if any(name.startswith(f"{old}.") for name in (*NAMES, *MODULES)):
            keep_old_names(old)
        else:  # every name is in the new module, which takes the place of the old one
            warnings.warn(f"{old} is deprecated; use {MODULES[old]}", DeprecationWarning, stacklevel=2)
            sys.modules[old] = import_module(MODULES[old])


def install() -> None:
    """Make old module paths importable; further calls change nothing."""
    if not any(isinstance(finder, _OldModuleFinder) for finder in sys.meta_path):
        sys.meta_path.append(_OldModuleFinder())
