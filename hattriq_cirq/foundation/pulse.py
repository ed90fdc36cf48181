"""Signs of life on a watched terminal: whatever lasts, a bar whose clock runs or a line says what is done at the moment.

Nothing has to be announced for it. What a program does follows from the innermost function of this project that runs: folders
are named after the steps of the work, and `PHASES` has the words.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hattriq_cirq.foundation.progress import refresh_bars
from hattriq_cirq.foundation.terminal import StatusLine, is_watched

LOADING, WORKING = "load the library", "work"
#: Folders and modules, or beginnings of their names, and what is done while their functions run; the longest name counts.
PHASES = {
    "calibration": "correct errors",
    "experiments": "run the study",
    "hattriq_cirq.attribution": "attribute inputs",
    "hattriq_cirq.attribution.counterfactual": "find counterfactuals",
    "hattriq_cirq.circuits": "build circuits",
    "hattriq_cirq.cli.follow": "wait for news",
    "hattriq_cirq.compilation": "compile circuits",
    "hattriq_cirq.compilation.snapshot": "read the snapshot of a processor",
    "hattriq_cirq.compilation.layout_search": "choose qubits",
    "hattriq_cirq.compilation.placement": "choose qubits",
    "hattriq_cirq.datasets": "read the data",
    "hattriq_cirq.encoding": "build state preparations",
    "hattriq_cirq.estimators": "build circuits",
    "hattriq_cirq.execution": "run circuits",
    "hattriq_cirq.execution.backends.google": "wait for the service",
    "hattriq_cirq.execution.journal": "read and write the journal",
    "hattriq_cirq.execution.processors": "ask for processors",
    "hattriq_cirq.faithfulness": "measure faithfulness",
    "hattriq_cirq.models": "evaluate the model",
    "hattriq_cirq.models.coefficient": "fit the observable",
    "hattriq_cirq.models.training": "train the model",
    "hattriq_cirq.pipeline": "prepare circuits",
    "hattriq_cirq.pipeline.resources": "count gates and shots",
    "hattriq_cirq.reporting": "write results",
    "hattriq_cirq.reporting.explanation_plots": "draw pictures",
    "hattriq_cirq.reporting.plotting": "draw pictures",
    "hattriq_cirq.simulation": "simulate circuits",
    "hattriq_cirq.workflows": "evaluate results",
    "hattriq_cirq.workflows.accuracies": "compare with classical models",
    "hattriq_cirq.workflows.classical": "compare with classical models",
    "hattriq_cirq.workflows.classifier": "train and compare the classifier",
    "hattriq_cirq.workflows.explain": "explain inputs",
    "hattriq_cirq.workflows.learn": "learn the observable",
}
_PATIENCE = 0.5  # seconds without a sign of life
_PERIOD = 0.2  # seconds between two looks at the clock


@contextmanager
def pulse(line: StatusLine) -> Iterator[None]:
    """Let no phase of a block go on in silence, if a person reads standard error.

    Args:
        line: Last line of the terminal.
    """
    if not is_watched():
        yield
        return
    worker, ended = threading.get_ident(), threading.Event()

    def go_on() -> None:
        while not ended.wait(_PERIOD):
            beat(line, sys._current_frames().get(worker))

    thread = threading.Thread(target=go_on, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        line.give_way()


def beat(line: StatusLine, frame: FrameType | None) -> None:
    """Show a sign of life if nothing was printed for a while: the bars with the time they take, or what is done.

    Args:
        line: Last line of the terminal.
        frame: Innermost function that runs.
    """
    silent = time.monotonic() - line.last_print
    if silent > _PATIENCE and not refresh_bars():
        line.show(f"{phase_of(frame)} ... {silent:.0f} s")


def phase_of(frame: FrameType | None) -> str:
    """Return what is done while a function runs: the words of the innermost module of this project, or that modules are loaded.

    Args:
        frame: Function that runs; those that called it follow.
    """
    is_import = False
    while frame is not None:
        code = frame.f_code
        is_import |= code.co_filename.startswith("<frozen importlib")
        if words := words_of(str(frame.f_globals.get("__name__", ""))):
            return LOADING if is_import or code.co_name == "<module>" else words
        frame = frame.f_back
    return LOADING if is_import else WORKING


def words_of(module: str) -> str:
    """Return what a module does, in the words of its folder if it has none of its own; empty for the others.

    Example:
        >>> words_of("hattriq_cirq.encoding.exact"), words_of("numpy")
        ('build state preparations', '')
    """
    known = [name for name in PHASES if module == name or module.startswith((f"{name}.", f"{name}_"))]
    return PHASES[max(known, key=len)] if known else ""
