"""Rows of tables that are kept as they are measured, so that benchmarks that were stopped go on where they were."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hattriq_cirq.foundation.files import replace


class Rows:
    """Measurements by their names, in a file of their own or, without one, only for this run.

    A measurement of other source code, of this library or of the benchmarks, is not used.

    Args:
        file: JSON file; None to keep nothing.

    Example:
        >>> rows = Rows(None)
        >>> rows.get("campaign", 600, measure=lambda: 1.5), rows.get("campaign", 600, measure=lambda: 2.5)
        (1.5, 1.5)
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._found: dict[str, Any] = {}
        if file is not None:
            self._code = _digest_of_code()
            kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
            self._found = kept.get("rows", {}) if kept.get("code") == self._code else {}

    @classmethod
    def of(cls, options: argparse.Namespace) -> Rows:
        """Return the rows of a benchmark whose arguments `add_argument` has extended."""
        return cls(options.rows)

    @staticmethod
    def add_argument(parser: argparse.ArgumentParser) -> None:
        """Add the argument for the file of kept rows."""
        parser.add_argument("--rows", type=Path, help="file in which rows are kept, and from which a stopped run goes on")

    def has(self, *name: object) -> bool:
        """Return True if a measurement is kept."""
        return repr(name) in self._found

    def get(self, *name: object, measure: Callable[[], Any]) -> Any:
        """Return the measurement of a name, which is made and kept if it is missing; JSON holds its value."""
        if not self.has(*name):
            self._found[repr(name)] = json.loads(json.dumps(measure()))
            if self._file is not None:
                replace(self._file, json.dumps({"code": self._code, "rows": self._found}, indent=1))
        return self._found[repr(name)]


def _digest_of_code() -> str:
    """Return a digest of all source files that measurements depend on."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for folder in ("hattriq_cirq", "calibration", "benchmarks"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()
