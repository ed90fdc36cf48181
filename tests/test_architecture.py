"""The arrows between folders: one table, with which every import is compared."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hattriq_cirq", "calibration", "experiments")

GROUND = {"foundation"}
CIRCUITS = {*GROUND, "circuits"}
SIMULATION = {*CIRCUITS, "simulation"}
MODELS = {*SIMULATION, "models"}
ATTRIBUTION = {*MODELS, "attribution"}
ENCODING = {*SIMULATION, "encoding"}
ESTIMATORS = {*ENCODING, *MODELS, "estimators"}
COMPILATION = {*ENCODING, "compilation"}
EXECUTION = {*COMPILATION, "execution"}
PIPELINE = {*EXECUTION, *ESTIMATORS, *ATTRIBUTION, "pipeline"}
CALIBRATION = {*PIPELINE, "calibration", "readout", "gates"}
WORKFLOWS = {*CALIBRATION, "reporting", "faithfulness", "datasets", "workflows"}
EXPERIMENTS = {*WORKFLOWS, "experiments", "runner", "studies"}
ARROWS: dict[str, set[str]] = {
    "foundation": GROUND,
    "circuits": CIRCUITS,
    "simulation": SIMULATION,
    "encoding": ENCODING,
    "models": MODELS,
    "attribution": ATTRIBUTION,
    "estimators": ESTIMATORS,
    "compilation": COMPILATION,
    "execution": EXECUTION,
    "pipeline": PIPELINE,
    "datasets": {*SIMULATION, "datasets"},
    "faithfulness": {*ATTRIBUTION, "faithfulness"},
    "reporting": {*EXECUTION, *ATTRIBUTION, "reporting"},
    "readout": {*PIPELINE, "readout"},
    "gates": {*PIPELINE, "gates"},
    "calibration": CALIBRATION,
    "workflows": WORKFLOWS,
    "runner": {*WORKFLOWS, "runner"},
    "studies": {*WORKFLOWS, "runner", "studies"},
    "experiments": EXPERIMENTS,
    "cli": {*EXPERIMENTS, "cli"},
}
"""Folders and the folders that each may import; `calibration` and `experiments` stand for the files beside their subfolders."""
EXTERNAL = {"qsimcirq": {"execution", "simulation"}, "cirq_google": {"execution", "compilation"}}
"""External packages and the only folders that may import them."""


def sources(*folders: str) -> Iterator[Path]:
    """Yield the Python files below the folders, relative to the root."""
    for folder in folders:
        yield from (path.relative_to(ROOT) for path in sorted((ROOT / folder).rglob("*.py")))


def imports(code: str, package: str = "") -> set[str]:
    """Return every module that the code imports, at any depth; `from a import b` counts as a and as a.b."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            modules |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return modules


def imports_of(path: Path) -> set[str]:
    """Return every module that a file imports."""
    return imports((ROOT / path).read_text(), ".".join(path.parts[:-1]))


def folder_of(module: str) -> str | None:
    """Return the folder of a module as the table names it; None for external modules and for the root of hattriq_cirq."""
    package, *rest = module.split(".")
    if package not in PACKAGES:
        return package if package in ("tests", "benchmarks") else None
    folders = [name for name in rest if (ROOT / package / name).is_dir()]
    if folders:
        return folders[0]
    return None if package == "hattriq_cirq" else package


def folder_of_file(path: Path) -> str | None:
    """Return the folder of a file as the table names it; None for the files beside the folders of hattriq_cirq."""
    return folder_of(".".join(path.with_suffix("").parts))


def wrong_imports(path: Path, code: str) -> list[str]:
    """Return the imports of a file that the table does not allow."""
    folder = folder_of_file(path)
    if folder is None:  # hattriq_cirq/__init__.py and its private neighbours import the public names lazily
        return []
    wrong = []
    for module in sorted(imports(code, ".".join(path.parts[:-1]))):
        other, top = folder_of(module), module.split(".")[0]
        is_wrong = top in EXTERNAL and folder not in EXTERNAL[top]
        is_wrong |= other is not None and other not in ARROWS[folder]
        is_wrong |= module == "hattriq_cirq" and path.parts[0] == "hattriq_cirq" and folder != "cli"
        is_wrong |= any(re.match("_(?!_|moved|version)", name) for name in module.split(".")) and top in PACKAGES
        if is_wrong:
            wrong.append(f"{path.as_posix()} imports {module}")
    return wrong


def test_imports_follow_the_arrows() -> None:
    files = list(sources(*PACKAGES))
    assert Path("hattriq_cirq/models/model.py") in files
    assert [wrong for path in files for wrong in wrong_imports(path, (ROOT / path).read_text())] == []


def test_every_folder_is_in_the_table() -> None:
    assert {folder_of_file(path) for path in sources(*PACKAGES)} - {None} == set(ARROWS)


def test_table_of_folders_has_no_circle() -> None:
    arrows = [(folder, other) for folder, allowed in ARROWS.items() for other in allowed if folder != other]
    assert list(nx.simple_cycles(nx.DiGraph(arrows))) == []


def test_import_circles_between_files() -> None:
    files = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in sources(*PACKAGES)}
    graph = nx.DiGraph()
    for module, path in files.items():
        graph.add_edges_from(
            (module, other)
            for other in imports_of(path)
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
        ("hattriq_cirq/pipeline/execute.py", "from hattriq_cirq.reporting.plotting import png"),
        ("hattriq_cirq/attribution/baselines.py", "from hattriq_cirq.datasets import load"),
        ("hattriq_cirq/estimators/plan.py", "from hattriq_cirq.compilation.placement import Placement"),
        ("hattriq_cirq/circuits/program.py", "from hattriq_cirq.encoding.exact import encode"),
        ("hattriq_cirq/datasets/user.py", "from hattriq_cirq.models.model import Model"),
        ("hattriq_cirq/workflows/classical.py", "from experiments.runner.study import Study"),
        ("calibration/gates/folding.py", "from calibration.readout.per_qubit import Readout"),
        ("calibration/sequence.py", "from hattriq_cirq import faithfulness"),
        ("experiments/runner/study.py", "from experiments.studies.signs import STUDY"),
        ("experiments/studies/signs.py", "from experiments.runner.figures import _axes"),
    ],
)
def test_import_against_the_arrows_is_detected(path: str, code: str) -> None:
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
