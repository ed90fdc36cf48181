"""All benchmarks: `python -m benchmarks [NAME ...] [--quick] [--page FILE]`.

Every benchmark runs in a process of its own, on one thread of linear algebra, and compares results before it times them.
Without names, the attribution, training, scaling and workers run, one after the other, and `--page` writes what they print to a
page of the documentation. `--quick` takes a few cases, in about four minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

#: Name -> its heading on the page, and True if it takes `--quick`.
BENCHMARKS = {
    "attribution": ("Attribution beside other software", True),
    "training": ("Training beside other software", True),
    "scaling": ("Growth of time and memory", True),
    "workers": ("Workers", False),
    "noisy": ("Noisy simulation", False),
    "compiling": ("Compilation", False),
    "readout": ("Readout mitigation", False),
    "faithfulness": ("Faithfulness", False),
}
_ALWAYS, _QUICK = ("attribution", "training", "scaling", "workers"), ("attribution", "training", "scaling")
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
        heading, has_quick = BENCHMARKS[name]
        print(f"## {heading}\n", flush=True)
        benchmark = [sys.executable, "-m", f"benchmarks.{name}", *["--quick"] * (options.quick and has_quick)]
        with subprocess.Popen(benchmark, stdout=subprocess.PIPE, text=True, env=os.environ | one_thread) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        failed |= process.returncode != 0
        page.append(f"## {heading}\n\n{''.join(lines).strip()}\n")
    if options.page and not failed:
        options.page.write_text("\n".join(page), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
