"""Values and pictures in notebooks: by IPython's own formatter, and in a notebook that runs in a kernel."""

# IPython and nbformat have functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import cirq
import nbformat
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from nbclient import NotebookClient

import hattriq_cirq as hq
from calibration import CorrelatedCalibration, ReadoutCalibration
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.reporting.plotting import show_in_notebook

CONTRACT = DataContract(
    columns=("length", "<b>width</b>", "mass, kg"), classes=("no", "yes"), units=("mm", "", ""), constant=True
)
MODEL = hq.ring_ansatz(2, layers=1).with_contract(CONTRACT)
X = np.array([[0.8, 0.3, 0.6, 0.1], [0.5, 0.5, 0.5, 0.5]])
MEASURED: Any = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "shots": 100}
QUBIT = cirq.GridQubit(4, 10)


@cache
def learned() -> hq.LearnedModel:
    return hq.learn_observable(MODEL, engine=hq.qsim(seed=1), shots=1000, inputs=X)


def measured(x: Any) -> hq.Attribution:
    return hq.integrated_gradients(MODEL, x, engine=hq.qsim(seed=1), **MEASURED)


VALUES: dict[str, tuple[Callable[[], Any], str]] = {
    "attribution": (lambda: hq.integrated_gradients(MODEL, X[0], baseline=0), "class &#x27;yes&#x27;: length +0.64"),
    "batch": (lambda: hq.integrated_gradients(MODEL, X, baseline=0), "Attribution of 2 inputs, 4 features"),
    "measured attribution": (lambda: measured(X[0]), "95% interval"),
    "estimate": (lambda: hq.estimate(MODEL, X[0], engine=hq.qsim(seed=1), **MEASURED), "Estimate of 4 values"),
    "model": (lambda: MODEL, "&lt;b&gt;width&lt;/b&gt;"),
    "learned model": (learned, "LearnedModel of observable"),
    "resources": (lambda: hq.resources(MODEL, X[0], 0, hq.ResolvedHadamardTest()), "shots to cosine 0.95"),
    "training": (lambda: hq.train(MODEL, X, [1, -1], seed=0, epochs=2), "best epoch"),
    "engine": (lambda: hq.qsim(seed=7), "Engine qsim"),
    "virtual processor": (lambda: hq.virtual("willow_pink", seed=1), "willow_pink, calibration"),
    "prepared": (lambda: hq.prepare(MODEL, X, engine=hq.qsim(seed=1), **MEASURED), "PreparedAttribution of 2 inputs"),
    "interactions": (lambda: hq.interactions(MODEL.with_observable(cirq.X(MODEL.qubits[0])), X[0]), "mass, kg"),
    "counterfactual": (lambda: hq.counterfactual(MODEL, X[0]), "changed input"),
    "layers": (lambda: hq.layer_attribution(MODEL, X[0]), "population share"),
    "readout": (
        lambda: ReadoutCalibration((QUBIT,), counts=np.array([[[980, 20], [100, 900]]])), "ReadoutCalibration of 1 qubit"
    ),
    "correlated readout": (
        lambda: CorrelatedCalibration((QUBIT,), tuple(Distribution(np.array(p), None) for p in ([0.98, 0.02], [0.1, 0.9]))),
        "read as prepared",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_value_has_a_card_and_a_short_text(name: str) -> None:
    create, words = VALUES[name]
    value = create()
    shown, _ = DisplayFormatter().format(value)
    assert words in shown["text/html"]
    assert "<script" not in shown["text/html"]
    assert "<b>width" not in shown["text/html"]
    assert len(shown["text/plain"].splitlines()) <= 9
    assert max(map(len, shown["text/plain"].splitlines())) < 250
    assert "array(" not in shown["text/plain"]


def test_card_of_several_learned_models_lists_them() -> None:
    html = hq.LearnedModels((learned(),))._repr_html_()
    assert "1 observable from 1 campaign" in html


def test_axes_and_figures_of_plots_are_pictures() -> None:
    formatter = DisplayFormatter()
    show_in_notebook(formatter)
    ax = hq.plot_attribution(hq.integrated_gradients(MODEL, X[0], baseline=0))
    for plot in (ax, ax.figure):
        shown, _ = formatter.format(plot)
        assert shown["image/png"].startswith(b"\x89PNG")


def test_figures_of_pyplot_are_shown_by_pyplot() -> None:
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    formatter = DisplayFormatter()
    formatter.formatters["image/png"].for_type(Figure, lambda _: b"by pyplot")
    show_in_notebook(formatter)
    figure, ax = plt.subplots()
    try:
        assert formatter.format(figure)[0]["image/png"] == b"by pyplot"
        assert "image/png" not in formatter.format(ax)[0]
    finally:
        plt.close(figure)


@pytest.mark.slow
def test_notebook_shows_cards_pictures_and_progress() -> None:
    cells = [
        "import hattriq_cirq as hq\nm = hq.ring_ansatz(2, layers=1)\n"
        "a = hq.integrated_gradients(m, [.6, 0, .8, 0], baseline=0)\na",
        "hq.plot_attribution(a)",
        "hq.plot_gallery(a)",
        "import matplotlib.pyplot as plt\nfigure, ax = plt.subplots()\nhq.plot_attribution(a, ax=ax);",
        "e = hq.cirq_simulator(seed=1)\nR = hq.ResolvedHadamardTest()\n"
        "b = hq.integrated_gradients(m, [[.6, 0, .8, 0]] * 3, baseline=0, estimator=R, engine=e, shots=9, progress=True)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    card, picture, gallery, pyplot, progress = (cell.outputs for cell in notebook.cells)
    assert "score -0.28" in card[0].data["text/html"]
    for outputs in (picture, gallery, pyplot):
        assert [output.data["image/png"][:8] for output in outputs] == ["iVBORw0K"]
    assert "3/3" in "".join(output.get("text", "") or str(output.get("data")) for output in progress)
