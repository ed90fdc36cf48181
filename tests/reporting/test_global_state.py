"""The caller's global settings neither change results and pictures nor are changed."""

from __future__ import annotations

import locale
import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cirq
import matplotlib
import numpy as np
import pytest
from cycler import cycler

import hattriq_cirq as hq
from calibration import Readout, measure_readout
from calibration.testing import FaultyReadout
from hattriq_cirq.cli.commands.cost import plot_costs
from hattriq_cirq.reporting.plotting import png

X = np.array([[0.5, 0.5, 0.3, -0.4], [1.0, 1e-200, 0.2, 0.1], [1e-170, 0.3, 0.0, 0.1]])
Y = [1, -1, 1]
Q = cirq.LineQubit.range(2)
MODEL = hq.Model(cirq.Circuit(cirq.ry(0.3)(Q[0]), cirq.CNOT(*Q)), Q, 1.0 * cirq.Z(Q[0]))
MAP = hq.integrated_gradients(MODEL, X, baseline=0)
NOISY = hq.integrated_gradients(MODEL, X, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=hq.qsim(seed=1), shots=200)
COSTS = [(n, hq.resources(hq.ring_ansatz(n, 1), np.arange(1, 2**n + 1), 0, hq.HadamardTest())) for n in (1, 2)]
TRAINING = hq.train(hq.ring_ansatz(2, 1), X, Y, seed=0, epochs=3)


def far_classes() -> Any:
    observables = [1e3 * cirq.Z(Q[0]), -1e3 * cirq.Z(Q[1]), 1.0 * cirq.X(Q[0])]
    head = hq.Head("softmax", scale=50, target=1)
    return hq.integrated_gradients(MODEL, X, baseline=0, observables=observables, head=head).values


def mitigated() -> Any:
    options: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "shots": 300}
    engine = hq.sampler(FaultyReadout(e0=0.02, e1=0.1, seed=1))
    return hq.integrated_gradients(MODEL, X, engine=engine, mitigation=Readout(shots=200), **options).values


NUMBERS: dict[str, Callable[[], Any]] = {
    "expectations": lambda: MODEL.expectation(X),
    "map": lambda: hq.integrated_gradients(MODEL, X, baseline=0).values,
    "normalized": lambda: hq.integrated_gradients(MODEL, X, baseline=1.0, form="normalized").values,
    "softmax of far classes": far_classes,
    "steep head": lambda: hq.integrated_gradients(MODEL, X, baseline=-0.3, head=hq.Head("sigmoid", scale=1e4)).values,
    "training": lambda: list(hq.train(hq.ring_ansatz(2, 1), X, Y, seed=0, epochs=30, scale=1e3).model.params.values()),
    "training by L-BFGS": lambda: hq.train(hq.ring_ansatz(2, 1), X, Y, seed=0, optimizer="lbfgs", epochs=9).history.loss,
    "accuracy": lambda: hq.accuracy(MODEL, X, Y),
    "shots": lambda: hq.prepare(
        MODEL, X, baseline=0, estimator=hq.HadamardTest(), engine=hq.qsim(seed=1), shots=99
    ).execute().values,
    "mitigation": mitigated,
    "calibration": lambda: measure_readout(
        hq.virtual("willow_pink", seed=1, noise="readout"), [cirq.GridQubit(4, 10)], 50
    ).errors,
    "baselines": lambda: hq.baselines.mean(X, X),
    "occlusion": lambda: hq.other_methods.occlusion(MODEL, X, baseline=0),
    "srg": lambda: hq.faithfulness.srg(hq.faithfulness.score_of(MODEL), X, MAP.values, reference=0),
    "infidelity": lambda: hq.faithfulness.infidelity(hq.faithfulness.score_of(MODEL), X, MAP.values, reference=0),
    "data": lambda: hq.datasets.from_features(np.tile(X, (2, 1)), Y * 2, name="own").amplitudes,
    "tfim": lambda: hq.datasets.tfim(n_qubits=3, samples=10).amplitudes,
    "resources": lambda: COSTS[0][1].shots_for_cosine,
}  # fmt: skip
PICTURES: dict[str, Callable[[], Any]] = {
    "map": lambda: hq.plot_attribution(MAP[0], shape=(2, 2), classes=("a_b", "$c")),
    "bars": lambda: hq.plot_attribution(NOISY[0]),
    "gallery": lambda: hq.plot_gallery(NOISY, shape=(2, 2), labels=Y),
    "training": lambda: hq.plot_training(TRAINING),
    "cost": lambda: plot_costs(COSTS),
}
SETTINGS: Any = {
    "image.origin": "lower",
    "image.interpolation": "bicubic",
    "image.cmap": "jet",
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=["red"]),
    "axes.formatter.use_locale": True,
    "axes.unicode_minus": False,
    "axes.titlesize": 30,
    "axes.xmargin": 0.4,
    "savefig.dpi": 30,
    "savefig.facecolor": "black",
    "savefig.transparent": True,
    "figure.dpi": 37,
    "figure.facecolor": "yellow",
    "figure.constrained_layout.h_pad": 0.5,
    "font.size": 30,
    "font.family": "monospace",
    "lines.linewidth": 9,
    "text.usetex": True,
    "text.parse_math": False,
    "text.color": "green",
    "errorbar.capsize": 9,
    "scatter.marker": "x",
    "path.sketch": (5, 5, 5),
}


@contextmanager
def strict() -> Iterator[None]:
    """Make every floating-point error and every warning an error."""
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", NUMBERS)
def test_floating_point_errors_of_the_caller_change_no_number(name: str) -> None:
    usual = NUMBERS[name]()
    with strict():
        before = np.geterr()
        np.testing.assert_array_equal(NUMBERS[name](), usual)
        assert np.geterr() == before


@pytest.mark.parametrize("name", PICTURES)
def test_settings_of_the_caller_change_no_picture(name: str) -> None:
    usual = png(PICTURES[name]())
    with matplotlib.rc_context(SETTINGS), strict():
        before = dict(matplotlib.rcParams)
        assert png(PICTURES[name]()) == usual
        assert dict(matplotlib.rcParams) == before


def test_global_generators_are_neither_read_nor_moved() -> None:
    results = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002  the global generator is the subject
        random.seed(seed)
        before = np.random.get_state()[1].tobytes(), random.getstate()  # type: ignore[index]  # noqa: NPY002
        results.append([np.asarray(call()).tobytes() for call in NUMBERS.values()])
        assert (np.random.get_state()[1].tobytes(), random.getstate()) == before  # type: ignore[index]  # noqa: NPY002
    assert results[0] == results[1]


def test_working_directory_and_locale_stay() -> None:
    before = os.getcwd(), locale.setlocale(locale.LC_ALL)
    for call in (*NUMBERS.values(), *PICTURES.values()):
        call()
    assert (os.getcwd(), locale.setlocale(locale.LC_ALL)) == before


LABELS: list[Any] = [[1, -1, 1], np.array([1.0, -1.0, 1.0]), [1, 0, 1], [1.0, 0.0, 1.0], np.array([True, False, True])]
NO_LABELS: list[Any] = [[1], [[1], [-1], [1]], ["1", "-1", "1"], [1, 2, 1], [1, -1, 0], [1, np.nan, 1], 1]


@pytest.mark.parametrize("labels", LABELS, ids=repr)
def test_gallery_takes_labels_of_every_kind(labels: Any) -> None:
    titles = [ax.get_title() for ax in hq.plot_gallery(MAP, shape=(2, 2), labels=labels).axes[:6:2]]
    assert titles == [ax.get_title() for ax in hq.plot_gallery(MAP, shape=(2, 2), labels=Y).axes[:6:2]]
    assert [title.split("\n")[0] for title in titles] == ["label +1", "label -1", "label +1"]
    assert ["wrong" in title for title in titles] == (MAP.f_input * Y <= 0).tolist()


@pytest.mark.parametrize("labels", NO_LABELS, ids=repr)
def test_gallery_refuses_labels_that_are_no_labels(labels: Any) -> None:
    with pytest.raises(ValueError, match="labels"):
        hq.plot_gallery(MAP, shape=(2, 2), labels=labels)
