"""The public names resolve, and asking for none of them loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import hattriq_cirq


@pytest.mark.parametrize("name", hattriq_cirq.__all__)
def test_a_public_name_resolves_to_itself(name: str) -> None:
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


def test_an_unknown_name_lists_the_known_ones() -> None:
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
