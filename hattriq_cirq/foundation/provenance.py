"""Where a result comes from: versions and time, recorded with everything that is saved."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version

from hattriq_cirq._version import __version__

_PACKAGES = ("cirq-core", "numpy", "scipy", "qsimcirq")


@dataclass(frozen=True)
class Provenance:
    """Versions of what computed a result, and when.

    Args:
        versions: name -> version of Python, this package and those it computes with.
        created_utc: ISO 8601, to the second, in UTC.
    """

    versions: dict[str, str]
    created_utc: str

    @classmethod
    def now(cls) -> Provenance:
        """The provenance of a result made in this process at this moment."""
        return cls(dict(_versions()), datetime.now(UTC).isoformat(timespec="seconds"))


@cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "hattriq_cirq": __version__}
    return versions | {name: version(name) for name in _PACKAGES}
