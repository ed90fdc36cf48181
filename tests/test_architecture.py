"""The arrows between folders, held by one table that every import is compared with."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hattriq_cirq", "calibration", "experiments")

GROUND = {"foundation"}
SIMULATION = {*GROUND, "simulation", "circuits"}
MODELS = {*SIMULATION, "models"}
ATTRIBUTION = {*MODELS, "attribution"}
ENCODING = {*SIMULATION, "encoding"}
ESTIMATORS = {*ENCODING, *MODELS, "estimators"}
COMPILATION = {*ENCODING, "compilation"}
EXECUTION = {*COMPILATION, "execution"}
PIPELINE = {*EXECUTION, *ESTIMATORS, *ATTRIBUTION, "pipeline"}
REPORTING = {*ATTRIBUTION, "reporting"}
CALIBRATION = {*PIPELINE, "calibration", "readout", "gates"}
WORKFLOWS = {*CALIBRATION, *REPORTING, "faithfulness", "datasets", "workflows"}
STUDIES = {*WORKFLOWS, "runner", "studies"}
ARROWS: dict[str, set[str]] = {
    "foundation": GROUND,
    "circuits": {*GROUND, "circuits"},
    "simulation": SIMULATION,
    "encoding": ENCODING,
    "models": MODELS,
    "attribution": ATTRIBUTION,
    "estimators": ESTIMATORS,
    "compilation": COMPILATION,
    "execution": EXECUTION,
    "pipeline": PIPELINE,
    "datasets": {*GROUND, "datasets"},
    "faithfulness": {*ATTRIBUTION, "faithfulness"},
    "reporting": REPORTING,
    "calibration": CALIBRATION,
    "readout": CALIBRATION,
    "gates": CALIBRATION,
    "workflows": WORKFLOWS,
    "runner": STUDIES,
    "studies": STUDIES,
    "cli": {*STUDIES, "experiments", "cli"},
    "experiments": {*STUDIES, "experiments"},
}
"""Folder -> the folders that it may import from."""
OUTSIDE = {"qsimcirq": {"execution", "simulation"}, "cirq_google": {"execution", "compilation"}}
"""Package of others -> the only folders that import it."""


def sources(*folders: str) -> Iterator[Path]:
    """Python files, relative to the root."""
    for folder in folders:
        yield from (path.relative_to(ROOT) for path in sorted((ROOT / folder).rglob("*.py")))


def imports(code: str, package: str = "") -> set[str]:
    """Every module that code imports, wherever the statement stands; `from a import b` counts as a and as a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def folder_of(module: str) -> str | None:
    """The folder of a module of ours as the table names it; None for modules of others and for the package's own root."""
    package, *rest = module.split(".")
    if package not in PACKAGES:
        return package if package in ("tests", "benchmarks") else None
    folders = [name for name in rest if (ROOT / package / name).is_dir()]
    if folders:
        return folders[0]
    return None if package == "hattriq_cirq" else package


def wrong_imports(path: Path, code: str) -> list[str]:
    """What a file imports against the table."""
    folder = folder_of(".".join(path.with_suffix("").parts)) or folder_of(".".join(path.parts[:-1]))
    if folder is None:  # hattriq_cirq/__init__.py and its private neighbours give names to users and import lazily
        return []
    found = []
    for module in sorted(imports(code, ".".join(path.parts[:-1]))):
        other, top = folder_of(module), module.split(".")[0]
        is_wrong = top in OUTSIDE and folder not in OUTSIDE[top]
        is_wrong |= other is not None and other not in ARROWS[folder]
        is_wrong |= module == "hattriq_cirq" and path.parts[0] == "hattriq_cirq" and folder not in ("cli",)
        if is_wrong:
            found.append(f"{path.as_posix()} imports {module}")
    return found


def test_imports_follow_the_arrows() -> None:
    files = list(sources(*PACKAGES))
    assert Path("hattriq_cirq/models/model.py") in files
    assert [wrong for path in files for wrong in wrong_imports(path, (ROOT / path).read_text())] == []


def test_every_folder_stands_in_the_table() -> None:
    found = {folder_of(".".join(path.with_suffix("").parts)) for path in sources(*PACKAGES)} - {None}
    assert found == set(ARROWS)


def test_no_file_imports_itself_by_a_detour() -> None:
    files = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in sources(*PACKAGES)}
    graph = nx.DiGraph()
    for module, path in files.items():
        graph.add_edges_from(
            (module, other)
            for other in imports((ROOT / path).read_text(), ".".join(path.parts[:-1]))
            if other in files and other != module and not module.startswith(f"{other}.")
        )
    assert list(nx.simple_cycles(graph)) == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("hattriq_cirq/models/model.py", "import calibration.readout"),
        ("hattriq_cirq/models/model.py", "def f():\n    from calibration import readout"),
        ("hattriq_cirq/models/model.py", "from .. import cli"),
        ("hattriq_cirq/models/model.py", "from hattriq_cirq.attribution.result import Cost"),
        ("hattriq_cirq/execution/backends/simulators.py", "from ...cli import main"),
        ("hattriq_cirq/execution/engine.py", "from hattriq_cirq.estimators.plan import plan"),
        ("hattriq_cirq/pipeline/prepare.py", "from calibration import Readout"),
        ("calibration/readout/measure.py", "from hattriq_cirq.cli import main"),
        ("calibration/readout/measure.py", "import experiments.runner.study"),
        ("hattriq_cirq/models/model.py", "import qsimcirq"),
        ("experiments/studies/shot_noise.py", "from qsimcirq import QSimSimulator"),
        ("calibration/readout/measure.py", "import cirq_google as cg"),
        ("hattriq_cirq/simulation/statevector.py", "import cirq_google"),
        ("hattriq_cirq/models/model.py", "from tests import oracle"),
    ],
)
def test_an_import_against_the_arrows_is_detected(path: str, code: str) -> None:
    assert len(wrong_imports(Path(path), code)) >= 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("hattriq_cirq/cli/__init__.py", "from calibration import readout"),
        ("hattriq_cirq/simulation/statevector.py", "import qsimcirq"),
        ("hattriq_cirq/execution/backends/google.py", "import cirq_google, qsimcirq"),
        ("calibration/readout/measure.py", "from hattriq_cirq import Model"),
        ("experiments/studies/shot_noise.py", "import calibration, hattriq_cirq.models.model"),
        ("hattriq_cirq/reporting/plotting.py", "from hattriq_cirq.models import climate, calibrations"),
    ],
)
def test_imports_along_the_arrows_are_accepted(path: str, code: str) -> None:
    assert wrong_imports(Path(path), code) == []
