"""Findings, tables and figures of the studies of noise and mitigation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cirq
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from calibration import CorrelatedCalibration, ReadoutCalibration, compare, correlation_test
from experiments.runner import figures
from experiments.runner.bias_and_coverage import MapErrorSummary, summarize_map_errors
from experiments.runner.bootstrap import Interval, nested_bootstrap, nested_estimate, nested_text, with_interval
from experiments.runner.map_metrics import metric_of_maps
from experiments.runner.study import Done, Findings, done_by
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

DEPOLARISING = "depolarising"
READOUT_OF = "readout of "
#: Kinds of injected readout errors.
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "asymmetric": {"e0": 0.01, "e1": 0.10},
    "strong": {"e0": 0.02, "e1": 0.20},
    "pair flips": {"e0": 0.01, "e1": 0.05, "pairs": ((0, 1, 0.04), (1, 2, 0.02))},
    "drifting": {"e0": 0.01, "e1": 0.05, "drift": 0.02},
}
CALIBRATED = cirq.LineQubit.range(3)  # qubits of the calibrations that are shown
ROUNDS = 8  # number of calibrations in the figure of drift
EXACT = "without shot noise"
#: Kinds of inputs in words.
INPUTS = {
    "clean": "clean pictures",
    "dense": "dense random inputs",
    "random": "random circuits with dense random inputs",
}
#: This mitigation takes nine times the circuits of twirling: it is applied to the first inputs of each model.
LONGEST, OF_LONGEST = "all but decoupling", 4
#: Mitigations whose maps are shown.
SHOWN = ("none", "twirling", "twirling, readout", "linear ZNE, twirling, readout")
#: Mitigations in the figure of errors against shots.
PLOTTED = (
    *("none", "readout", "linear ZNE", "twirling"),
    *("twirling, readout", "noise estimation, twirling, readout", "linear ZNE, twirling, readout"),
)
PIPELINE_SHOTS = 1_000_000  # shots per input
#: Targets of the medians of the best pipeline.
LARGEST_ERROR, LEAST_COSINE = 0.10, 0.995
#: Target of the coverage of 95% intervals.
COVERAGE = (0.93, 0.97)

Results = Sequence[Done[Any]]


def groups(done: Results, level: str, metric: str = "error") -> list[FloatArray]:
    """Return a metric of the first run of every input, one group per model.

    Args:
        done: Finished tasks of one setting.
        level: Strength of the noise, number of shots, or `EXACT`.
        metric: A metric of `metric_of_maps`.
    """
    models = done_by(sorted(done, key=lambda d: d.task.seed), "seed", "subject").values()
    return [np.concatenate([metric_of_maps(d.result, level, metric)[:, 0] for d in mine]) for mine in models]


def _first_map(done: Results, level: str) -> tuple[FloatArray, FloatArray]:
    maps = done[0].result["maps"][level]
    return np.array(maps["values"][0][0]), np.array(maps["half_width"][0][0])


def _inputs(done: Results) -> int:
    return sum(d.task.inputs for d in done)


def _counted(by_kind: Mapping[str, Results]) -> str:
    """Return the kinds of inputs in words, with their numbers."""
    return "; ".join(
        f"{_inputs(mine)} {INPUTS[kind]} of {len(done_by(mine, 'seed', 'subject'))} models" for kind, mine in by_kind.items()
    )


def _settings(by_kind: Mapping[str, Results]) -> dict[str, str]:
    """Return what the settings say of models and inputs; one mitigation's tasks stand for all."""
    return {
        "baseline": "zero",
        "inputs": _counted(by_kind),
        "models": "trained rings of 3 layers on 4 qubits for pictures, of which there are 28, and for dense inputs; random "
        "circuits have random rotations, 8 two-qubit gates and Pauli strings",
    }


def _level(shots: int) -> str:
    return str(shots) if shots else EXACT


# --- gate noise by estimator -----------------------------------------------------------------------------------------------

_GATE_METRICS = ("slope", "cosine on support", "signs", "gap", "error")


def summarise_gate_noise(done: Results) -> Findings:
    """Return tables by strength, by processor and by mitigation, with their figures."""
    depolarised = done_by([d for d in done if d.task.noise == DEPOLARISING], "estimator")
    measured = [d for d in done if d.task.noise != DEPOLARISING]
    raw = done_by([d for d in measured if d.task.mitigation == "none"], "kind", "noise", "estimator")
    processor = measured[0].task.noise
    mine = [d for d in measured if (d.task.estimator, d.task.noise) == ("resolved", processor)]
    fixed = {kind: done_by(of_kind, "mitigation") for kind, of_kind in done_by(mine, "kind").items()}
    strengths = list(done[0].result["maps"])
    columns = ("CZ or native gates", "maps", "slope", "cosine", "signs right", "completeness gap", "relative L2 error")
    origin = "means over maps, 95% intervals by bootstrap over seeds and inputs; exact, without shots"
    return Findings(
        findings=tuple(_gate_findings(depolarised, raw, fixed, processor)),
        not_claimed=(
            "That real processors have this noise: it is simulated, without drift, leakage or crosstalk.",
            "The cost of the corrections in shots: it is in the studies noise_mitigation and best_pipeline.",
        ),
        tables=(
            Table(
                f"Depolarising channel of probability p2 after every CZ, clean pictures ({origin}).",
                ("estimator", "p2", *columns),
                tuple((name, f"{float(p):g}", *_gate_cells(mine, p)) for name, mine in depolarised.items() for p in strengths),
            ),
            Table(
                f"Virtual processors with their calibrated noise, readout errors included, no mitigation ({origin}).",
                ("inputs", "processor", "estimator", *columns),
                tuple((kind, noise, name, *_gate_cells(mine, EXACT)) for (kind, noise, name), mine in raw.items()),
            ),
            Table(
                f"Corrections of the resolved test on {processor} ({origin}).",
                ("inputs", "correction", *columns),
                tuple((kind, name, *_gate_cells(mine, EXACT)) for kind, of in fixed.items() for name, mine in of.items()),
            ),
        ),
        pictures=(
            Picture(
                png(_strength_figure(depolarised, strengths)),
                "Slope and cosine of noisy maps to the exact ones, and their error, against the strength of depolarising "
                "noise; bands are 95% intervals over seeds and inputs.",
                "Three panels of lines, one line per estimator, against p2",
                "strength",
            ),
            Picture(
                png(_noisy_maps_figure(depolarised, next(iter(fixed.values())), processor)),
                "The first clean picture of three seeds: the exact map and noisy ones on one scale of colours. Red means "
                "towards +1, blue towards -1.",
                "Rows of small signed maps: exact, with depolarising noise, on a virtual processor, and corrected",
                "maps",
            ),
        ),
        settings=_settings({kind: of["none"] for kind, of in fixed.items()})
        | {"p2": ", ".join(f"{float(p):g}" for p in strengths)},
        assumptions={
            "depolarising means": "cirq.depolarize(p2, n_qubits=2) after every CZ; one-qubit gates, idling, readout perfect",
            "circuits": "compiled to CZ with any pair coupled, or placed and routed on the processor",
            "simulation": "exact density matrices",
            "cosine": "on the support of x; signs count features of at least a tenth of the largest exact value",
        },
    )


def _gate_cells(done: Results, level: str) -> list[str]:
    gates = np.mean(np.concatenate([d.result["two_qubit_gates"] for d in done]))
    return [f"{gates:.0f}", str(_inputs(done)), *(nested_text(groups(done, level, metric)) for metric in _GATE_METRICS)]


def _gate_findings(
    depolarised: Mapping[str, Results],
    raw: Mapping[tuple[str, str, str], Results],
    fixed: Mapping[str, Mapping[str, Results]],
    processor: str,
) -> Iterator[str]:
    """Yield sentences."""

    def mean(done: Results, level: str, metric: str) -> float:
        return float(np.mean(np.concatenate(groups(done, level, metric))))

    at = "0.003"
    order = sorted(depolarised, key=lambda name: -mean(depolarised[name], at, "slope"))
    slopes_at = ", ".join(f"{name} {nested_text(groups(depolarised[name], at, 'slope'))}" for name in order)
    yield f"Slopes of the maps against the exact ones at p2 = {at}, the best estimator first: {slopes_at}."
    at, cosine = "0.01", "cosine on support"
    texts = ", ".join(f"{name} {nested_text(groups(mine, at, cosine), digits=4)}" for name, mine in depolarised.items())
    shrunk = sum(mean(mine, at, "slope") < mean(mine, at, cosine) ** 2 for mine in depolarised.values())
    yield (
        f"At p2 = {at} noise shrinks maps more than it rotates them for {shrunk} of {len(depolarised)} estimators; "
        f"cosines: {texts}."
    )
    for kind in fixed:
        texts = ", ".join(
            f"{name} on {noise} {nested_text(groups(mine, EXACT, 'slope'))}, {nested_text(groups(mine, EXACT, cosine))}"
            for (own, noise, name), mine in raw.items()
            if own == kind
        )
        yield f"Slope and cosine with calibrated noise, {INPUTS[kind]}: {texts}."
    texts = "; ".join(
        f"{INPUTS[kind]} {nested_text(groups(of[best], EXACT))} with {best}, {nested_text(groups(of['none'], EXACT))} with none"
        for kind, of in fixed.items()
        for best in [min(of, key=lambda name, of=of: mean(of[name], EXACT, "error"))]  # type: ignore[misc]
    )
    yield f"On {processor} the smallest errors of the resolved test: {texts}."


def _strength_figure(depolarised: Mapping[str, Results], strengths: Sequence[str]) -> Figure:
    shown = {"slope": "slope", "cosine on support": "cosine", "error": "relative L2 error"}
    figure, axes = figures.panels((9.6, 3.2), 1, 3)
    for ax, (metric, label) in zip(axes, shown.items(), strict=True):
        for marker, (name, mine) in zip("osD^v", depolarised.items(), strict=False):
            values = [groups(mine, p, metric) for p in strengths]
            figures.band(ax, list(map(float, strengths)), values, f"{marker}-", label=name)
        ax.set(xscale="log", xlabel="p2, depolarising after each CZ", ylabel=label)
    axes[0].set_ylim(0, None)
    axes[2].set_ylim(0, None)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(depolarised), frameon=False)
    return figure


def _noisy_maps_figure(depolarised: Mapping[str, Results], fixed: Mapping[str, Results], processor: str) -> Figure:
    """Plot the first map of at most three seeds, in columns from exact to corrected."""
    last = list(fixed)[-1]
    columns = {
        "exact": [d.result["exact"][0] for d in fixed["none"]],
        **{
            f"{name}\np2 = 0.01": [d.result["maps"]["0.01"]["values"][0][0] for d in mine] for name, mine in depolarised.items()
        },
        f"resolved\n{processor}": [d.result["maps"][EXACT]["values"][0][0] for d in fixed["none"]],
        "resolved\n" + last.replace(", ", "\n+ "): [d.result["maps"][EXACT]["values"][0][0] for d in fixed[last]],
    }
    rows = min(3, len(fixed["none"]))
    side = int(np.sqrt(len(columns["exact"][0])))
    limit = np.max([np.abs(maps[:rows]) for maps in columns.values()])
    with sns.axes_style("white"):
        figure = Figure(figsize=(1.6 * len(columns) + 0.9, 1.6 * rows + 0.7), layout="constrained")
        axes = figure.subplots(rows, len(columns), squeeze=False)
        for line, (title, maps) in zip(axes.T, columns.items(), strict=True):
            line[0].set_title(title, fontsize=8)
            for ax, values in zip(line, maps, strict=False):
                image = ax.imshow(np.reshape(values, (side, side)), cmap="RdBu_r", vmin=-limit, vmax=limit)
                ax.set(xticks=[], yticks=[])
        figure.colorbar(image, ax=axes, label="attribution\n(+: towards +1)", shrink=0.8)
    return figure


# --- mitigations of gate noise ---------------------------------------------------------------------------------------------


def summarise_noise(done: Results) -> Findings:
    """Return tables of errors and of cost for each mitigation, and figures of errors against shots and cost."""
    kinds = {kind: done_by(mine, "mitigation") for kind, mine in done_by(done, "kind").items()}
    counts = {kind: [shots for shots in next(iter(of.values()))[0].task.shots if shots] for kind, of in kinds.items()}
    largest = max(shots for own in counts.values() for shots in own)
    most = str(largest)
    return Findings(
        findings=[line for kind, of in kinds.items() for line in _noise_findings(kind, of, largest)],
        not_claimed=(
            "Small differences between options: what their intervals do not separate stays undecided.",
            "Anything about hardware: the virtual processor's noise has no memory, so that decoupling can only cost there.",
        ),
        tables=[
            _side_by_side(kinds, EXACT, f"Remaining effect of noise, {EXACT}"),
            _side_by_side(kinds, most, f"With {largest:,} shots"),
            *(table for kind, of in kinds.items() for table in (_bias_table(kind, of), _shots_table(kind, of, counts[kind]))),
        ],
        pictures=_noise_pictures(kinds, counts, done[0].task.noise),
        cost=_cost_table(next(iter(kinds.values())), largest),
        settings=_settings({kind: of["none"] for kind, of in kinds.items()})
        | {
            "noise of the processor": "all noise of its calibration",
            "choice of the options": "on models of other seeds",
            LONGEST: f"the first {OF_LONGEST} inputs of each model: it takes nine times the circuits of twirling",
        },
        assumptions={
            "shots": "those of the map's own circuits; calibrations, which a batch shares, and rescalings take additional ones",
            **_levels_left_out(counts),
            "coverage": "share of the features whose interval(0.95), of both parts of the error, holds the exact value",
            "intervals": "95%, bootstrap over models and inputs; they do not hold the spread between other choices of twirls",
        },
    )


#: Finished tasks by mitigation.
Of = Mapping[str, Results]
#: Numbers of shots by kind of inputs.
Counts = Mapping[str, Sequence[int]]


def _levels_left_out(counts: Counts) -> dict[str, str]:
    """Return a sentence on the numbers of shots that are too few for a kind of inputs, if there are any."""
    every = list(dict.fromkeys(shots for own in counts.values() for shots in own))
    absent = {kind: [shots for shots in every if shots < min(own)] for kind, own in counts.items()}
    said = [f"{INPUTS[kind]} at {', '.join(f'{n:,}' for n in shots)} shots" for kind, shots in absent.items() if shots]
    reason = ": a map shares its shots among circuits of unequal weight, the least of which gets fewer than twirling has gauges"
    return {"not measured": "; ".join(said) + reason} if said else {}


def _median_text(done: Results, level: str, metric: str = "error") -> str:
    return nested_text(groups(done, level, metric), np.median)


def _noise_findings(kind: str, of: Of, shots: int) -> list[str]:
    """Return sentences on the best mitigation and on the mitigations that help."""
    most, none = str(shots), of["none"]
    ratios: dict[str, Interval] = {}
    for option, mine in of.items():
        pairs = zip(groups(mine, most), groups(none, most), strict=True)
        ratios[option] = nested_estimate([a / b[: len(a)] for a, b in pairs], np.median)
    texts = {option: f"{option} ({with_interval(*ratio, digits=2)})" for option, ratio in ratios.items() if option != "none"}
    better = [text for option, text in texts.items() if ratios[option][1][1] < 1]
    worse = [text for option, text in texts.items() if ratios[option][1][0] > 1]
    unclear = [text for text in texts.values() if text not in better + worse]
    best = min(of, key=lambda option: float(np.median(np.concatenate(groups(of[option], most)))))
    cells = {name: [_median_text(of[name], most, m) for m in ("error", "cosine", "slope", "gap")] for name in (best, "none")}
    circuits = [round(_cost_per_map(of[name], most, "circuits")) for name in (best, "none")]
    inputs = INPUTS[kind].capitalize()
    return [
        f"{inputs}, {shots:,} shots: the smallest median error is that of {best}, "
        f"{cells[best][0]} with cosine {cells[best][1]}, slope {cells[best][2]} and completeness gap {cells[best][3]}, where "
        f"no correction has {cells['none'][0]}, {cells['none'][1]}, {cells['none'][2]} and {cells['none'][3]}; it takes "
        f"{quantity(circuits[0], 'circuit')} per map instead of {circuits[1]}.",
        f"{inputs}, error over that without correction at {shots:,} shots, median [95%]: smaller "
        f"with {'; '.join(better) or 'no correction'}. Larger with {'; '.join(worse) or 'no correction'}. Undecided: "
        f"{'; '.join(unclear) or 'no correction'}.",
    ]


def _side_by_side(kinds: Mapping[str, Of], level: str, caption: str) -> Table:
    """Return a table of errors with a column for each kind of inputs."""
    options = list(dict.fromkeys(name for of in kinds.values() for name in of))
    rows = [(name, *(_median_text(of[name], level) if name in of else "-" for of in kinds.values())) for name in options]
    return Table(
        f"{caption}: relative L2 errors, medians over maps with 95% intervals, bootstrap over models and inputs; "
        f"{_counted({kind: of['none'] for kind, of in kinds.items()})}.",
        ("correction", *(INPUTS[kind] for kind in kinds)),
        tuple(rows),
    )


def _bias_table(kind: str, of: Of) -> Table:
    metrics = ("error", "cosine", "slope", "gap")
    return Table(
        f"Remaining effect of noise, {EXACT}: {INPUTS[kind]}, medians with 95% intervals.",
        ("correction", "maps", "relative L2 error", "cosine", "slope", "completeness gap"),
        tuple((name, str(_inputs(mine)), *(_median_text(mine, EXACT, m) for m in metrics)) for name, mine in of.items()),
    )


def _shots_table(kind: str, of: Of, counts: Sequence[int]) -> Table:
    most, last = max(counts), ("cosine", "slope", "gap")
    rows = (
        (
            *(name, *(_median_text(mine, str(n)) for n in counts), *(_median_text(mine, str(most), m) for m in last)),
            nested_text(groups(mine, str(most), "coverage")),
        )
        for name, mine in of.items()
    )
    columns = [f"error, {n:,} shots" for n in counts] + [f"{metric}, {most:,} shots" for metric in last]
    return Table(
        f"With shots: {INPUTS[kind]}, medians with 95% intervals, and mean coverage of the maps' own 95% intervals.",
        ("correction", *columns, f"coverage, {most:,} shots"),
        tuple(rows),
    )


def _costs(done: Results, level: str, kind: str) -> list[float]:
    """Return circuits, shots or gates of every batch, or the factor on the variance; those of mitigations are included."""
    costs = [cost for d in done for cost in d.result["maps"][level]["cost"]]
    return [float(cost[kind] + cost.get(f"mitigation_{kind}", 0)) for cost in costs]


def _cost_per_map(done: Results, level: str, kind: str) -> float:
    """Return the mean number of circuits or shots of one map, its share of calibrations included."""
    return sum(_costs(done, level, kind)) / _inputs(done)


def _cost_table(of: Of, shots: int) -> Table:
    rows = []
    for name, mine in of.items():
        circuits, added = (_cost_per_map(mine, str(shots), kind) for kind in ("circuits", "mitigation_shots"))
        gates, variance = (float(np.mean(_costs(mine, str(shots), kind))) for kind in ("two_qubit_gates", "variance_factor"))
        rows.append((name, f"{circuits:,.1f}", f"{gates:,.0f}", f"{added:,.0f}", f"{variance:.1f}"))
    return Table(
        f"Cost of one map of a clean picture at {shots:,} shots, means: circuits and shots, its share of the batch's "
        "calibrations included; two-qubit gates of the largest as compiled; and the largest variance over that of plain "
        "counts.",
        ("correction", "circuits", "two-qubit gates", "shots +", "variance"),
        tuple(rows),
    )


def _noise_pictures(kinds: Mapping[str, Of], counts: Counts, processor: str) -> tuple[Picture, ...]:
    def median(mine: Results, level: str) -> Interval:
        return nested_estimate(groups(mine, level), np.median)

    largest = max(shots for own in counts.values() for shots in own)
    most = str(largest)
    lines = {
        INPUTS[kind]: {name: {n: median(of[name], str(n)) for n in counts[kind]} for name in PLOTTED if name in of}
        for kind, of in kinds.items()
    }
    options = [name for name in next(iter(kinds.values())) if all(name in of for of in kinds.values())]
    medians = {name: {INPUTS[kind]: median(of[name], most) for kind, of in kinds.items()} for name in options}
    first = next(iter(kinds.values()))
    costs = {
        name: {
            "circuits": _cost_per_map(first[name], most, "circuits"),
            "variance factor": float(np.mean(_costs(first[name], most, "variance_factor"))),
        }
        for name in options
    }
    return (
        Picture(
            png(figures.error_figure(lines, width=4.2)),
            "Median error of maps against shots, one line per correction and one panel per kind of inputs, with 95% intervals "
            "over models and inputs.",
            "Lines of the relative error against shots: they flatten where the remaining noise is larger than shot noise",
            "noise_error",
        ),
        Picture(
            png(figures.cost_figure(medians, costs)),
            f"Left: median error at {largest:,} shots of each kind of inputs, with 95% intervals. Right: cost of one map "
            "of a clean picture, circuits and the factor on the variance.",
            "A row for each correction: its errors with intervals, and its cost",
            "noise_price",
        ),
        _maps_picture({name: first[name] for name in SHOWN if name in first}, most, processor, "noise_maps"),
    )


def _maps_picture(of: Of, level: str, processor: str, name: str) -> Picture:
    maps = {option: _first_map(mine, level) for option, mine in of.items()}
    inputs = INPUTS[of["none"][0].task.kind]
    title = f"{inputs}: virtual {processor}, {int(level):,} shots (simulated); crosses: outside the 95% interval"
    return Picture(
        png(figures.map_figure(maps, np.array(of["none"][0].result["exact"][0]), title)),
        f"One map of {inputs}: raw, corrected, and exact; above each its relative error, and the one that both parts of its "
        "own error predict.",
        "Heat maps of one attribution side by side: raw, corrected, exact",
        name,
    )


# --- the best pipeline -----------------------------------------------------------------------------------------------------


def summarise_pipeline(done: Results) -> Findings:
    """Return the table of mitigations for each kind of inputs, the verdict on the target, maps and their errors."""
    level, kinds = _level(done[0].task.shots[0]), done_by(done, "kind")
    of = done_by(done, "kind", "mitigation")
    names = ("error", "cosine", "gap", "coverage")
    metrics = {key: {name: groups(mine, level, name) for name in names} for key, mine in of.items()}
    rows = []
    for (kind, option), mine in of.items():
        values = metrics[kind, option]
        cells = [nested_text(values[name], np.median) for name in ("error", "cosine", "gap")]
        totals = (f"{_cost_per_map(mine, level, each):,.0f}" for each in ("circuits", "shots"))
        gates, variance = (max(_costs(mine, level, each)) for each in ("two_qubit_gates", "variance_factor"))
        rows.append(
            (
                *(INPUTS[kind], option, str(_inputs(mine)), *cells, nested_text(values["coverage"])),
                *(*totals, f"{gates:.0f}", f"{variance:.1f}"),
            )
        )
    columns = (
        "relative L2 error",
        "cosine",
        "completeness gap",
        "coverage",
        "circuits",
        "shots",
        "two-qubit gates",
        "variance",
    )
    processor = done[0].task.noise
    return Findings(
        findings=[_pipeline_finding(INPUTS[kind], option, mine) for (kind, option), mine in metrics.items()],
        not_claimed=(
            "Anything about hardware: the processor is simulated, with the noise of its calibration, which has no memory.",
            "That a figure for clean pictures holds for other inputs: the three kinds stand side by side.",
        ),
        tables=(
            Table(
                "Maps against the exact ones: medians over models and inputs with 95% intervals, bootstrap over both, and mean "
                "coverage of the maps' own 95% intervals. Circuits and shots are those of one map, its share of the batch's "
                "calibrations included; gates are those of the largest compiled circuit; variance is over that of plain "
                "counts, at most.",
                ("inputs", "correction", "maps", *columns),
                tuple(rows),
            ),
        ),
        pictures=(
            Picture(
                png(_pipeline_figure(metrics)),
                "Errors and cosines of single maps (dots) and their medians with 95% intervals, for each kind of inputs; the "
                "line is the target.",
                "Dots of the relative error and of the cosine, one row per correction, one pair of panels per kind of inputs",
                "pipeline_errors",
            ),
            *(
                _maps_picture({option: mine for (k, option), mine in of.items() if k == kind}, level, processor, name)
                for kind in kinds
                for name in ["pipeline_maps" if kind == "clean" else f"pipeline_maps_{kind}"]
            ),
        ),
        settings=_settings({kind: of[kind, "none"] for kind in kinds})
        | {
            "noise of the processor": "all noise of its calibration",
            "all shots": f"{PIPELINE_SHOTS:,} per input, and a calibration of 40,000 for each batch",
        },
        assumptions={
            "target": f"median error at most {LARGEST_ERROR}, median cosine at least {LEAST_COSINE}",
            "coverage": "share of the features whose interval(0.95), of both parts of the error, holds the exact value",
        },
    )


def _pipeline_finding(inputs: str, option: str, values: Mapping[str, Sequence[FloatArray]]) -> str:
    error, cosine = np.concatenate(values["error"]), np.concatenate(values["cosine"])
    error_median, cosine_median = (nested_estimate(values[metric], np.median) for metric in ("error", "cosine"))
    met = error_median[0] <= LARGEST_ERROR and cosine_median[0] >= LEAST_COSINE
    surely = error_median[1][1] <= LARGEST_ERROR and cosine_median[1][0] >= LEAST_COSINE
    alone = int(np.sum((error <= LARGEST_ERROR) & (cosine >= LEAST_COSINE)))
    return (
        f"{inputs.capitalize()}, {option}: median relative L2 error {with_interval(*error_median)} (target at most "
        f"{LARGEST_ERROR:.2f}), median cosine {with_interval(*cosine_median, 4)} (target at least {LEAST_COSINE}): "
        f"{'met' if met else 'MISSED'}{', with both intervals' if surely else ', not by the intervals' if met else ''}; "
        f"{alone} of {len(error)} maps meet both by themselves."
    )


def _pipeline_figure(metrics: Mapping[tuple[str, str], Mapping[str, Sequence[FloatArray]]]) -> Figure:
    """Plot the error and 1 - cosine of every map, and the medians, one row of panels per kind of inputs."""
    kinds = list(dict.fromkeys(kind for kind, _ in metrics))
    options = list(dict.fromkeys(option for _, option in metrics))[::-1]
    shown = (("error", 0.0, 1.0, "relative L2 error", LARGEST_ERROR), ("cosine", 1.0, -1.0, "1 - cosine", 1 - LEAST_COSINE))
    size = (8.5, (0.4 * len(options) + 0.5) * len(kinds) + 0.6)
    figure, axes = figures.panels(size, len(kinds), 2, sharey=True, sharex="col", squeeze=False)
    for line, kind in zip(axes, kinds, strict=True):
        line[0].set_title(INPUTS[kind], loc="left", fontweight="bold")
        for ax, (metric, start, sign, label, target) in zip(line, shown, strict=True):
            ax.set_xscale("log")
            for i, option in enumerate(options):
                values = [start + sign * group for group in metrics[kind, option][metric]]
                middle, *ends = nested_bootstrap(values, np.median)
                single = np.concatenate(values)
                ax.plot(single, np.full(len(single), i - 0.12), "o", ms=3, color="0.6", alpha=0.4, markeredgewidth=0)
                ax.errorbar(middle, i + 0.12, xerr=np.abs(ends - middle)[:, np.newaxis], fmt="D", ms=5, color="C0", capsize=3)
            ax.axvline(target, color="C3", lw=1, ls="--")
            ax.set(yticks=range(len(options)), yticklabels=options, ylim=(-0.5, len(options) - 0.5))
            if kind == kinds[-1]:
                ax.set_xlabel(label)
    for ax in axes[-1]:
        figures.log_axis(ax.xaxis)
    return figure


# --- mitigations of readout errors -----------------------------------------------------------------------------------------

#: Errors of maps by kind of inputs, readout, correction and shots.
Scores = Mapping[tuple[str, str, str, int], MapErrorSummary]


def summarise_readout(done: Results) -> Findings:
    """Return the table of every correction at every number of shots, the diagnoses, and figures of both."""
    of, counts = done_by(done, "kind", "noise", "mitigation"), done[0].task.shots
    scores = {
        (*key, shots): summarize_map_errors([d.result for d in mine], str(shots))
        for key, mine in of.items()
        for shots in counts
    }
    rows = []
    for (kind, noise, method, shots), score in scores.items():
        numbers = (with_interval(*number) for number in (score.bias, score.error, score.coverage))
        added = (f"mitigation_{each}" for each in ("circuits", "shots"))
        extra = (f"{_cost_per_map(of[kind, noise, method], str(shots), each):,.1f}" for each in added)
        rows.append((kind, _label(noise), method, f"{shots:,}", *numbers, *extra, f"{score.variance_factor:.2f}"))
    calibrated = {
        noise: [d.result for d in mine if "calibrations" in d.result] for noise, mine in done_by(done, "noise").items()
    }
    injected = {noise: results for noise, results in calibrated.items() if results}
    return Findings(
        findings=(*_readout_findings(scores), *_diagnoses(injected)),
        not_claimed=(
            "Anything about real processors: all results are simulated, with gates without error.",
            "That models of other sizes behave alike: all have 4 qubits.",
        ),
        tables=(
            Table(
                "Bias (common to the runs of one input), error (relative L2, root mean square) and coverage of the maps' "
                "own 95% intervals, of both parts of the error; in brackets 95% intervals, bootstrap over models and inputs. "
                "Additional circuits and shots are one map's share of those of its batch; the variance factor is over as many "
                "shots read without error.",
                ("inputs", "readout", "correction", "shots", "bias", "error", "coverage", "circuits +", "shots +", "variance"),
                tuple(rows),
            ),
        ),
        pictures=_readout_pictures(of, scores, injected),
        settings=_settings(
            {kind: mine for (kind, noise, method), mine in of.items() if (noise, method) == (done[0].task.noise, "raw")}
        )
        | {"calibration": "20,000 shots per state of each qubit, separate for every run and in the same batch"},
        assumptions={
            "injected errors": "; ".join(
                f"{name}: {', '.join(f'{key} {value}' for key, value in faults.items())}" for name, faults in FAULTS.items()
            ),
            "virtual processors": "readout noise of their calibration alone, gates without error",
        },
    )


def _label(noise: str) -> str:
    return noise.replace(READOUT_OF, "virtual ")


def _readout_findings(scores: Scores) -> Iterator[str]:
    """Yield sentences on each kind of readout errors at the most shots, and on the coverage of each correction."""
    most = max(shots for *_, shots in scores)
    for noise in dict.fromkeys(noise for _, noise, _, _ in scores):
        texts = []
        for kind in dict.fromkeys(kind for kind, own, _, _ in scores if own == noise):
            mine = {method: s for (k, own, method, shots), s in scores.items() if (k, own, shots) == (kind, noise, most)}
            best = min(mine, key=lambda method: mine[method].error[0])
            texts.append(
                f"{INPUTS[kind]} {with_interval(*mine['raw'].error)} raw, {with_interval(*mine[best].error)} with the best "
                f"correction ({best}, bias {with_interval(*mine[best].bias)})"
            )
        yield f"{_label(noise)}, {most:,} shots: errors are {'; '.join(texts)}."
    low, high = COVERAGE
    for method in dict.fromkeys(method for _, _, method, _ in scores):
        rows = {(noise, shots, kind): each.coverage for (kind, noise, m, shots), each in scores.items() if m == method}
        missed = [at for at, (mean, _) in rows.items() if not low <= mean <= high]
        clear = [at for at, (_, ends) in rows.items() if ends[1] < low or ends[0] > high]
        worst = max(rows, key=lambda at: abs(rows[at][0] - 0.95))
        yield (
            f"Coverage of 95% intervals, {method}: target {low:.0%} to {high:.0%} "
            + (f"MISSED in {len(missed)} (clear of their intervals in {len(clear)})" if missed else "met")
            + f" of {len(rows)} rows; the farthest is {with_interval(*rows[worst])} ({_label(worst[0])}, {worst[1]:,} shots, "
            f"{INPUTS[worst[2]]})."
        )


def correlated_calibration(result: Mapping[str, Any]) -> CorrelatedCalibration:
    """Return the correlated calibration whose counts a result holds."""
    rows = (Distribution.from_counts(np.array(row)) for row in result["calibrations"]["joint"])
    return CorrelatedCalibration(tuple(CALIBRATED), tuple(rows))


def calibration_rounds(result: Mapping[str, Any]) -> list[ReadoutCalibration]:
    """Return the calibrations of one run whose counts a result holds, in the order of time."""
    return [ReadoutCalibration(tuple(CALIBRATED), np.array(counts)) for counts in result["calibrations"]["rounds"]]


def _diagnoses(injected: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Yield sentences on how often calibrations distinguish correlated and drifting readout."""
    correlated, drifted = {}, {}
    for noise, results in injected.items():
        correlated[noise] = [correlation_test(correlated_calibration(result)).correlated for result in results]
        runs = [calibration_rounds(result) for result in results]
        drifted[noise] = [compare(rounds[0], rounds[-1]).drifted for rounds in runs]
    for text, flags in (
        ("correlated by a calibration of the states of three qubits", correlated),
        (f"drifted between the first and the last of {ROUNDS} calibrations", drifted),
    ):
        yield f"Flagged as {text}: {', '.join(f'{noise} {sum(each)} of {len(each)}' for noise, each in flags.items())}."


def _readout_pictures(
    of: Mapping[tuple[str, str, str], Results], scores: Scores, injected: Mapping[str, Sequence[Mapping[str, Any]]]
) -> tuple[Picture, ...]:
    by_kind: dict[str, dict[str, dict[str, dict[int, Interval]]]] = {}
    for (kind, noise, method, shots), score in scores.items():
        by_kind.setdefault(kind, {}).setdefault(_label(noise), {}).setdefault(method, {})[shots] = score.error
    shown, most = "pair flips", max(shots for *_, shots in scores)
    first, kinds = injected[shown][0], list(by_kind)
    maps = {
        method: _first_map(of[kind, noise, method], str(most))
        for kind, noise, method in of
        if (kind, noise) == (kinds[0], shown)
    }
    exact = np.array(of[kinds[0], shown, "raw"][0].result["exact"][0])
    title = f"{shown}, {most:,} shots (simulated); crosses: outside the 95% interval"
    return (
        *(
            Picture(
                png(figures.error_figure(by_noise)),
                f"{INPUTS[kind].capitalize()}: error of maps against shots for each correction; bands are 95% intervals over "
                "models and inputs.",
                "Lines of the relative error against shots, one panel per kind of readout errors, one line per correction",
                "readout_error" if kind == kinds[0] else f"readout_error_{kind}",
            )
            for kind, by_noise in by_kind.items()
        ),
        Picture(
            png(figures.map_figure(maps, exact, title)),
            "One input's map raw, under each correction, and exact; above each its relative error, and the one that both "
            "parts of its own error predict.",
            "Heat maps of one attribution side by side: raw, corrected in three ways, exact",
            "readout_maps",
        ),
        Picture(
            png(figures.confusion_figure(correlated_calibration(first), calibration_rounds(first)[0])),
            "The joint confusion of three qubits with pair flips, and its difference from a product of one-qubit confusions.",
            "Two heat maps: probabilities of each observed state for each prepared one, and their difference from a product",
            "readout_confusion",
        ),
        Picture(
            png(figures.drift_figure(calibration_rounds(injected["drifting"][0]))),
            "e1 of three qubits in calibrations within a run whose readout drifts; bars are 95% intervals.",
            "Lines of the probability to read 1 as 0 against the number of the calibration, rising",
            "readout_drift",
        ),
    )
