"""Maps of every kind of data set, accuracy first, and what a model of phases looks at on either side of the transition.

Exact maps from the zero baseline; the completeness gap also from sampled circuits (resolved Hadamard test, qsim).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

import hattriq_cirq as hq
from experiments.runner import phase_diagrams as phases
from experiments.runner.bootstrap import nested_text
from experiments.runner.study import Done, Findings, Study
from experiments.runner.trained_models import SUBJECTS, accuracies, present, trained
from hattriq_cirq.attribution.decomposition import by_region
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.faithfulness import pointing_game, relevance_mass
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import basis_grid, plot_gallery, png

SHOWN = (
    "bars",
    "digits",
    "mnist01",
    "mnist35",
    "mnist01_28",
    "fashion",
    "fashion_28",
    "planted",
    "xor",
    "tfim",
    "tfim10",
    "bad",
)
PICTURED = 8  # inputs of the first seed
SHOTS = 10_000  # an input
WANTED = 0.95  # of the attribution on the features that decide, where they are known


@dataclass(frozen=True)
class Task:
    """One trained model, its first test inputs, and how many of them are also read from circuits."""

    subject: str
    seed: int
    inputs: int
    sampled: int


def tasks(quick: bool) -> list[Task]:
    """Five seeds of every subject whose data are there; quickly, one of two."""
    if quick:
        return [Task(name, 0, 20, 2) for name in ("planted", "tfim")]
    return [Task(name, seed, 100, 10) for name in present(SHOWN) for seed in range(5)]


def run(task: Task) -> dict[str, Any]:
    """Attributes test inputs exactly and from circuits; sums maps where there is something to sum by."""
    model, data = trained(task.subject, task.seed)
    x = data.x_test[: task.inputs]
    a = hq.integrated_gradients(model, x, baseline=0)
    engine = hq.qsim(seed=task.seed)
    read = hq.integrated_gradients(
        model, x[: task.sampled], baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=SHOTS
    )
    result = {
        "accuracy": accuracies(model, data),
        "labels": data.y_test[: task.inputs],
        "gaps": a.completeness_gap,
        "sampled gaps": read.completeness_gap,
        "standard errors": read.completeness_gap_stderr,
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
        result["picture"] = _pictured(a, data, result)
    return result


def _pictured(a: hq.Attribution, data: Dataset, result: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of both classes in turn, or over all of g, as a gallery needs them, without padding."""
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
    """Galleries, completeness, mass on the truth, and the phase diagram."""
    names = dict.fromkeys(d.task.subject for d in done)
    of = {name: [d.result for d in done if d.task.subject == name] for name in names}
    known = {name: results for name, results in of.items() if "mass" in results[0]}
    chains = {name: results for name, results in of.items() if "fields" in results[0]}
    worst = max(np.max(np.abs(r["gaps"])) for results in of.values() for r in results)
    inside = [_within(r) for results in of.values() for r in results]
    findings = [
        f"Completeness: exact maps sum to F(x) - F(0) to {worst:.0e} at worst; of maps read from {SHOTS} shots, the sum lies "
        f"within 1.96 of its own standard errors in {nested_text(inside)} of the inputs, where 0.95 is expected."
    ]
    findings += [_truth_finding(name, results) for name, results in known.items()]
    findings += [phases.finding(name, results) for name, results in chains.items()]
    if "bad" in of:
        tests = [r["accuracy"]["test"] for r in of["bad"]]
        findings.append(
            f"The model trained on purpose too little reaches a test accuracy of {nested_text([tests])}; its maps are shown "
            "to be recognised as such and explain nothing."
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
                "intervals over seeds and test states; all groups of a panel together make the score F(x), drawn dashed.",
                "Lines of the attribution of groups by magnetisation and domain walls against g",
                "phase_diagram",
            )
        )
    return Findings(
        findings=tuple(findings),
        not_claimed=(
            "That little mass on the truth is an error of a map: an observable of eigenvalues +1 and -1 lets every part of the "
            "norm count for or against, and where a deciding pixel is dark the norm is elsewhere.",
            "That a map shows what a class looks like: it shows what moved this model's answer from 0.",
            "That a model of a phase has found its order parameter: the sums say which basis states its answer rests on.",
        ),
        tables=tuple(tables),
        pictures=tuple(pictures),
        settings={
            "baseline": "zero",
            "form": "quadratic",
            "seeds": str(max(len(results) for results in of.values())),
            "inputs a seed": ", ".join(f"{name} {len(results[0]['labels'])}" for name, results in of.items()),
            "pictures": "of seed 0",
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
        rows.append(
            (
                name,
                f"{largest:.0e}",
                nested_text([r["sampled gaps"] for r in results], digits=4),
                nested_text([r["standard errors"] for r in results], digits=4),
                nested_text([_within(r) for r in results]),
            )
        )
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
        f"{name}: {nested_text([r['mass'] for r in results])} of the absolute attribution lies on the features that decide, "
        f"{WANTED} was wanted: {'met' if mass >= WANTED else 'MISSED'}. They hold {norm} of the squared norm of an input, and "
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
        "Where the truth is known: share of absolute attribution on the features that decide, their share of the squared norm, "
        "and how often the largest attribution is on one of them (95% intervals, bootstrap over seeds and inputs).",
        ("model", "label", "attribution", "squared norm", "largest"),
        tuple(rows),
    )


def _gallery(name: str, results: Sequence[Mapping[str, Any]]) -> Picture:
    drawn = results[0]["picture"]
    count = len(drawn["inputs"])
    values, x = np.array(drawn["values"]), np.array(drawn["x"])
    told = drawn["assumptions"]
    attribution = hq.Attribution(
        values=values,
        stderr=np.zeros(values.shape),
        imag_values=None,
        x=x,
        baseline=np.zeros(values.shape),
        f_input=np.array(drawn["scores"]),
        f_baseline=np.zeros(count),
        completeness_gap_stderr=np.zeros(count),
        assumptions=replace(hq.Assumptions(**told), observables=tuple(told["observables"]), notes=tuple(told["notes"])),
    )
    fields = results[0].get("fields")
    titles = None
    if fields is not None:
        titles = [f"g = {fields[i]:.2f}\nscore {f:+.2f}" for i, f in zip(drawn["inputs"], drawn["scores"], strict=True)]
    figure = plot_gallery(
        attribution,
        shape=tuple(drawn["shape"]),
        labels=[results[0]["labels"][i] for i in drawn["inputs"]],
        columns=count,
        titles=titles,
        classes=tuple(drawn["classes"]),
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


STUDY = Study(
    name="attribution_gallery",
    title="A gallery of attributions",
    question="What do maps look like on every kind of data, do they sum to the score, do they point at the truth where it is "
    "known, and which basis states does a model of phases look at on either side of the transition?",
    tasks=tasks,
    run=run,
    summarise=summarise,
)
