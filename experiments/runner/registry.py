"""Which studies there are, and all of them in one go."""

from __future__ import annotations

import ast
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

STUDIES = (
    "accuracy",
    "attribution_gallery",
    "shot_noise",
    "gate_noise",
    "compiled_cost",
    "budget",
    "baselines",
    "signs",
    "classical",
    "faithfulness",
    "randomisation",
    "readout_mitigation",
    "noise_mitigation",
    "best_pipeline",
    "ancillas",
    "placement",
    "approximate_encoding",
    "user_data",
)
"""Modules of this package with a `main(arguments)`; the order is that of docs/results.md."""


def summary(name: str) -> str:
    """The first sentence of a study's module, read without importing it."""
    source = (Path(__file__).parents[1] / "studies" / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]


def run(name: str, arguments: Sequence[str]) -> int:
    """Runs one study with the options of its command line; the exit code."""
    code: int = import_module(f"experiments.studies.{name}").main(list(arguments))
    return code


def run_everything(arguments: Sequence[str]) -> int:
    """Runs all studies one after the other with the same options; one that fails does not stop the others.

    Returns:
        0, or 1 if one failed.
    """
    failed = []
    for name in STUDIES:
        start = time.perf_counter()
        print(f"== {name}", flush=True)
        try:
            code = run(name, arguments)
        except (RuntimeError, ValueError, OSError, ImportError) as error:
            print(f"{name} stopped: {error}")
            code = 1
        failed += [name] if code else []
        print(f"== {name}: {time.perf_counter() - start:.0f} s\n", flush=True)
    if failed:
        print(f"not as wanted: {', '.join(failed)}")
    return 1 if failed else 0
