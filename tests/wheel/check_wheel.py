"""Build the sdist and the wheel, install the wheel outside the checkout, and run the README's examples with it.

`make wheel-check` runs this script, and so does CI. The wheel is built from the sdist, so both must be complete. It is
installed in a new virtual environment that sees the dependencies of the environment that runs the script, but not the checkout.

The README's Python blocks run in order in one process, then its commands in order in one folder (`tests/helpers/page_script.py`
finds them).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
import zipfile
from pathlib import Path

from page_script import python_blocks, steps

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
            run(step.command, [str(environment / "bin" / program), *words], work)


def run(title: str, command: list[str], folder: Path) -> None:
    """Run one step in a folder; print its title and time, and its output only if it fails."""
    before = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "MAKEFLAGS")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"MPLBACKEND": "agg", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(f"{time.monotonic() - before:5.1f} s  {title}", flush=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{title}: failed with exit code {done.returncode}")


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
    """Install the wheel in a new virtual environment, then let it see the packages that are installed beside this Python.

    A line in a `.pth` file adds a folder to the path without reading the `.pth` files in it, so an editable installation of
    the checkout stays invisible.
    """
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    run("install", [*pip, str(wheel)], folder)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
