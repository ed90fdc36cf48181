"""Behind the answer: correlation orders, layers, interactions, and the least changes that turn it.

Does a model need correlations between qubits, where in its circuit does the answer arise, how many pairs of features carry it,
and how far is an input from the decision boundary?

Exact simulation of trained models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import nested_interval, nested_text
from experiments.runner.figures import panels
from experiments.runner.study import Done, Findings, Study, results_by
from experiments.runner.trained_models import Task, accuracies, trained
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

TOP = (1, 12, 100)  # strongest pairs whose share of all pair effects is reported
KINDS = ("complex", "real", "own features", "non-negative", "one feature")


def tasks(quick: bool) -> list[Task]:
    """Return five seeds of four models; for a quick run, one."""
    if quick:
        return [Task("bars3", 0, 10)]
    return [Task(subject, seed, 100) for subject in ("bars", "digits", "mnist01", "tfim") for seed in range(5)]


def run(task: Task) -> dict[str, Any]:
    """Compute orders, layers, interactions and counterfactuals of the first test inputs."""
    model, data = trained(task.subject, task.seed)
    x, y = data.x_test[: task.inputs], data.y_test[: task.inputs]
    orders, layers = hq.correlation_orders(model, x), hq.layer_attribution(model, x)
    assert layers.population is not None  # as they are exact
    return {
        "accuracy": accuracies(model, data),
        "by_weight": y[:, np.newaxis] * orders.by_weight,
        "product": y * orders.product,
        "total": y * orders.total,
        "right": np.sign(orders.total) == y,
        "product_right": np.sign(orders.product) == y,
        "cuts": layers.cuts,
        "population": y[:, np.newaxis] * layers.population,
        "pair_share": np.array([_pair_shares(model, row) for row in x]),
        "distance": dict(zip(KINDS, _distances(model, x).T, strict=True)),
        "closed_form": np.sqrt((1 - np.sqrt((1 - orders.total**2).clip(0))) / 2),
    }


def _pair_shares(model: hq.Model, x: Array) -> list[float]:
    """Return the share of all absolute pair effects of one input that its strongest pairs have, for each number in TOP."""
    matrix = np.abs(hq.interactions(model, x).values)
    effects = np.sort(matrix[np.triu_indices(len(matrix), 1)])[::-1]
    total = float(effects.sum()) or 1.0
    return [float(effects[:top].sum()) / total for top in TOP]


def _distances(model: hq.Model, x: Array) -> FloatArray:
    """Return the distances of inputs to the decision boundary, (inputs, kinds); infinity where it cannot be reached."""
    real = not np.iscomplexobj(x)
    own = np.abs(x) > 0
    choices: list[dict[str, Any]] = [
        {"real": False},
        {"real": real},
        {"real": real, "free": own},
        {"real": real, "nonnegative": real and bool((x >= 0).all())},
        {"real": real, "free": "one"},
    ]
    return np.stack([hq.counterfactual(model, x, **choice).distance for choice in choices], axis=1)


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the tables and the figure."""
    of = results_by(done, "subject")
    orders, pairs, distances, layers = [], [], [], []
    for name, results in of.items():
        by_weight = [np.array(r["by_weight"]) for r in results]
        parts = ", ".join(
            f"{w}: {nested_text([own[:, w] for own in by_weight])}"
            for w in range(by_weight[0].shape[1])
            if max(np.abs(own[:, w]).max() for own in by_weight) > 1e-9
        )
        scores = [nested_text([r[key] for r in results]) for key in ("total", "product")]
        right = [nested_text([np.array(r[key], dtype=float) for r in results]) for key in ("right", "product_right")]
        orders.append((name, parts, *scores, *right))
        shares = [np.array(r["pair_share"]) for r in results]
        pairs.append((name, *(nested_text([own[:, i] for own in shares]) for i in range(len(TOP)))))
        distances.append(
            (name, *(_distance_text([np.array(r["distance"][kind], dtype=float) for r in results]) for kind in KINDS))
        )
        populations = [np.array(r["population"]) for r in results]
        totals = [np.array(r["total"])[:, np.newaxis] for r in results]
        cuts = results[0]["cuts"]
        shares_of_cuts = (f"{cut}: {nested_text([own[:, i] for own in populations])}" for i, cut in enumerate(cuts))
        layers.append((name, ", ".join(shares_of_cuts), nested_text([own[:, 0] for own in totals])))
    needs = [name for name, results in of.items() if _needs_correlations(results)]
    worst = max(
        float(np.max(np.abs(np.array(d.result["distance"]["complex"]) - np.array(d.result["closed_form"])))) for d in done
    )
    return Findings(
        findings=(
            f"Without correlations between qubits the answers of {', '.join(needs) or 'no model'} are right significantly less "
            "often than with them (95% intervals of the difference).",
            "Populations of basis states make a mean share of the score of "
            + ", ".join(f"{round(_population_share(results), 2) + 0:.0%} at the input ({name})" for name, results in of.items())
            + "; behind the last gate they make all of it.",
            f"The least complex change has the length of the closed form for one Pauli string, to {worst:.0e}.",
        ),
        not_claimed=("That a least change is a plausible input: it shows to what the model is sensitive.",),
        tables=(
            Table(
                "Label times score, by the number of qubits that Pauli strings act on; of the whole model and of the product "
                "state; and the accuracy of both on the same inputs (mean, 95% intervals, bootstrap over seeds and inputs).",
                ("model", "by number of qubits", "score", "product state", "accuracy", "of the product state"),
                tuple(orders),
            ),
            Table(
                "Label times population share of the score at cuts after a number of moments (mean, 95% intervals); the rest "
                "of the score is interference.",
                ("model", "population share at each cut", "score"),
                tuple(layers),
            ),
            Table(
                "Share of the sum of all absolute pair effects that the strongest pairs have (mean, 95% intervals).",
                ("model", *(f"strongest {top}" if top > 1 else "strongest pair" for top in TOP)),
                tuple(pairs),
            ),
            Table(
                "Distance to the decision boundary, inputs of norm 1: mean with 95% interval over inputs that reach it, and "
                "how many do not. Features that are 0 stay 0 under `own features`; `non-negative` is a local optimum, and "
                "equals `real` for inputs with negative amplitudes.",
                ("model", *KINDS),
                tuple(distances),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(of)),
                "Label times score by the number of qubits whose correlations it rests on; lines are 95% intervals over seeds "
                "and inputs. The dashed line is the score of the product state.",
                "Bars of the parts of the score by number of qubits, one panel per model",
                "orders",
            ),
        ),
        settings={"baseline": "zero", "level": "0, the decision boundary"},
        assumptions={"estimator": "exact simulation"},
    )


def _distance_text(groups: list[FloatArray]) -> str:
    missing = sum(int(np.isinf(own).sum()) for own in groups)
    kept = [own[np.isfinite(own)] for own in groups if np.isfinite(own).any()]
    text = nested_text(kept) if kept else "-"
    return text + (f", {missing} of {sum(map(len, groups))} not" if missing else "")


def _population_share(results: Sequence[Any]) -> float:
    """Return the mean population share at the input over the mean score."""
    shares = [np.mean(np.array(r["population"])[:, 0]) for r in results]
    return float(np.mean(shares) / np.mean([np.mean(r["total"]) for r in results]))


def _needs_correlations(results: Sequence[Any]) -> bool:
    lost = [np.array(r["right"], dtype=float) - np.array(r["product_right"], dtype=float) for r in results]
    return nested_interval(lost)[0] > 0


def _figure(of: dict[str, list[Any]]) -> Figure:
    figure, (axes,) = panels((3.0 * len(of), 3.0), 1, len(of), squeeze=False)
    for ax, (name, results) in zip(axes, of.items(), strict=True):
        by_weight = [np.array(r["by_weight"]) for r in results]
        for w in range(by_weight[0].shape[1]):
            low, high = nested_interval([own[:, w] for own in by_weight])
            mean = float(np.mean([own[:, w].mean() for own in by_weight]))
            ax.bar(w, mean, color="0.6", width=0.7)
            ax.plot([w, w], [low, high], color="0.2", lw=1.5)
        product = float(np.mean([np.mean(r["product"]) for r in results]))
        ax.axhline(product, color="C3", ls="--", lw=1.2, label="product state")
        ax.axhline(0, color="0.3", lw=0.8)
        ax.set(title=name, xlabel="number of qubits")
    axes[0].set_ylabel("label times part of the score")
    axes[0].legend(frameon=False, fontsize="small")
    return figure


STUDY = Study("explanations", __doc__, tasks, run, summarise)
"""The study."""
