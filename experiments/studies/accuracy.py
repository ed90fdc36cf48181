"""Accuracy first: test accuracy of every model against its target on five seeds, beside logistic regression and chance.

Does every model meet its accuracy target on held-out inputs, and how does it stand beside logistic regression and chance?

Exact simulation. The exit code is 1 if a target is missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.runner.bootstrap import bootstrap_interval, bootstrap_text, nested_interval, nested_text
from experiments.runner.figures import panels
from experiments.runner.study import Done, Findings, Study, results_by
from experiments.runner.trained_models import FASHION, SUBJECTS, accuracies, present, trained
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

#: Models with targets of this study; those of circuits on a grid stand beside the figures of the study that explains them.
SHOWN = tuple(name for name, subject in SUBJECTS.items() if name != "bad" and subject.ansatz == "ring")
SPLIT = "tfim_split"
GAP = 0.4  # training samples keep |g - 1| above this


@dataclass(frozen=True)
class Task:
    """One training of a subject."""

    subject: str
    seed: int


def tasks(quick: bool) -> list[Task]:
    """Return five seeds of every subject whose data are present; for a quick run, two of the clean Bars and Stripes."""
    if quick:
        return [Task("bars_clean", seed) for seed in range(2)]
    return [Task(name, seed) for name in present(SHOWN) for seed in range(5)]


def run(task: Task) -> dict[str, Any]:
    """Train the model and compute its expectation for every test input."""
    model, data = trained(task.subject, task.seed)
    fields = data.details.get("g")
    return {
        "accuracy": accuracies(model, data),
        "qubits": data.n_qubits,
        "train inputs": len(data.y_train),
        "expectations": model.expectation(data.x_test),
        "labels": data.y_test,
        "fields": [] if fields is None else np.asarray(fields)[data.test],
        "params": dict(model.params),
    }


def right(result: Mapping[str, Any]) -> FloatArray:
    """Return 1 where the sign of the expectation is the label, else 0, (inputs,)."""
    return np.asarray(np.multiply(result["expectations"], result["labels"]) > 0, dtype=float)


def passes(done: Sequence[Done[Task]]) -> bool:
    """Return true if every target is met."""
    return all(SUBJECTS[name].meets(mean_of(results, "test")) for name, results in results_by(done, "subject").items())


def mean_of(results: Sequence[Mapping[str, Any]], key: str) -> float:
    """Return the mean of an accuracy over seeds."""
    return float(np.mean([r["accuracy"][key] for r in results]))


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the table and the figure of accuracies against targets."""
    of = results_by(done, "subject")
    aimed = {name: results for name, results in of.items() if SUBJECTS[name].target is not None}
    missed = [name for name, results in aimed.items() if not SUBJECTS[name].meets(mean_of(results, "test"))]
    findings = [f"{len(aimed) - len(missed)} of {len(aimed)} targets of mean test accuracy are met."]
    findings += [
        f"MISSED: {name} reaches {nested_text([right(r) for r in of[name]])} where {SUBJECTS[name].target:.2f} was wanted."
        for name in missed
    ]
    findings += [_against_logistic(of), *_near_the_transition(of)]
    if not any(name.startswith("fashion") for name in of):
        findings.append(f"FashionMNIST: not present in these results; no package ships it, its files are read from {FASHION}/.")
    return Findings(
        findings=tuple(findings),
        not_claimed=(
            "The accuracies of the paper: its resolutions, sample counts, circuit and accuracies are unknown.",
            "That no classical model does better: logistic regression on the amplitudes is a yardstick, not the best there is.",
        ),
        tables=(
            Table(
                "Test accuracy with 95% intervals (bootstrap over seeds and test inputs; of logistic regression and of the "
                "difference on the same split, over seeds), and how many seeds meet the target by themselves.",
                ("model", "qubits", "test", "logistic regression", "difference", "seeds at target"),
                tuple(_row(name, results) for name, results in of.items()),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(of)),
                "Test accuracy, logistic regression on the same split, chance and targets; the right panel shows the upper "
                "end of the left one. Lines are 95% intervals: over seeds and test inputs for models, over seeds for logistic "
                "regression.",
                "Points of test accuracy for each model beside its target, logistic regression and chance",
                "accuracy",
            ),
        ),
        settings={
            "circuit": "ring_ansatz, observable Z on qubit 0",
            "test inputs per seed": ", ".join(f"{name} {len(results[0]['labels'])}" for name, results in of.items()),
        },
        assumptions={"expectations": "exact, without shots or noise", "training": "Adam on the logistic loss, exact gradients"},
    )


def _gains(results: Sequence[Mapping[str, Any]]) -> list[float]:
    return [r["accuracy"]["test"] - r["accuracy"]["logistic test"] for r in results]


def _row(name: str, results: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    logistic, gains = [r["accuracy"]["logistic test"] for r in results], _gains(results)
    subject = SUBJECTS[name]
    met = sum(subject.meets(r["accuracy"]["test"]) for r in results)
    texts = nested_text([right(r) for r in results]), bootstrap_text(logistic), bootstrap_text(gains)
    return name, str(results[0]["qubits"]), *texts, "-" if subject.target is None else f"{met} of {len(results)}"


def _against_logistic(of: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    ends = {name: bootstrap_interval(_gains(results)) for name, results in of.items()}
    better = [name for name, (low, _) in ends.items() if low > 0]
    worse = [name for name, (_, high) in ends.items() if high < 0]
    return (
        f"Against logistic regression on the same split, the 95% interval of the difference lies above 0 for "
        f"{_listed(better)}, below 0 for {_listed(worse)}, and holds 0 for the other {len(ends) - len(better) - len(worse)}."
    )


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if names else "none"


def _near_the_transition(of: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    if SPLIT not in of:
        return []
    near = [np.abs(np.subtract(r["fields"], 1)) <= GAP for r in of[SPLIT]]
    inside, outside = (
        nested_text([right(r)[chosen == near_it] for r, chosen in zip(of[SPLIT], near, strict=True)])
        for near_it in (True, False)
    )
    return [
        f"Trained only where |g - 1| > {GAP}, the model of TFIM ground states is right for {inside} of the test states nearer "
        f"to the transition, which it never saw, and for {outside} of the others."
    ]


def _figure(of: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    figure, (whole, upper) = panels((9.0, 1.6 + 0.3 * len(of)), 1, 2, sharey=True)
    for ax in (whole, upper):
        _draw(ax, of)
    whole.set(xlim=(0, 1.03), xlabel="accuracy", yticks=range(len(of)), yticklabels=list(of))
    whole.set_ylim(len(of) - 0.5, -0.5)
    upper.set(xlim=(0.895, 1.005), xlabel="accuracy, from 0.9")
    handles, labels = whole.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return figure


def _draw(ax: Axes, of: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    rows = np.arange(len(of))
    models = np.array([(mean_of(results, "test"), *nested_interval([right(r) for r in results])) for results in of.values()])
    seeds = [[r["accuracy"]["logistic test"] for r in results] for results in of.values()]
    logistic = np.array([(np.mean(each), *bootstrap_interval(each)) for each in seeds])
    targets = [np.nan if (target := SUBJECTS[name].target) is None else target for name in of]
    ax.scatter([mean_of(results, "chance") for results in of.values()], rows, marker="|", s=80, color="0.55", label="chance")
    ax.scatter(targets, rows, marker="|", s=260, linewidths=2, color="C2", label="target")
    series = ((logistic, 0.18, "C1", "s", "logistic regression"), (models, -0.1, "C0", "o", "model"))
    for values, shift, colour, marker, name in series:
        ax.hlines(rows + shift, values[:, 1], values[:, 2], color=colour, lw=2, alpha=0.6)
        ax.scatter(values[:, 0], rows + shift, marker=marker, s=26, color=colour, zorder=3, label=name)
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)


STUDY = Study("accuracy", __doc__, tasks, run, summarise, passes=passes)
