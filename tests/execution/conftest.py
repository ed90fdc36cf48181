"""The stand-in for Google's quantum engine service, started for one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stand_in import StandIn


@pytest.fixture
def service() -> Iterator[StandIn]:
    """Return a running stand-in service."""
    with StandIn() as running:
        yield running
