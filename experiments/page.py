"""Writes docs/results.md from the full runs of all studies."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Writes the page."""
    raise NotImplementedError
