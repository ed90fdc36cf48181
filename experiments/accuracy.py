"""Does every model meet its accuracy target? Trains each task on several seeds, beside logistic regression and chance.

Run `python -m experiments.accuracy` for the full table (five seeds), or with `--quick` for one small task. A task's result
lies at a path that is a function of the task; what exists is not run again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process a core is faster than threads on small products

import numpy as np
from tqdm import tqdm

import hattriq_cirq as hq
from experiments.intervals import bootstrap_interval
from hattriq_cirq._files import write_new
from hattriq_cirq._provenance import Provenance
from hattriq_cirq.classical import logistic_regression_accuracy


@dataclass(frozen=True)
class Setting:
    """A data set, the model trained on it and the mean test accuracy wanted; None where none was set."""

    data: str
    layers: int
    target: float | None
    epochs: int = 200


@dataclass(frozen=True)
class Task:
    """One seed of a setting: everything that decides the result."""

    data: str
    layers: int
    epochs: int
    seed: int

    def path(self, root: Path) -> Path:
        """Where the result lies below a folder."""
        name = self.data.replace(":", "-").replace("/", "_").replace(",", "-")
        return root / name / f"layers={self.layers}-epochs={self.epochs}-seed={self.seed}.json"


SETTINGS = (
    Setting("bars_and_stripes:copies=10", 4, 1.00),
    Setting("bars_and_stripes:noise=0.2,copies=20", 4, 1.00),
    Setting("bars_and_stripes", 4, None),
    Setting("digits:pair=0/1", 4, 0.99),
    Setting("mnist:pair=0/1,size=16", 4, 0.99, epochs=60),
    Setting("mnist:pair=1/9,size=16", 6, 0.98, epochs=100),
    Setting("mnist:pair=3/5,size=16", 8, 0.95, epochs=100),
    Setting("tfim:n_qubits=8", 4, 0.97),
    Setting("tfim:n_qubits=8,train_gap=0.4", 4, None),
)
SEEDS = range(5)


def run(task: Task, root: Path) -> Path:
    """Trains one task and writes its result, raw expectations first of all; an existing result is left as it is.

    Args:
        task: what to run.
        root: the folder of results.

    Returns:
        The path of the result.
    """
    path = task.path(root)
    if path.exists():
        return path
    data = hq.datasets.load(f"{task.data}{',' if ':' in task.data else ':'}seed={task.seed}")
    training = hq.train(
        hq.ring_ansatz(data.n_qubits, task.layers), data.x_train, data.y_train, seed=task.seed, epochs=task.epochs
    )
    logistic_train, logistic_test = logistic_regression_accuracy(data)
    result = {
        "task": asdict(task),
        "train_accuracy": hq.accuracy(training.model, data.x_train, data.y_train),
        "test_accuracy": hq.accuracy(training.model, data.x_test, data.y_test),
        "logistic_train_accuracy": logistic_train,
        "logistic_test_accuracy": logistic_test,
        "chance": data.chance,
        "seconds": training.seconds,
        "test_expectations": np.asarray(training.model.expectation(data.x_test)).tolist(),
        "test_labels": data.y_test.tolist(),
        "params": dict(training.model.params),
        "provenance": asdict(Provenance.now()),
    }
    return write_new(path, json.dumps(result, indent=1))


def table(settings: tuple[Setting, ...], seeds: range, root: Path) -> Iterator[tuple[str, bool]]:
    """Yields a line for each setting, with 95% bootstrap intervals over seeds, and whether its target is met."""
    yield f"{'data':<40}layers  train   test [95% over seeds]     logistic  chance  target", True
    for setting in settings:
        tasks = [Task(setting.data, setting.layers, setting.epochs, seed) for seed in seeds]
        results = [json.loads(task.path(root).read_text()) for task in tasks]
        mean = {key: float(np.mean([r[key] for r in results])) for key in results[0] if key.endswith("accuracy")}
        test = mean["test_accuracy"]
        low, high = bootstrap_interval([r["test_accuracy"] for r in results])
        met = setting.target is None or test >= setting.target
        verdict = "none set" if setting.target is None else f"{setting.target:.2f} {'met' if met else 'MISSED'}"
        yield (
            (
                f"{setting.data:<40}{setting.layers:>6}  {mean['train_accuracy']:.3f}   {test:.4f} [{low:.4f}, {high:.4f}]  "
                f"{mean['logistic_test_accuracy']:>8.3f}  {np.mean([r['chance'] for r in results]):>6.3f}  {verdict}"
            ),
            met,
        )


def main(arguments: list[str] | None = None) -> int:
    """Runs what is missing, prints the table; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m experiments.accuracy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed of the clean Bars and Stripes (about 5 s)")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"), help="folder of results (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    options = parser.parse_args(arguments)
    settings, seeds = (SETTINGS[:1], range(1)) if options.quick else (SETTINGS, SEEDS)
    tasks = [Task(s.data, s.layers, s.epochs, seed) for s in settings for seed in seeds]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=spawn) as pool:
        pending = [pool.submit(run, task, options.out) for task in tasks]
        for future in tqdm(pending, desc="tasks", disable=not sys.stderr.isatty()):
            future.result()
    all_met = True
    for line, met in table(settings, seeds, options.out):
        print(line)
        all_met &= met
    return 0 if all_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
