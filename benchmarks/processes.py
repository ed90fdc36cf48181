"""Measurements in processes of their own, and the memory that they take."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from benchmarks.rows import Rows

_EVERY = 1e-3  # seconds between two looks at the memory
_MIB = 2**10  # of the KiB in which Linux states memory


def options_of(
    description: str | None, measured: Callable[..., dict[str, float]], kind: type, arguments: list[str] | None
) -> Any:
    """Return the options of a benchmark, --quick and --rows; None in the process of one case, whose measurement is printed.

    Args:
        description: Description of the benchmark.
        measured: Measurement of a case.
        kind: Type of the cases, a dataclass of plain values.
        arguments: Words of the command; None for those of the process.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    Rows.add_argument(parser)
    options = parser.parse_args(arguments)
    if not options.case:
        return options
    print(json.dumps(measured(kind(**json.loads(options.case)))))
    return None


def in_a_process(module: str, case: Any) -> dict[str, float]:
    """Run `python -m MODULE --case CASE` for a case, a dataclass of plain values, and return the JSON that it prints."""
    command = [sys.executable, "-m", module, "--case", json.dumps(asdict(case))]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


class Peak:
    """Largest memory of this process while a block runs, above that at its begin, on Linux.

    Only anonymous memory is counted: pages of a mapped file are given back whenever another process needs them.

    Example:
        >>> import mmap
        >>> block = mmap.mmap(-1, 2**26, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        >>> with Peak() as peak:
        ...     _ = block.write(b"1" * 2**26)
        >>> 60 < peak.mib < 140
        True
    """

    def __enter__(self) -> Self:
        self._ends, self._start = threading.Event(), _anonymous()
        self._most = self._start
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._most = max(self._most, _anonymous())
        self._ends.set()
        self._thread.join()

    @property
    def mib(self) -> float:
        """Largest memory above that at the begin of the block, in MiB."""
        return (self._most - self._start) / _MIB

    def _watch(self) -> None:
        while not self._ends.wait(_EVERY):
            self._most = max(self._most, _anonymous())


def _anonymous() -> int:
    """Return the anonymous memory of this process in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
