"""A study of a few random numbers whose tasks fail, crash or take long on demand, for worker processes to import.

The folder named by the environment variable TINY_STUDY holds a log of the tasks that were started, and orders: files named
`raise-SEED`, `die-SEED` (once) or `always-die-SEED`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner.study import Done, Findings, Study

ORDERS = "TINY_STUDY"
COUNT = 12


@dataclass(frozen=True)
class Task:
    """A seed, and the seconds that its task takes."""

    seed: int
    pause: float = 0.0


def tasks(quick: bool) -> list[Task]:
    """Return three tasks or all of them, which take a moment each."""
    return [Task(seed, 0.1) for seed in range(3 if quick else COUNT)]


def run(task: Task) -> dict[str, Any]:
    """Carry out the orders for this task, then sample numbers."""
    orders = Path(os.environ[ORDERS])
    with (orders / "log").open("a") as log:
        log.write(f"{task.seed}\n")
    if (orders / f"raise-{task.seed}").exists():
        raise ArithmeticError(f"no luck with {task.seed}")
    once = orders / f"die-{task.seed}"
    if once.exists() or (orders / f"always-{once.name}").exists():
        once.unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(task.pause)
    return {"numbers": np.random.default_rng(task.seed).standard_normal(5), "seed": np.int64(task.seed)}


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the mean of all numbers."""
    mean = np.mean([d.result["numbers"] for d in done])
    return Findings((f"The mean of {len(done)} tasks is {mean:.6f}.",))


STUDY = Study("tiny_study", "Tiny: a mean.\n\nWhat is the mean?", tasks, run, summarise)


def started(orders: Path) -> list[int]:
    """Return the seeds of the tasks that were started, in order, one entry per start."""
    log = orders / "log"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def contents(root: Path) -> dict[str, dict[str, Any]]:
    """Return the contents of the files of results by name, without times and provenance."""
    records = {path.name: json.loads(path.read_text()) for path in sorted((root / STUDY.name / "tasks").glob("*.json"))}
    for record in records.values():
        del record["seconds"], record["provenance"]
    return records


if __name__ == "__main__":
    import tiny_study  # so that the functions belong to a module that others can import

    raise SystemExit(tiny_study.STUDY.main(sys.argv[1:]))
