"""What each estimator costs and how fast it converges: gates, noise against N, and the cosine to the exact map on MNIST 3/5.

Run `python -m experiments.estimators`, or with `--quick` for a small sample. All circuits are simulated exactly by qsim; counts
are drawn from their probabilities. Prints the tables and writes figures and a JSON file with every number.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process a core

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from tqdm import tqdm

import hattriq_cirq as hq
from experiments.intervals import bootstrap_interval
from hattriq_cirq._arrays import Array, FloatArray
from hattriq_cirq._files import write_new
from hattriq_cirq._provenance import Provenance
from hattriq_cirq.estimators import Estimator, Plan, Product, plan
from hattriq_cirq.outcomes import Distribution
from hattriq_cirq.plotting import png
from hattriq_cirq.pricing import shots_for_cosine, variances_per_shot

ESTIMATORS: dict[str, Estimator] = {
    "resolved": hq.ResolvedHadamardTest(),
    "Hadamard": hq.HadamardTest(),
    "parallel, m=3": hq.ParallelHadamardTest(3),
    "polarization": hq.PolarizationShift(),
}
SHOTS = (1_000, 10_000, 100_000)


@dataclass(frozen=True)
class Noise:
    """sqrt(total squared error x shots) of each estimator on one random model and unit input, zero baseline."""

    n_qubits: int
    seed: int
    noise: dict[str, float]


@dataclass(frozen=True)
class Convergence:
    """One image: cosine to the exact map by estimator and shots, and shots predicted for cosine 0.95."""

    index: int
    cosine: dict[str, list[float]]
    predicted: dict[str, int]
    needed: dict[str, float]


def exactly(model: hq.Model, x: Array, estimator: Estimator) -> tuple[Plan, list[Distribution]]:
    """The plan for the zero baseline, and the exact distribution of each of its circuits."""
    made = plan(estimator, model, [Product(x, x)])
    return made, hq.qsim(threads=1).run([reading.circuit for reading in made.readings], None)


def noise(task: tuple[int, int]) -> Noise:
    """Measures the noise of every estimator on a random ring model of 4 layers and a random real input."""
    n_qubits, seed = task
    rng = np.random.default_rng([seed, n_qubits])
    model = hq.ring_ansatz(n_qubits, 4)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    x = rng.normal(size=2**n_qubits)
    x /= np.linalg.norm(x)
    chosen = {name: e for name, e in ESTIMATORS.items() if n_qubits >= 2 or name != "parallel, m=3"}
    return Noise(
        n_qubits, seed, {name: float(np.sqrt(variances_per_shot(*exactly(model, x, e)).sum())) for name, e in chosen.items()}
    )


def convergence(index: int, model: hq.Model, x: Array, seeds: int) -> Convergence:
    """Draws counts for one image at every number of shots; the cosines are means over the seeds."""
    exact = hq.integrated_gradients(model, x, baseline=0.0).values
    cosine: dict[str, list[float]] = {}
    predicted, needed = {}, {}
    for name, estimator in ESTIMATORS.items():
        made, distributions = exactly(model, x, estimator)
        cosine[name] = [_mean_cosine(made, distributions, exact, shots, index, seeds) for shots in SHOTS]
        predicted[name] = shots_for_cosine(made, distributions, 0.95)
        needed[name] = _needed(made, distributions, exact, 0.95, predicted[name], index)
    return Convergence(index, cosine, predicted, needed)


def _mean_cosine(made: Plan, distributions: list[Distribution], exact: FloatArray, shots: int, index: int, seeds: int) -> float:
    rng = np.random.default_rng([index, shots])
    found = []
    for _ in range(seeds):
        counts = [rng.multinomial(s, d.probabilities) for s, d in zip(made.shots(shots), distributions, strict=True)]
        values = made.decode([Distribution.from_counts(c) for c in counts]).values
        size = np.linalg.norm(values)
        found.append(values @ exact / size / np.linalg.norm(exact) if size else 0.0)
    return float(np.mean(found))


def _needed(made: Plan, distributions: list[Distribution], exact: FloatArray, cosine: float, guess: int, index: int) -> float:
    """Shots at which the mean cosine over 40 draws crosses the wanted one, interpolated between 0.6 and 1.6 of the guess."""
    shots = np.unique(np.maximum(np.geomspace(0.6, 1.6, 7) * guess, len(made.readings)).astype(int))
    reached = [_mean_cosine(made, distributions, exact, int(s), index, 40) for s in shots]
    return float(np.exp(np.interp(cosine, np.maximum.accumulate(reached), np.log(shots))))


def main(arguments: list[str] | None = None) -> None:
    """Runs everything, prints the tables and writes the figures."""
    parser = argparse.ArgumentParser(prog="python -m experiments.estimators", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 images, n up to 4, one seed (about 30 s)")
    parser.add_argument("--out", type=Path, default=Path("runs/estimators"), help="new folder (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    options = parser.parse_args(arguments)
    sizes, seeds, images = (range(2, 5), 1, 2) if options.quick else (range(2, 9), 5, 100)
    data = hq.datasets.load("mnist:pair=3/5,size=16")
    model = hq.train(hq.ring_ansatz(8, 8), data.x_train, data.y_train, seed=0, epochs=10 if options.quick else 100).model
    accuracy = hq.accuracy(model, data.x_test, data.y_test)
    chosen = data.test[:images]
    bar = partial(tqdm, disable=not sys.stderr.isatty())
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        tasks = [(n, seed) for n in sizes for seed in range(seeds)]
        noises = list(bar(pool.map(noise, tasks), total=len(tasks), desc="noise against N"))
        run = partial(convergence, model=model, seeds=5)
        futures = [pool.submit(run, int(i), x=data.amplitudes[i]) for i in chosen]
        converged = [future.result() for future in bar(futures, desc="MNIST 3/5")]
    record = {
        "accuracy": {"MNIST 3/5, test": accuracy},
        "noise": [asdict(row) for row in noises],
        "convergence": [asdict(row) for row in converged],
        "provenance": asdict(Provenance.now()),
    }
    write_new(options.out / "estimators.json", json.dumps(record, indent=1))
    print_noise(noises)
    print(f"\nMNIST 3/5, n = 8, 8 layers, test accuracy {accuracy:.3f}; {len(converged)} test images, simulated counts")
    print_convergence(converged)
    write_new(options.out / "estimators.png", png(draw(noises, converged)))


def print_noise(noises: list[Noise]) -> None:
    """The noise of each estimator, and how many times more shots than the resolved test it needs."""
    print("sqrt(total squared error x shots), zero baseline, unit inputs, mean over seeds; shots ratio to resolved in brackets")
    names = list(ESTIMATORS)
    print("  n     N  " + "".join(f"{name:>20}" for name in names))
    for n in sorted({row.n_qubits for row in noises}):
        rows = [row.noise for row in noises if row.n_qubits == n]
        means = {name: float(np.mean([r[name] for r in rows])) for name in names if name in rows[0]}
        cells = [f"{v:.2f} ({(v / means['resolved']) ** 2:.1f}x)" for v in means.values()]
        print(f"{n:>3}{2**n:>6}  " + "".join(f"{cell:>20}" for cell in cells))
    sizes = np.array([row.n_qubits for row in noises])
    for name in names[1:]:
        ratios = np.array([(row.noise[name] / row.noise["resolved"]) ** 2 for row in noises])
        print(f"shots ratio of {name} grows like N**{np.polyfit(sizes * np.log(2), np.log(ratios), 1)[0]:.2f}")


def print_convergence(rows: list[Convergence]) -> None:
    """Cosines with 95% bootstrap intervals over images, and the planner's prediction against simulation."""
    print(f"{'estimator':<16}" + "".join(f"{f'{s:,} shots':>26}" for s in SHOTS) + "   planned / needed for 0.95")
    for name in ESTIMATORS:
        cells = [_with_interval([row.cosine[name][i] for row in rows]) for i in range(len(SHOTS))]
        ratio = _with_interval([row.predicted[name] / row.needed[name] for row in rows])
        print(f"{name:<16}" + "".join(f"{cell:>26}" for cell in cells) + f"   {ratio}")


def _with_interval(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.3f}"
    low, high = bootstrap_interval(values)
    return f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]"


def draw(noises: list[Noise], rows: list[Convergence]) -> Figure:
    """Shots ratio against N on the left, cosine against shots on the right."""
    with sns.axes_style("ticks"), sns.plotting_context("notebook", font_scale=0.85):
        figure = Figure(figsize=(9.6, 4.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        colours = dict(zip(ESTIMATORS, sns.color_palette("colorblind", len(ESTIMATORS)), strict=True))
        for name in ESTIMATORS:
            found = [row for row in noises if name in row.noise]
            n = [2**row.n_qubits for row in found]
            ratio = [(row.noise[name] / row.noise["resolved"]) ** 2 for row in found]
            sns.lineplot(x=n, y=ratio, ax=left, color=colours[name], marker="o", label=name)
            cosines = [(shots, row.cosine[name][i]) for row in rows for i, shots in enumerate(SHOTS)]
            sns.lineplot(x=[s for s, _ in cosines], y=[c for _, c in cosines], ax=right, color=colours[name], marker="o")
        sizes = np.array(sorted({2**row.n_qubits for row in noises}))
        left.plot(sizes, sizes, ls=":", color="0.4", label="N")
        left.set(xscale="log", yscale="log", xlabel="amplitudes N", ylabel="shots, relative to resolved")
        left.set_title("shots to the same L2 error")
        left.legend(frameon=False)
        right.set(xscale="log", xlabel="shots in all", ylabel="cosine to the exact map", ylim=(0, 1.02))
        right.set_title("MNIST 3/5, n = 8 (mean, 95% interval over images)")
        for ax in (left, right):
            ax.grid(axis="y", alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
