"""Placement: attributions on qubits chosen by the calibration against qubits chosen at random.

Do qubits chosen by the calibration give better attributions than qubits chosen at random?

Resolved Hadamard tests run on a virtual processor with its calibrated noise, as exact density matrices: on the qubits that the
library chooses, on random connected patches of the same size with the library's assignment within them, and on the same
patches with a random assignment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cirq
import networkx as nx
import numpy as np
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import bootstrap_text, nested_bootstrap, nested_text
from experiments.runner.figures import panels
from experiments.runner.map_metrics import errors
from experiments.runner.study import Done, Findings, Study
from experiments.runner.trained_models import accuracies, trained
from hattriq_cirq.compilation.placement import Layout, best_placement, connectivity_encoder
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.encoding.exact import encode
from hattriq_cirq.estimators import BilinearTerm
from hattriq_cirq.estimators.plan import sample_circuits
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

KINDS = ("chosen", "random patch", "random patch and assignment")
IN_BEST_TENTH, RATIO = 0.8, 0.5  # targets: share of models, and error over that of random placements


@dataclass(frozen=True)
class Task:
    """One model on one placement; random placements are numbered from 1."""

    seed: int
    kind: str
    number: int
    inputs: int
    subject: str = "bars3"
    processor: str = "willow_pink"


def tasks(quick: bool) -> list[Task]:
    """Return the chosen placement and 30 random ones of each kind for five models; for a quick run, one each for one model."""
    models, patches, inputs = (1, 1, 1) if quick else (5, 30, 100)
    numbered = [(KINDS[0], 0), *((kind, number) for kind in KINDS[1:] for number in range(1, patches + 1))]
    return [Task(seed, kind, number, inputs) for seed in range(models) for kind, number in numbered]


def random_patch(graph: nx.Graph, size: int, rng: np.random.Generator) -> list[cirq.Qid]:
    """Return a random connected set of qubits, grown from a random one."""
    patch = [sorted(graph)[rng.integers(len(graph))]]
    while len(patch) < size:
        beside = sorted({q for p in patch for q in graph[p]} - set(patch))
        patch.append(beside[rng.integers(len(beside))])
    return patch


def run(task: Task) -> dict[str, Any]:
    """Train the model, place it, and compare its maps with the exact ones."""
    model, data = trained(task.subject, task.seed)
    x = data.x_test[: task.inputs]
    estimator, engine = hq.ResolvedHadamardTest(), hq.virtual(task.processor)
    placement = None
    if task.kind != KINDS[0]:
        processor = load_processor(task.processor)
        rng = np.random.default_rng([task.seed, task.number])
        patch = random_patch(processor.graph, data.n_qubits + 1, rng)
        engine = hq.virtual(task.processor, qubits=patch)
        if task.kind == KINDS[2]:
            terms = [BilinearTerm(x[0], x[0])]
            logical = sorted(sample_circuits(estimator, model, terms)[0].all_qubits())
            qubits = dict(zip(logical, [patch[i] for i in rng.permutation(len(patch))], strict=True))
            layouts = [Layout(qubits, encoder) for encoder in (encode, connectivity_encoder(processor, qubits))]
            circuits = {one.encoder: sample_circuits(estimator.with_encoder(one.encoder), model, terms) for one in layouts}
            placement = best_placement(processor, layouts, circuits)
    if placement is None:  # chosen by the first input; the circuits of other inputs differ little, if at all
        first = hq.prepare(model, x[0], baseline=0, estimator=estimator, engine=engine, shots=None)
        placement = first.placement
    run = hq.prepare(model, x, baseline=0, estimator=estimator, engine=engine, shots=None, placement=placement).run()
    values = np.array([e.values for e in run.estimates])
    exact = hq.integrated_gradients(model, x, baseline=0).values
    return {"error": errors(values, exact), "two_qubit_gates": run.cost.two_qubit_gates, "accuracy": accuracies(model, data)}


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the chosen qubits against random ones, one row per model, and the two targets."""
    seeds = sorted({d.task.seed for d in done})
    of = {(seed, kind): [d for d in done if (d.task.seed, d.task.kind) == (seed, kind)] for seed in seeds for kind in KINDS}
    error = {key: np.array([np.mean(d.result["error"]) for d in mine]) for key, mine in of.items()}
    rows, findings, targets = [], [], []
    for seed in seeds:
        chosen = float(error[seed, KINDS[0]][0])
        inputs = of[seed, KINDS[0]][0].result["error"]
        cells = [bootstrap_text(inputs)]
        for kind in KINDS[1:]:
            theirs = error[seed, kind]
            cells += [f"{rank(chosen, theirs)} of {len(theirs) + 1}", nested_text([theirs]), f"{theirs.min():.3f}"]
        gates = (np.mean([d.result["two_qubit_gates"] for d in of[seed, kind]]) for kind in KINDS)
        rows.append((str(seed), *cells, " / ".join(f"{mean:.1f}" for mean in gates)))
    for kind in KINDS[1:]:
        best = [
            rank(error[seed, KINDS[0]][0], error[seed, kind]) <= max(1, (len(error[seed, kind]) + 1) // 10) for seed in seeds
        ]
        ratios = [float(error[seed, KINDS[0]][0] / error[seed, kind].mean()) for seed in seeds]
        share, ratio = float(np.mean(best)), float(np.mean(ratios))
        shares, between = (bootstrap_text(np.array(v, dtype=float)) for v in (best, ratios))
        rank_verdict, ratio_verdict = _verdict(share >= IN_BEST_TENTH), _verdict(ratio <= RATIO)
        findings.append(
            f"Against {kind}: the chosen qubits are in the best tenth for {sum(best)} of {len(seeds)} models (target: 4 of 5, "
            f"{rank_verdict}), their error is {between} of the random mean (target: at most {RATIO}, {ratio_verdict})."
        )
        targets.append(
            (kind, f"{shares}", f"at least {IN_BEST_TENTH}", rank_verdict, between, f"at most {RATIO}", ratio_verdict)
        )
    intervals = "means with 95% bootstrap intervals"
    return Findings(
        findings=tuple(findings),
        not_claimed=(
            "Anything about a real processor: its calibration drifts, and its noise is more than the model's.",
            "That the chosen patch is the best there is: random ones are a sample.",
        ),
        tables=(
            Table(
                f"Relative L2 errors of maps, one row per model ({intervals} over inputs for the chosen qubits, over patches "
                "for random ones); gates are CZ of the largest circuit, the mean over patches.",
                (
                    "model",
                    "chosen",
                    "its rank among patches",
                    "random patch",
                    "least",
                    "its rank among assignments",
                    "random patch and assignment",
                    "least",
                    "CZ chosen / patch / assignment",
                ),
                tuple(rows),
            ),
            Table(
                f"Targets ({intervals} over models).",
                ("against", "in the best tenth", "target", "", "error over random mean", "target", ""),
                tuple(targets),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(error, seeds)),
                "Relative L2 error of the maps of each model on every placement and on the chosen qubits; bars "
                "are 95% intervals of the means.",
                "Points of errors for each model, random placements in grey, the chosen one a red diamond",
                "placement",
            ),
        ),
        settings={"noise": "calibrated noise of the virtual processor", "estimator": hq.ResolvedHadamardTest().describe()},
        assumptions={
            "simulation": "exact density matrices, without shot noise",
            "chosen by": "the circuit of the first input and the library's prediction of its errors",
            "best tenth": "by rank among the random ones and itself",
        },
    )


def rank(chosen: float, others: np.ndarray[Any, Any]) -> int:
    """Return the rank of an error among others, 1 for the smallest."""
    return 1 + int((others < chosen).sum())


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def _figure(error: Mapping[tuple[int, str], np.ndarray[Any, Any]], seeds: Sequence[int]) -> Figure:
    figure, ax = panels((8, 3.6))
    for kind, shift, colour in zip(KINDS, (-0.25, 0.0, 0.25), ("C3", "0.45", "0.7"), strict=True):
        for i, seed in enumerate(seeds):
            values = error[seed, kind]
            if kind == KINDS[0]:
                ax.plot(i + shift, values[0], "D", color=colour, label="" if i else kind)
                continue
            spread = np.random.default_rng(seed).uniform(-0.08, 0.08, len(values))  # so that points do not cover each other
            ax.plot(i + shift + spread, values, "o", color=colour, markersize=3.5, label="" if i else kind)
            mean, low, high = nested_bootstrap([values])
            ax.errorbar(i + shift, mean, [[mean - low], [high - mean]], fmt="_", color="black", capsize=3, markersize=12)
    ax.set(xlabel="model (seed)", ylabel="relative L2 error of the map", ylim=(0, None))
    ax.set_xticks(range(len(seeds)), [str(seed) for seed in seeds])
    ax.legend(title="qubits", frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


STUDY = Study("placement", __doc__, tasks, run, summarise)
