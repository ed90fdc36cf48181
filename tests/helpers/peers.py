"""Other packages that compute the same numbers: needed by `make test-peers`, skipped elsewhere if they are missing."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from types import ModuleType

import pytest


def peer(name: str) -> ModuleType:
    """Return a module; if it is missing the test is skipped, or fails where HATTRIQ_PEERS is set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other packages warn of on import is theirs
        if os.environ.get("HATTRIQ_PEERS"):
            return import_module(name)
        module: ModuleType = pytest.importorskip(name)
        return module
