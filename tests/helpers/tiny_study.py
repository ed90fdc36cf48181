"""A study of a few random numbers whose tasks fail, die or dawdle on demand, for worker processes to import.

The folder named by the environment variable TINY_STUDY holds a log of what was begun, and orders: files named `raise-SEED`,
`die-SEED` (once) or `always-die-SEED`.
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

from experiments.runner.study import Done, Study
from hattriq_cirq.reporting.document import Section

ORDERS = "TINY_STUDY"
COUNT = 12


@dataclass(frozen=True)
class Task:
    """A seed, and how long its task takes."""

    seed: int
    pause: float = 0.0


def tasks(quick: bool) -> list[Task]:
    """Three or all of them, which take a while."""
    return [Task(seed, 0.1) for seed in range(3 if quick else COUNT)]


def run(task: Task) -> dict[str, Any]:
    """Does what is ordered, then draws numbers."""
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


def summarise(done: Sequence[Done[Task]]) -> Section:
    """The mean of all numbers."""
    mean = np.mean([d.result["numbers"] for d in done])
    return Section("", "", findings=(f"The mean of {len(done)} tasks is {mean:.6f}.",))


STUDY = Study("tiny_study", "Tiny", "What is the mean?", Task, tasks, run, summarise)


def begun(orders: Path) -> list[int]:
    """Seeds of the tasks that were begun, in order, one entry each time."""
    log = orders / "log"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def contents(root: Path) -> dict[str, dict[str, Any]]:
    """What the files of results hold, by name, but for times and provenance."""
    records = {path.name: json.loads(path.read_text()) for path in sorted((root / STUDY.name / "tasks").glob("*.json"))}
    for record in records.values():
        del record["seconds"], record["provenance"]
    return records


if __name__ == "__main__":
    import tiny_study  # so that the functions belong to a module that others can import

    raise SystemExit(tiny_study.STUDY.main(sys.argv[1:]))
