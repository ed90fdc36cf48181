"""What the next version of Cirq takes away or changes is not used, so that the adapter works with both."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for name in ("hattriq_cirq", "calibration", "experiments", "benchmarks") for path in (ROOT / name).rglob("*.py")]
#: Removed in 1.8: metrics come with the configuration of a processor.
REMOVED = {
    *("get_calibration", "get_current_calibration", "get_latest_calibration", "list_calibrations", "get_engine_calibration"),
    "run_shuffled_circuits_with_readout_benchmarking",
}
#: In 1.8 samplers have other arguments for batches, and the revision of a configuration another default. Here jobs are packed
#: by this library, and a revision is always stated.
CHANGED = {"get_sampler", "ProcessorSampler", "get_processor_config", "list_processor_configs", "jobs_per_batch"}


def names_of(code: str) -> set[str]:
    """Return all names, attributes, imported names and keywords of a program."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name) | ast.keyword(arg=str(name)):
                found.add(name)
    return found


def test_names_that_cirq_removes_or_changes_are_not_used() -> None:
    assert len(FILES) > 100
    used = {str(path.relative_to(ROOT)): names_of(path.read_text(encoding="utf-8")) & (REMOVED | CHANGED) for path in FILES}
    assert {path: names for path, names in used.items() if names} == {}


@pytest.mark.parametrize(
    "code",
    [
        "processor.get_current_calibration()",
        "from cirq_google import get_engine_calibration",
        "engine.get_sampler('p')",
        "f(jobs_per_batch=2)",
    ],
)
def test_use_of_such_a_name_is_detected(code: str) -> None:
    assert names_of(code) & (REMOVED | CHANGED)
