"""A gallery of attributions: maps of every kind of data, and the basis states that a model of phases relies on.

What do maps look like on every kind of data, do they sum to the score, do they point at the deciding features where these are
known, and on which basis states does a model of phases rely on either side of the transition?

Maps are exact, from the zero baseline; the completeness gap is also estimated by circuits (resolved Hadamard test, qsim).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

import hattriq_cirq as hq
from experiments.runner import phase_diagrams as phases
from experiments.runner.bootstrap import nested_text
from experiments.runner.study import Done, Findings, Study, results_by
from experiments.runner.trained_models import SUBJECTS, accuracies, present, trained
from hattriq_cirq.attribution.decomposition import by_region
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.faithfulness import pointing_game, relevance_mass
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import basis_grid, plot_gallery, png

IMAGES = ("bars", "digits", "mnist01", "mnist35", "mnist01_28", "fashion", "fashion_28")
SHOWN = (*IMAGES, "planted", "xor", "tfim", "tfim10", "bad")
PICTURED = 8  # number of inputs of the first seed
SHOTS = 10_000  # per input
TARGET = 0.95  # share of the attribution on the deciding features, where they are known


@dataclass(frozen=True)
class Task:
    """One trained model, its first test inputs, and the number of them that are also estimated by circuits."""

    subject: str
    seed: int
    inputs: int
    sampled: int


def tasks(quick: bool) -> list[Task]:
    """Return five seeds of every subject whose data are present; for a quick run, one seed of two subjects."""
    if quick:
        return [Task(name, 0, 20, 2) for name in ("planted", "tfim")]
    return [Task(name, seed, 100, 10) for name in present(SHOWN) for seed in range(5)]


def run(task: Task) -> dict[str, Any]:
    """Attribute test inputs exactly and by circuits, and sum the maps over groups of features where there are any."""
    model, data = trained(task.subject, task.seed)
    x = data.x_test[: task.inputs]
    a = hq.integrated_gradients(model, x, baseline=0)
    engine = hq.qsim(seed=task.seed)
    sampled = hq.integrated_gradients(
        model, x[: task.sampled], baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=SHOTS
    )
    result = {
        "accuracy": accuracies(model, data),
        "labels": data.y_test[: task.inputs],
        "gaps": a.completeness_gap,
        "sampled gaps": sampled.completeness_gap,
        "standard errors": sampled.completeness_gap_stderr,
    }
    if data.truth is not None:
        result["mass"] = relevance_mass(a.values, data.truth)
        result["pointing"] = pointing_game(a.values, data.truth)
        result["norm"] = np.sum(np.abs(x) ** 2 * data.truth, axis=1)
    fields = data.details.get("g")
    if fields is not None:
        result["fields"] = np.asarray(fields)[data.test][: task.inputs]
        kinds = phases.basis_groups(data.n_qubits)
        result["attribution"] = {name: by_region(a.values, kind) for name, kind in kinds.items()}
        result["weight"] = {name: by_region(np.abs(x) ** 2, kind) for name, kind in kinds.items()}
    if task.seed == 0:
        result["picture"] = _gallery_inputs(a, data, result)
    return result


def _gallery_inputs(a: hq.Attribution, data: Dataset, result: Mapping[str, Any]) -> dict[str, Any]:
    """Choose inputs of both classes in turn, or over the whole range of g, and remove their padding."""
    labels = np.asarray(result["labels"])
    if "fields" in result:
        chosen = np.argsort(result["fields"])[np.linspace(0, len(labels) - 1, PICTURED).round().astype(int)]
    else:
        half = PICTURED // 2
        chosen = np.stack([np.flatnonzero(labels == sign)[:half] for sign in (-1, 1)], axis=1).ravel()
    if data.image_shape is None:
        shape, values, x = basis_grid(a.n_features), a.values[chosen], a.x[chosen]
    else:
        shape = data.to_image(a.values[0]).shape
        values, x = (data.to_image(v[chosen]).reshape(len(chosen), -1) for v in (a.values, a.x))
    return {
        "inputs": chosen,
        "values": values,
        "x": x,
        "scores": a.f_input[chosen],
        "shape": shape,
        "classes": data.label_names,
        "assumptions": asdict(a.assumptions),
    }


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return galleries, completeness, mass on the deciding features, and the phase diagram."""
    of = results_by(done, "subject")
    known = {name: results for name, results in of.items() if "mass" in results[0]}
    chains = {name: results for name, results in of.items() if "fields" in results[0]}
    worst = max(np.max(np.abs(r["gaps"])) for results in of.values() for r in results)
    inside = [_within(r) for results in of.values() for r in results]
    findings = [
        f"Completeness: exact maps sum to F(x) - F(0) to {worst:.0e} at worst; of maps estimated from {SHOTS} shots, the sum "
        f"lies within 1.96 of its own standard errors in {nested_text(inside)} of the inputs, where 0.95 is expected."
    ]
    findings += [_truth_finding(name, results) for name, results in known.items()]
    findings += [phases.finding(name, results) for name, results in chains.items()]
    if "bad" in of:
        tests = [r["accuracy"]["test"] for r in of["bad"]]
        findings.append(
            f"The model trained too little on purpose reaches a test accuracy of {nested_text([tests])}; its maps are shown "
            "for comparison and explain nothing."
        )
    tables = [_completeness_table(of)]
    if known:
        tables.append(_truth_table(known))
    if chains:
        tables.append(phases.table(chains))
    pictures = [_gallery(name, results) for name, results in of.items() if "picture" in results[0]]
    if chains:
        pictures.append(
            Picture(
                png(phases.diagram(chains)),
                "Mean attribution of groups of basis states against the field g (TFIM; + is ordered, g < 1). Bands are 95% "
                "intervals over seeds and test states; the groups of a panel sum to the score F(x), the dashed line.",
                "Lines of the attribution of groups by magnetisation and domain walls against g",
                "phase_diagram",
            )
        )
    return Findings(
        findings=tuple(findings),
        not_claimed=(
            "That little mass on the truth is an error of a map: with an observable of eigenvalues +1 and -1 every part of the "
            "norm counts for or against, and where a deciding pixel is dark the norm is elsewhere.",
            "That a map shows what a class looks like: it shows what moved this model's answer from 0.",
            "That a model of a phase has found its order parameter: the sums say which basis states its answer rests on.",
        ),
        tables=tuple(tables),
        pictures=tuple(pictures),
        settings={
            "baseline": "zero",
            "form": "quadratic",
            "inputs per seed": ", ".join(f"{name} {len(results[0]['labels'])}" for name, results in of.items()),
            "pictures": "seed 0",
            "FashionMNIST": "read from data/fashion_mnist" if "fashion" in of else "not present in these results",
        },
        assumptions={"maps": "exact simulation", "sampled gaps": f"resolved Hadamard test on qsim, {SHOTS} shots, no noise"},
    )


def _within(result: Mapping[str, Any]) -> FloatArray:
    return np.asarray(np.abs(result["sampled gaps"]) <= 1.96 * np.asarray(result["standard errors"]), dtype=float)


def _completeness_table(of: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    rows = []
    for name, results in of.items():
        largest = max(np.max(np.abs(r["gaps"])) for r in results)
        sampled = (nested_text([r[key] for r in results], digits=4) for key in ("sampled gaps", "standard errors"))
        rows.append((name, f"{largest:.0e}", *sampled, nested_text([_within(r) for r in results])))
    return Table(
        f"Completeness gap, the sum of a map less F(x) - F(0): largest of exact maps; mean over maps of {SHOTS} shots, the "
        "mean standard error they report, and the share of them within 1.96 of it (95% intervals, bootstrap over seeds and "
        "inputs).",
        ("model", "exact, largest", "sampled, mean gap", "its standard error", "within 1.96"),
        tuple(rows),
    )


def _truth_finding(name: str, results: Sequence[Mapping[str, Any]]) -> str:
    mass = np.concatenate([r["mass"] for r in results]).mean()
    norm, pointing = (nested_text([r[key] for r in results]) for key in ("norm", "pointing"))
    return (
        f"{name}: {nested_text([r['mass'] for r in results])} of the absolute attribution lies on the deciding features "
        f"(target {TARGET}: {'met' if mass >= TARGET else 'MISSED'}). They hold {norm} of the squared norm of an input, and "
        f"the largest attribution is on one of them in {pointing} of the inputs."
    )


def _truth_table(known: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    rows = []
    for name, results in known.items():
        for label, signs in (("both", (-1, 1)), ("+1", (1,)), ("-1", (-1,))):
            chosen = [np.isin(r["labels"], signs) for r in results]
            cells = (
                nested_text([np.asarray(r[key])[c] for r, c in zip(results, chosen, strict=True)])
                for key in ("mass", "norm", "pointing")
            )
            rows.append((name, label, *cells))
    return Table(
        "Where the deciding features are known: share of absolute attribution on them, their share of the squared norm, "
        "and how often the largest attribution is on one of them (95% intervals, bootstrap over seeds and inputs).",
        ("model", "label", "attribution", "squared norm", "largest"),
        tuple(rows),
    )


def _gallery(name: str, results: Sequence[Mapping[str, Any]]) -> Picture:
    chosen = results[0]["picture"]
    count = len(chosen["inputs"])
    values, x = np.array(chosen["values"]), np.array(chosen["x"])
    assumptions = chosen["assumptions"]
    attribution = hq.Attribution(
        values=values,
        stderr=np.zeros(values.shape),
        imag_values=None,
        x=x,
        baseline=np.zeros(values.shape),
        f_input=np.array(chosen["scores"]),
        f_baseline=np.zeros(count),
        completeness_gap_stderr=np.zeros(count),
        assumptions=replace(
            hq.Assumptions(**assumptions), observables=tuple(assumptions["observables"]), notes=tuple(assumptions["notes"])
        ),
    )
    fields = results[0].get("fields")
    titles = None
    if fields is not None:
        titles = [f"g = {fields[i]:.2f}\nscore {f:+.2f}" for i, f in zip(chosen["inputs"], chosen["scores"], strict=True)]
    figure = plot_gallery(
        attribution,
        shape=tuple(chosen["shape"]),
        labels=[results[0]["labels"][i] for i in chosen["inputs"]],
        columns=count,
        titles=titles,
        classes=tuple(chosen["classes"]),
    )
    of = results[0]["accuracy"]
    bad = name == "bad" or not SUBJECTS[name].meets(of["test"])
    accuracy = f"test accuracy {of['test']:.3f}, logistic regression {of['logistic test']:.3f}, chance {of['chance']:.3f}"
    figure.suptitle(f"{name}: {accuracy}" + ("; BAD, nothing is explained here" if bad else ""), fontsize=11)
    axes = " Rows are the first bits of a basis state, columns the last." if fields is not None else ""
    return Picture(
        png(figure),
        f"{accuracy[0].upper()}{accuracy[1:]} (seed 0). {SUBJECTS[name].data}: test inputs above their signed maps.{axes}"
        + (" Deliberately bad, or short of its target: the maps explain nothing." if bad else ""),
        f"Inputs of {name} and their attribution maps in blue and red",
        f"gallery_{name}",
    )


STUDY = Study("attribution_gallery", __doc__, tasks, run, summarise)
