"""What the study of compiled circuits shows: tables of gates and depth, fitted exponents, pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from experiments.runner.bootstrap import bootstrap_interval, nested_interval, nested_text, with_interval
from experiments.runner.resampling import exponents
from experiments.runner.study import Done
from hattriq_cirq.compilation.gatesets import GATESETS
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png


@dataclass(frozen=True)
class Task:
    """One estimator on one random model and input; `graph` is `free` or a processor."""

    graph: str
    estimator: str
    n_qubits: int
    layers: int
    seed: int
    circuits: int  # the most that are compiled


FREE = "free"
_Results = Sequence[Mapping[str, Any]]
_By = Mapping[Any, _Results]
"""Results by setting, a seed each, in order."""


def _grouped(done: Sequence[Done[Task]], free: bool) -> dict[tuple[str, int, int], _Results]:
    """By estimator, qubits and layers."""
    found: dict[tuple[str, int, int], list[Mapping[str, Any]]] = {}
    for d in sorted(done, key=lambda d: (d.task.n_qubits, d.task.layers, d.task.seed)):
        if (d.task.graph == FREE) == free:
            found.setdefault((d.task.estimator, d.task.n_qubits, d.task.layers), []).append(d.result)
    return dict(found)


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Tables by gate set, growth, and what a processor makes of the circuits."""
    free, routed = _grouped(done, True), _grouped(done, False)
    layers = max(task.layers for task in (d.task for d in done if d.task.graph != FREE))
    by_qubits, by_layers = _curves(free, layers)
    deviations = [r[name]["off"] for results in free.values() for r in results for name in GATESETS]
    deviations += [r["off"] for results in routed.values() for r in results if "off" in r]
    growth = _growth(by_qubits, by_layers)
    names = [name for name in by_qubits if name != "Hadamard, literal"]
    processor = next(d.task.graph for d in done if d.task.graph != FREE)
    counted = f"{_seeds(free.values())} random models and inputs"
    return Findings(
        findings=(
            *_compared(by_qubits),
            f"Every compiled circuit gives its source's outcome probabilities: the largest deviation is {max(deviations):.0e} "
            f"({'within' if max(deviations) <= 1e-6 else 'MISSED:'} 1e-6) over {len(deviations)} sets of circuits.",
            "With the number of amplitudes N, two-qubit gates (CZ) grow like "
            + "; ".join(f"{name} N^{_cell(_exponents(by_qubits[name], 'gates', True), 2)}" for name in names)
            + "; the preparation of the resolved test like N^"
            + _cell(_exponents(by_qubits["resolved"], "preparation", True), 2)
            + ".",
            _routing(by_qubits, routed, layers, processor),
        ),
        not_claimed=(
            "That exponents of so few qubits hold for larger ones: preparation grows like N, the model's gates like n, and "
            "what is fitted lies between.",
            "Anything about images with blank pixels, whose preparation is cheaper: inputs are dense.",
            "Seconds of another machine.",
        ),
        tables=(
            Table(
                f"Free graph, {layers} layers: two-qubit gates a circuit in three gate sets, of the preparation alone, "
                f"two-qubit depth, seconds to compile a circuit ({counted}, of the literal test one circuit each, of others "
                "two; means, 95% intervals over models and circuits).",
                ("n", "estimator", "CZ", "sqrt-iSWAP", "Sycamore", "preparation, CZ", "depth, CZ", "seconds, CZ"),
                tuple(_free_rows(free, lambda key: key[2] == layers)),
            ),
            Table(
                "Free graph, other layers.",
                ("n", "layers", "estimator", "CZ", "sqrt-iSWAP", "Sycamore", "preparation, CZ", "depth, CZ", "seconds, CZ"),
                tuple((r[0], str(k[2]), *r[1:]) for k, r in _free_keyed(free) if k[2] != layers),
            ),
            Table(
                "Exponents a of gates ~ N^a (N = 2^n) and gates ~ layers^a by least squares of logarithms for each seed, CZ, "
                "free graph; means, 95% intervals, bootstrap over seeds.",
                ("estimator", "gates in N", "preparation in N", "depth in N", "gates in layers"),
                tuple(growth),
            ),
            Table(
                f"Placed and routed on {processor} (virtual), {layers} layers, CZ: two-qubit gates a circuit, preparation "
                "apart, the fidelity predicted from the calibration, duration, and seconds on one core of this machine to "
                "place an attribution and to compile a circuit (means, 95% intervals over models and circuits; one model of "
                "the literal test, three of others where all were run).",
                (
                    "n",
                    "estimator",
                    "models",
                    "circuits",
                    "gates",
                    "preparation",
                    "depth",
                    "fidelity",
                    "us",
                    "place, s",
                    "compile, s a circuit",
                ),
                tuple(_routed_rows(routed)),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(by_qubits, by_layers, free, routed, layers)),
                "Two-qubit gates of a circuit compiled to CZ: against qubits (solid free graph, dotted its preparation, "
                f"crosses routed on {processor}), layers and ancillas of the parallel test. Bands are 95% intervals over "
                "models and circuits.",
                "Rising lines of two-qubit gates against qubits, layers and ancillas; the literal test far above the others",
                "compiled_cost",
            ),
        ),
        settings={
            "baseline": "zero",
            "model": "ring, random parameters",
            "inputs": "dense, real, random",
            "gate sets": ", ".join(GATESETS),
            "processor": processor,
        },
        assumptions={"depth": "the longest chain of two-qubit gates", "free graph": "all pairs coupled"},
    )


def _seeds(groups: Iterable[_Results]) -> int:
    return max(len(results) for results in groups)


def _curves(
    free: Mapping[tuple[str, int, int], _Results], layers: int
) -> tuple[dict[str, dict[int, _Results]], dict[str, dict[int, _Results]]]:
    """Results by estimator against qubits, and against layers where those were varied."""
    varied = {n for _, n, deep in free if deep != layers}
    by_qubits: dict[str, dict[int, _Results]] = {}
    by_layers: dict[str, dict[int, _Results]] = {}
    for (name, n, deep), results in free.items():
        if deep == layers:
            by_qubits.setdefault(name, {})[n] = results
        if n in varied:
            by_layers.setdefault(name, {})[deep] = results
    fitted = {name: curve for name, curve in by_qubits.items() if len(curve) > 1}
    return fitted, {name: curve for name, curve in by_layers.items() if len(curve) > 1}


def _cz(results: _Results, what: str) -> list[FloatArray]:
    """Gates, depth or preparation in CZ, (circuits,) of each seed."""
    return [np.asarray(r["cz"][what], dtype=float) for r in results]


def _exponents(curve: Mapping[int, _Results], what: str, qubits: bool) -> FloatArray:
    """Of the mean over circuits against N or layers, (seeds,)."""
    means = np.array([[group.mean() for group in _cz(results, what)] for results in curve.values()])
    return exponents([2.0**at if qubits else at for at in curve], means)


def _cell(values: FloatArray, digits: int = 3) -> str:
    return with_interval(float(values.mean()), bootstrap_interval(values), digits)


def _growth(by_qubits: Mapping[str, Mapping[int, _Results]], by_layers: Mapping[str, Mapping[int, _Results]]) -> list[Any]:
    return [
        (
            name,
            *(_cell(_exponents(curve, what, True)) for what in ("gates", "preparation", "depth")),
            _cell(_exponents(by_layers[name], "gates", False)) if name in by_layers else "",
        )
        for name, curve in by_qubits.items()
    ]


def _compared(by_qubits: Mapping[str, Mapping[int, _Results]]) -> list[str]:
    """How many times the resolved test's gates each other estimator takes, at the most qubits that both have."""
    said = []
    for name, curve in by_qubits.items():
        if name != "resolved":
            n = max(curve)
            pairs = zip(_cz(curve[n], "gates"), _cz(by_qubits["resolved"][n], "gates"), strict=True)
            said.append(f"{name} {nested_text([mine / its.mean() for mine, its in pairs], digits=2)} (n = {n})")
    return [f"Two-qubit gates a circuit over those of the resolved test, CZ on a free graph: {'; '.join(said)}."]


def _routing(by_qubits: Mapping[str, Mapping[int, _Results]], routed: _By, layers: int, processor: str) -> str:
    """Gates on the processor over those on a free graph."""
    said = []
    for name in by_qubits:
        reached = [n for n in by_qubits[name] if any("gates" in r for r in routed.get((name, n, layers), ()))]
        if reached:
            n = max(reached)
            pairs = zip((r for r in routed[name, n, layers] if "gates" in r), by_qubits[name][n], strict=False)
            ratios = [np.asarray(there["gates"]) / np.mean(here["cz"]["gates"]) for there, here in pairs]
            said.append(f"{name} {nested_text(ratios, digits=2)} (n = {n})")
    return f"Routing on {processor} multiplies two-qubit gates by: {'; '.join(said)}."


def _free_keyed(free: Mapping[tuple[str, int, int], _Results]) -> list[tuple[tuple[str, int, int], tuple[str, ...]]]:
    rows = []
    for key, results in free.items():
        gates = (nested_text([r[name]["gates"] for r in results], digits=1) for name in GATESETS)
        apart = (nested_text(_cz(results, what), digits=1) for what in ("preparation", "depth"))
        seconds = nested_text([[r["cz"]["seconds"]] for r in results], digits=2)
        rows.append((key, (str(key[1]), key[0], *gates, *apart, seconds)))
    return rows


def _free_rows(free: Mapping[tuple[str, int, int], _Results], wanted: Any) -> list[tuple[str, ...]]:
    return [row for key, row in _free_keyed(free) if wanted(key)]


def _routed_rows(routed: Mapping[tuple[str, int, int], _Results]) -> list[tuple[str, ...]]:
    rows = []
    for (name, n, _), results in routed.items():
        ran = [r for r in results if "gates" in r]
        if not ran:
            rows.append((str(n), name, str(len(results)), *["-"] * 7, "refused"))
            continue
        gates = (nested_text([r[what] for r in ran], digits=1) for what in ("gates", "preparation", "depth"))
        rest = (nested_text([r[what] for r in ran], digits=2) for what in ("fidelity", "us"))
        seconds = (nested_text([[r[what]] for r in ran], digits=2) for what in ("place seconds", "compile seconds"))
        rows.append((str(n), name, str(len(ran)), str(ran[0]["circuits"]), *gates, *rest, *seconds))
    return rows


def _figure(
    by_qubits: Mapping[str, Mapping[int, _Results]],
    by_layers: Mapping[str, Mapping[int, _Results]],
    free: Mapping[tuple[str, int, int], _Results],
    routed: _By,
    layers: int,
) -> Figure:
    with sns.axes_style("ticks"):
        figure = Figure(figsize=(11.0, 3.8), layout="constrained")
        qubits, deep, wide = figure.subplots(1, 3)
        for colour, (name, curve) in zip(sns.color_palette("colorblind"), by_qubits.items(), strict=False):
            _band(qubits, curve, "gates", colour, "-", name)
            _band(qubits, curve, "preparation", colour, ":", None)
            there = {n: routed[name, n, layers] for n in curve if (name, n, layers) in routed}
            points = {n: [r["gates"] for r in results if "gates" in r] for n, results in there.items()}
            for n, groups in points.items():
                if groups:
                    mean = np.mean(np.concatenate(groups))
                    away = np.abs(np.array(nested_interval(groups)) - mean)[:, np.newaxis]
                    qubits.errorbar(n, mean, away, fmt="x", color=colour)
            if name in by_layers:
                _band(deep, by_layers[name], "gates", colour, "-", name)
        fixed, ancillas = _ancillas(free, layers)
        _band(wide, ancillas, "gates", "C7", "-", "parallel")
        _band(wide, ancillas, "preparation", "C7", ":", "preparation")
        qubits.set(yscale="log", xlabel="qubits n", ylabel="two-qubit gates a circuit", title=f"{layers} layers")
        deep.set(yscale="log", xlabel="layers", title=f"n = {max((n for _, n, d in free if d != layers), default=0)}")
        wide.set(xlabel="ancillas m", title=f"parallel test, n = {fixed}", ylim=(0, None))
        for ax, values in ((qubits, {n for curve in by_qubits.values() for n in curve}), (wide, set(ancillas))):
            ax.set_xticks(sorted(values))
        deep.set_xticks(sorted({at for curve in by_layers.values() for at in curve}))
        wide.legend(frameon=False, fontsize="x-small")
        figure.legend(*qubits.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize="small")
        sns.despine(fig=figure)
    return figure


def _ancillas(free: Mapping[tuple[str, int, int], _Results], layers: int) -> tuple[int, dict[int, _Results]]:
    """The qubits at which m of the parallel test varies, or the most there are, and its results by m."""
    found = {(int(name.split("=")[1]), n): r for (name, n, d), r in free.items() if "m=" in name and d == layers}
    most = max((n for m, n in found if m != 2), default=max(n for _, n in found))
    return most, {m: found[m, n] for m, n in sorted(found) if n == most}


def _band(ax: Any, curve: Mapping[int, _Results], what: str, colour: Any, style: str, label: str | None) -> None:
    """A line of means with the band of their intervals."""
    groups = [_cz(results, what) for results in curve.values()]
    ax.plot(list(curve), [np.mean(np.concatenate(g)) for g in groups], "o" + style, ms=3, color=colour, label=label)
    ends = np.array([nested_interval(g) for g in groups]).T
    ax.fill_between(list(curve), *ends, color=colour, alpha=0.25, linewidth=0)
