"""Commands in processes of their own that are stopped by signals at moments of their work, then repeated."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRELOADED = """
import sys
import matplotlib.figure, seaborn, cirq_google, qsimcirq
import hattriq_cirq.cli.commands.attribute, hattriq_cirq.workflows.learn
import hattriq_cirq.cli.sections, hattriq_cirq.cli.pictures, hattriq_cirq.cli.run_folder
import hattriq_cirq as hq
import calibration, experiments.runner.study
hq.train, hq.integrated_gradients, hq.virtual, hq.plot_gallery
"""
HATTRIQ = f"{PRELOADED}\nfrom hattriq_cirq.cli import main\nprint('ready', flush=True)\nraise SystemExit(main())"
STUDY = f"{PRELOADED}\nimport tiny_study\nprint('ready', flush=True)\nraise SystemExit(tiny_study.STUDY.main(sys.argv[1:]))"


@dataclass(frozen=True)
class Outcome:
    """End of a process.

    Args:
        code: Exit code; the negative number of the signal that ended it.
        seconds: Time from the end of its imports.
        errors: Text on standard error.
    """

    code: int
    seconds: float
    errors: str


def run_until(words: str, code: str = HATTRIQ, moment: float | None = None, how: signal.Signals = signal.SIGKILL) -> Outcome:
    """Run a command in another process, and send it a signal at a moment of its work, counted from the end of its imports.

    Args:
        words: Arguments of the command.
        code: Program that prints `ready` when its imports are done.
        moment: Seconds; None lets it end.
        how: Signal.
    """
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "helpers")))
    process = subprocess.Popen(
        [sys.executable, "-c", code, *shlex.split(words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    start = time.perf_counter()
    try:
        _, errors = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.send_signal(how)
        _, errors = process.communicate()
    return Outcome(process.returncode, time.perf_counter() - start, errors)
