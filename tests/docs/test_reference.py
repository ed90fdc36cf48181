"""The reference of the documentation: an entry for every public name, and an example in its docstring."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

import calibration
import hattriq_cirq as hq

PAGES = Path(__file__).parents[2] / "docs" / "reference"
PACKAGES = (hq, calibration, hq.datasets, hq.encoding, hq.estimators, hq.faithfulness)


def entries() -> list[object]:
    """Return the object of every entry, once for each time it is on a page."""
    found = []
    for page in PAGES.glob("*.rst"):
        module = ""
        for directive, argument in re.findall(r"^\.\. (\w+):: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            if directive == "currentmodule":
                module = argument
            elif directive.startswith("auto"):
                found.append(getattr(_module(module), argument))
    return found


def _module(name: str) -> ModuleType:
    return __import__(name, fromlist=["_"])


def public() -> dict[str, object]:
    """Return all public classes and functions of the packages by their names."""
    named = {f"{package.__name__}.{name}": getattr(package, name) for package in PACKAGES for name in package.__all__}
    return {name: value for name, value in named.items() if inspect.isclass(value) or inspect.isfunction(value)}


def test_every_public_name_has_one_entry() -> None:
    listed = Counter(map(id, entries()))
    assert [name for name, value in public().items() if listed[id(value)] != 1] == []


@pytest.mark.parametrize("name", sorted(public()))
def test_public_name_has_an_example(name: str) -> None:
    value = public()[name]
    if not (inspect.isclass(value) and issubclass(value, Exception)):
        assert ">>> " in (inspect.getdoc(value) or ""), f"{name} needs an example under `Example:`"
