"""Provenance of a result: versions and time, which are saved with every result."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import version

from hattriq_cirq._version import __version__
from hattriq_cirq.foundation.frozen import Frozen

_PACKAGES = ("cirq-core", "numpy", "scipy", "qsimcirq")


@dataclass(frozen=True)
class Provenance(Frozen):
    """Versions of the software that computed a result, and the time.

    Args:
        versions: Name -> version of Python, of this package and of the packages that it computes with.
        created_utc: Time in UTC, to the second, in ISO 8601.
    """

    versions: dict[str, str]
    created_utc: str

    @classmethod
    def now(cls) -> Provenance:
        """Return the provenance of a result that is created in this process at this moment."""
        return _provenance(int(time.time()), _versions)


@lru_cache(maxsize=1)
def _provenance(second: int, versions: Callable[[], dict[str, str]]) -> Provenance:
    """Return the provenance of a second; another source of versions within that second is another provenance."""
    return Provenance(versions(), datetime.fromtimestamp(second, UTC).isoformat())


@cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "hattriq_cirq": __version__}
    return versions | {name: version(name) for name in _PACKAGES}
