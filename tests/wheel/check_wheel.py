"""Build the sdist and the wheel, install the wheel outside the checkout, and run the README's examples with it.

`make wheel-check` runs this script, and so does CI. The wheel is built from the sdist, so both must be complete. It is
installed in a new virtual environment, with what it requires and nothing else.

The README's Python blocks run in order in one process, then its commands in order in one folder (`tests/helpers/page_script.py`
finds them). A command below which the README shows an error must end with it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

from page_script import check_printed, python_blocks, steps

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("calibration", "experiments", "hattriq_cirq")
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
for package in sys.argv[2:]:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not module.name.endswith("__main__"):
            path = importlib.import_module(module.name).__file__
            assert path.startswith(sys.argv[1]), f"{module.name} was imported from {path}"
"""


def main() -> None:
    """Run all steps; the first that fails ends the process with its output."""
    with tempfile.TemporaryDirectory(prefix="hattriq-wheel-") as name:
        folder = Path(name).resolve()
        run("build", [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(CHECKOUT)], folder)
        (wheel,) = (folder / "dist").glob("*.whl")
        check_files(wheel)
        environment = folder / "environment"
        install(wheel, environment, folder)
        work = folder / "work"
        work.mkdir()
        python = str(environment / "bin" / "python")
        run("import every module", [python, "-c", IMPORT_EVERYTHING, str(environment), *PACKAGES], work)
        readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
        (work / "readme.py").write_text("\n".join(python_blocks(readme)), encoding="utf-8")
        run("Python blocks of the README", [python, "readme.py"], work)
        for step in steps(readme):
            program, *words = shlex.split(step.command)
            printed = run(step.command, [str(environment / "bin" / program), *words], work, expected=2 if step.fails else 0)
            check_printed(step, printed)


def run(title: str, command: list[str], folder: Path, expected: int = 0) -> str:
    """Run one step in a folder and return its output; print its title and time, and its output if it ends with another code."""
    before = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "MAKEFLAGS")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"MPLBACKEND": "agg", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    print(f"{time.monotonic() - before:5.1f} s  {title}", flush=True)
    if done.returncode != expected:
        sys.exit(f"{done.stdout}\n{title}: ended with exit code {done.returncode} instead of {expected}")
    return done.stdout


def check_files(wheel: Path) -> None:
    """Compare the files of the packages in the checkout with those in the wheel."""
    in_checkout = {
        str(path.relative_to(CHECKOUT))
        for package in PACKAGES
        for path in (CHECKOUT / package).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".md") and "__pycache__" not in path.parts
    }
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name and not name.endswith(".md")}
    if in_checkout != in_wheel:
        sys.exit(f"missing in the wheel: {sorted(in_checkout - in_wheel)}; only there: {sorted(in_wheel - in_checkout)}")


def install(wheel: Path, environment: Path, folder: Path) -> None:
    """Install the wheel and its requirements in a new virtual environment, in the versions that CI uses."""
    venv.create(environment, with_pip=False)
    python, constraints = str(environment / "bin" / "python"), str(CHECKOUT / "constraints.txt")
    pip = ["uv", "pip", "install", "--python", python] if find_spec("uv") else ["pip", "--python", python, "install"]
    run("install", [sys.executable, "-m", *pip, "--quiet", "--constraint", constraints, str(wheel)], folder)


if __name__ == "__main__":
    main()
