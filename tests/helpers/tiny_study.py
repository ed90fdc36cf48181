"""A study of a few random numbers, whose tasks are those of `tiny_tasks`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny_tasks import ORDERS, Task, run

from experiments.runner.study import Done, Findings, Study

__all__ = ["COUNT", "ORDERS", "STUDY", "Task", "contents", "started", "tasks"]
COUNT = 12


def tasks(quick: bool) -> list[Task]:
    """Return three tasks or all of them, which take a moment each."""
    return [Task(seed, 0.1) for seed in range(3 if quick else COUNT)]


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
