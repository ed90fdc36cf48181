"""The list of studies, and a run of all of them."""

from __future__ import annotations

import ast
import difflib
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the list of studies imports none of them
    from experiments.runner.study import Study

#: Study that runs the plan of a file which names none, and those that a plan may name.
PLANNED = "mitigation"
PLANNABLE = (PLANNED, "learned", "learned_28")
#: Studies that are presets of the module `noise_presets`.
PRESETS = ("gate_noise", "readout_mitigation", "noise_mitigation", "best_pipeline")
#: Names of all studies, in the order of docs/results.
STUDIES = (
    *("accuracy", "attribution_gallery", "shot_noise", "gate_noise", "compiled_cost", "budget", "baselines", "signs"),
    *("classical", "faithfulness", "randomisation", "readout_mitigation", "noise_mitigation", "best_pipeline", "ancillas"),
    *("mitigation", "unseen_noise", "placement", "approximate_encoding", "learned", "learned_28", "explanations"),
    *("user_data", "classifier"),
)


def study(name: str) -> Study[Any]:
    """Import a study."""
    if name in PRESETS:
        return import_module("experiments.studies.noise_presets").STUDIES[name]  # type: ignore[no-any-return]
    return import_module(f"experiments.studies.{name}").STUDY  # type: ignore[no-any-return]


def summary(name: str) -> str:
    """Return the first line of the docstring of a study's module, or of the tasks of a preset, read without an import."""
    module = "noise_presets" if name in PRESETS else name
    tree = ast.parse((Path(__file__).parents[1] / "studies" / f"{module}.py").read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    return (ast.get_docstring(functions[f"{name}_tasks"] if name in PRESETS else tree) or "").split("\n")[0]


def run(name: str, arguments: Sequence[str]) -> int:
    """Run one study with the options of its command line; return the exit code."""
    return study(name).main(list(arguments))


def run_words(words: Sequence[str]) -> int:
    """Run what the words of a command line name: a study, `all`, `page`, or a plan, a file that ends in .toml.

    Returns:
        The exit code.

    Raises:
        ValueError: There is no study of this name.
    """
    name, *rest = words
    if name == "all":
        return run_everything(rest)
    if name == "page":
        return int(import_module("experiments.runner.results_page").main(rest))
    if name.lower().endswith(".toml"):
        from experiments.runner.plan import study_of

        planned = study_of(name) or PLANNED
        if planned not in PLANNABLE:
            raise ValueError(f"{name}: study {planned!r} has no plans; choose one of {', '.join(PLANNABLE)}")
        return run(planned, ["--plan", name, *rest])
    if name not in STUDIES:
        near = difflib.get_close_matches(name, STUDIES, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(STUDIES)}, or a plan.toml"
        raise ValueError(f"no study {name!r}; {hint}")
    return run(name, rest)


def listed() -> str:
    """Return the names of all studies with their summaries, one per line."""
    return "\n".join(f"  {name:<22}{summary(name)}" for name in STUDIES)


def run_everything(arguments: Sequence[str]) -> int:
    """Run all studies one after the other with the same options; a study that fails does not stop the others.

    Returns:
        0, or 1 if a study failed.
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
        print(f"failed, or missed a target: {', '.join(failed)}")
    return 1 if failed else 0
