"""Public names, their lazy import, and the deprecated names of version 0.1."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import hattriq_cirq
from hattriq_cirq._moved import MODULES, NAMES


@pytest.fixture(autouse=True)
def _public_names_are_not_hidden() -> Iterator[None]:
    """Remove old modules that hide public functions of the same name after each test."""
    yield
    for name in hattriq_cirq._HOME:
        if isinstance(vars(hattriq_cirq).get(name), ModuleType):
            delattr(hattriq_cirq, name)


@pytest.mark.parametrize("name", hattriq_cirq.__all__)
def test_public_name_resolves_to_the_object_of_that_name(name: str) -> None:
    value = getattr(hattriq_cirq, name)
    if isinstance(value, ModuleType):
        assert value is import_module(hattriq_cirq._MODULES[name])
    else:
        assert name == "__version__" or value.__name__ == name
    assert name in dir(hattriq_cirq)


def test_public_names_are_listed_once() -> None:
    assert len(set(hattriq_cirq.__all__)) == len(hattriq_cirq.__all__)


def test_names_that_scripts_rely_on_are_kept() -> None:
    values = {"Attribution", "BaselineSet", "Head", "IdentityPartWarning", "Model"}
    functions = {"grid_ansatz", "integrated_gradients", "plot_attribution", "ring_ansatz", "train"}
    modules = {"baselines", "datasets", "decomposition"}
    assert (values | functions | modules) - set(hattriq_cirq.__all__) == set()


def test_unknown_public_name_raises_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'modle'; public names: .*Model"):
        hattriq_cirq.modle  # noqa: B018


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"cirq", "numpy", "scipy", "sympy", "pandas", "matplotlib", "seaborn", "qsimcirq", "cirq_google"}
    assert loaded_by("import hattriq_cirq") & heavy == set()
    assert "cirq" in loaded_by("import hattriq_cirq; hattriq_cirq.Model")


def test_exact_attribution_loads_no_plotting_and_no_hardware() -> None:
    loaded = loaded_by("from hattriq_cirq import integrated_gradients, ring_ansatz, train")
    assert loaded & {"seaborn", "qsimcirq", "cirq_google", "sklearn", "mlxtend"} == set()


IMPORT_EVERYTHING = r"""
import pkgutil, warnings
from importlib import import_module
warnings.filterwarnings("error", r"\S+ is deprecated; use (hattriq_cirq|calibration)")
for package in ("hattriq_cirq", "calibration", "experiments"):
    for module in pkgutil.walk_packages(import_module(package).__path__, package + "."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
"""


def test_importing_new_module_paths_raises_no_deprecation_warning() -> None:
    subprocess.run([sys.executable, "-c", IMPORT_EVERYTHING], check=True)


@pytest.mark.parametrize(("old", "new"), MODULES.items())
def test_deprecated_module_path_warns_and_gives_the_objects_of_the_new_module(old: str, new: str) -> None:
    if getattr(sys.modules.get(old), "__file__", None) is None or sys.modules[old].__name__ != old:
        sys.modules.pop(old, None)  # so that it is imported anew; a path that is a package today stays
    target = import_module(new)
    present = vars(sys.modules[old]) if old in sys.modules else {}
    own = {name for name, value in vars(target).items() if getattr(value, "__module__", "") == new}
    public = {name for name in getattr(target, "__all__", own) if name[0] != "_"}
    name = min(name for name in public - set(present) if f"{old}.{name}" not in NAMES)
    with pytest.warns(DeprecationWarning, match=f"{re.escape(old)}\\S* is deprecated; use {re.escape(new)}"):
        assert getattr(import_module(old), name) is getattr(target, name)


@pytest.mark.parametrize(("old", "new"), NAMES.items())
def test_deprecated_name_warns_and_gives_the_renamed_object(old: str, new: str) -> None:
    (old_module, _, old_name), (module, _, name) = old.rpartition("."), new.rpartition(".")
    with pytest.warns(DeprecationWarning, match=re.escape(f"{old} is deprecated; use {new}")) as caught:
        assert getattr(import_module(old_module), old_name) is getattr(import_module(module), name)
    assert {warning.filename for warning in caught} == {__file__}


def test_public_function_works_after_the_old_module_of_its_name_was_imported() -> None:
    sys.modules.pop("hattriq_cirq.report", None)
    report: Any = import_module("hattriq_cirq.report")
    with pytest.raises(TypeError, match="explained=3 must be an Attribution"):
        report(3, "page.html")


@pytest.mark.parametrize("module", sorted({old.rpartition(".")[0] for old in NAMES}))
def test_unknown_name_of_a_deprecated_module_raises_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'unknown_name'"):
        import_module(module).unknown_name  # noqa: B018


@pytest.mark.parametrize("module", ["hattriq_cirq.unknown", "hattriq_cirq.engines.unknown", "calibration.unknown"])
def test_unknown_module_path_raises_module_not_found_error(module: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=re.escape(f"No module named '{module}'")):
        import_module(module)
