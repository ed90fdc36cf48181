"""All benchmarks: `python -m benchmarks [NAME ...] [--quick] [--page FILE]`.

Every benchmark runs in a process of its own, on one thread of linear algebra, and compares results before it times them.
Without names, those of attribution, training, scaling, memory, workers and noisy simulation run, one after the other.
`--page` writes what they print to a page of the documentation, and from a full run of these the README's figures. `--quick`
takes a few cases, in about two minutes on two idle cores. A run for the page keeps every row as it is measured: if it is
stopped, the same command goes on where it was, unless source code has changed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import readme

#: Name -> its heading on the page.
BENCHMARKS = {
    "attribution": "Attribution beside other software",
    "training": "Training beside other software",
    "scaling": "Growth of time and memory",
    "memory": "Memory of large inputs and models",
    "workers": "Workers",
    "noisy": "Noisy simulation",
    "compiling": "Compilation",
    "gpu": "A GPU",
    "readout": "Readout mitigation",
    "faithfulness": "Faithfulness",
}
_ALWAYS = ("attribution", "training", "scaling", "memory", "workers", "noisy")  # they keep their rows in a file
_QUICK = ("attribution", "training", "scaling", "memory")
_KEPT = Path(__file__).parents[1] / "build" / "benchmarks.json"
_INTRODUCTION = """# Speed

Written by `{command}`; `make benchmarks` takes all cases. Results of all candidates are compared before they are
timed, on one thread of linear algebra. Ratios are medians over pairs of runs that follow each other, with the least and the
largest in brackets.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run benchmarks and return 0 if all of them succeeded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="few cases")
    parser.add_argument("--page", type=Path, help="file that the tables are written to as well")
    options = parser.parse_args(arguments)
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = " ".join(["python -m benchmarks", *options.names, *["--quick"] * options.quick, "--page docs/speed.md"])
    page, failed = [_INTRODUCTION.format(command=command)], False
    for name in options.names or (_QUICK if options.quick else _ALWAYS):
        heading = BENCHMARKS[name]
        print(f"## {heading}\n", flush=True)
        settings = ["--quick"] * (options.quick and name in _QUICK)
        if options.page and name in _ALWAYS:
            settings += ["--rows", str(_KEPT)]
        benchmark = [sys.executable, "-m", f"benchmarks.{name}", *settings]
        with subprocess.Popen(benchmark, stdout=subprocess.PIPE, text=True, env=os.environ | one_thread) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        failed |= process.returncode != 0
        page.append(f"## {heading}\n\n{''.join(lines).strip()}\n")
    if options.page and not failed:
        text = "\n".join(page)
        options.page.write_text(text, encoding="utf-8")
        if not (options.names or options.quick):
            readme.README.write_text(readme.updated(readme.README.read_text(encoding="utf-8"), text), encoding="utf-8")
        _KEPT.unlink(missing_ok=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
