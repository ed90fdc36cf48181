"""Tasks that fail, crash or take long on demand, in a module that a worker process imports quickly.

The folder named by the environment variable TINY_STUDY holds a log of the tasks that were started, and orders: files named
`raise-SEED`, `die-SEED` (once) or `always-die-SEED`.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ORDERS = "TINY_STUDY"


@dataclass(frozen=True)
class Task:
    """A seed, and the seconds that its task takes."""

    seed: int
    pause: float = 0.0


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


def unfit(task: Task) -> dict[str, Any]:
    """Return a result that JSON cannot hold for the first two seeds."""
    return {"value": float("nan") if task.seed == 0 else object() if task.seed == 1 else 1.0}
