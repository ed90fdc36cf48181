"""The arrows between the packages, held by reading their imports; and the length of every file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hattriq_cirq", "calibration", "experiments")
MOST_LINES = 350


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


def wrong_imports(path: Path, code: str) -> list[str]:
    """What a file of the packages imports against the arrows experiments -> calibration -> hattriq_cirq."""
    package, name = path.parts[0], path.as_posix()
    is_cli = name == "hattriq_cirq/cli.py" or name.startswith("hattriq_cirq/cli/")
    in_engines = name.startswith("hattriq_cirq/engines/")
    forbidden = {
        "tests": True,
        "benchmarks": True,
        "experiments": package != "experiments",
        "calibration": package == "hattriq_cirq" and not is_cli,
        "hattriq_cirq.cli": not is_cli,
        "qsimcirq": not (in_engines or name == "hattriq_cirq/statevector.py"),
        "cirq_google": not in_engines,
    }
    imported = imports(code, ".".join(path.parts[:-1]))
    return sorted(
        f"{name} imports {module}"
        for module in imported
        for target, is_forbidden in forbidden.items()
        if is_forbidden and (module == target or module.startswith(f"{target}."))
    )


def test_imports_follow_the_arrows() -> None:
    files = list(sources(*PACKAGES))
    assert Path("hattriq_cirq/model.py") in files
    assert [wrong for path in files for wrong in wrong_imports(path, (ROOT / path).read_text())] == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("hattriq_cirq/model.py", "import calibration.readout"),
        ("hattriq_cirq/model.py", "def f():\n    from calibration import readout"),
        ("hattriq_cirq/model.py", "from . import cli"),
        ("hattriq_cirq/engines/local.py", "from ..cli import main"),
        ("calibration/measure.py", "from hattriq_cirq.cli import main"),
        ("calibration/measure.py", "import experiments.task"),
        ("hattriq_cirq/model.py", "import qsimcirq"),
        ("experiments/shots.py", "from qsimcirq import QSimSimulator"),
        ("calibration/measure.py", "import cirq_google as cg"),
        ("hattriq_cirq/statevector.py", "import cirq_google"),
        ("hattriq_cirq/model.py", "from tests import oracle"),
    ],
)
def test_an_import_against_the_arrows_is_seen(path: str, code: str) -> None:
    assert len(wrong_imports(Path(path), code)) >= 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("hattriq_cirq/cli.py", "from calibration import readout"),
        ("hattriq_cirq/statevector.py", "import qsimcirq"),
        ("hattriq_cirq/engines/google.py", "import cirq_google, qsimcirq"),
        ("calibration/measure.py", "from hattriq_cirq import Model"),
        ("experiments/shots.py", "import calibration, hattriq_cirq.model"),
        ("hattriq_cirq/plotting.py", "from hattriq_cirq import climate, calibrations"),
    ],
)
def test_imports_along_the_arrows_are_left_alone(path: str, code: str) -> None:
    assert wrong_imports(Path(path), code) == []


def test_no_file_is_long() -> None:
    files = sources(*PACKAGES, "benchmarks", "tests")
    lengths = {path.as_posix(): len((ROOT / path).read_text().splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
