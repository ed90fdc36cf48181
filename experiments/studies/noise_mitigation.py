"""What each correction of gate noise, alone and together, does to attribution maps of a virtual processor, and its price.

Clean patterns and noisy test pictures are attributed against zero by the resolved Hadamard test, without shot noise (exact
density matrices, readout errors included) and at several numbers of shots. The options were set on models of other seeds.
Everything is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import hattriq_cirq as hq
from calibration import (
    CompletenessRescaling,
    DynamicalDecoupling,
    MitigationSequence,
    NoiseEstimation,
    PauliTwirling,
    Readout,
    ZeroNoiseExtrapolation,
)
from experiments.runner.bootstrap import nested_interval, nested_text, with_interval
from experiments.runner.figures import Interval, error_figure, map_figure, price_figure
from experiments.runner.map_metrics import cosines, errors, slopes
from experiments.runner.study import Done, Study
from experiments.runner.trained_models import accuracies, accuracy_table, trained
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.pipeline.mitigation import Mitigation
from hattriq_cirq.reporting.document import Picture, Section, Table
from hattriq_cirq.reporting.plotting import png

SUBJECT = "bars3"
PROCESSOR = "willow_pink"
SHOTS = (10_000, 100_000, 1_000_000)
EXACT = "without shot noise"
FIRST_SEED = 20
"""Of the models that are reported; seeds 0 to 3 were looked at to set the options."""
LINEAR, QUADRATIC = ZeroNoiseExtrapolation(), ZeroNoiseExtrapolation(degree=2)
TWIRLS, READOUT = PauliTwirling(16), Readout()
OPTIONS: Mapping[str, Mitigation | None] = {
    "none": None,
    "readout": READOUT,
    "linear ZNE": LINEAR,
    "quadratic ZNE": QUADRATIC,
    "twirling": TWIRLS,
    "decoupling": DynamicalDecoupling(),
    "completeness": CompletenessRescaling(),
    "completeness, shift": CompletenessRescaling(additive=True),
    "noise estimation": NoiseEstimation(),
    "twirling, readout": MitigationSequence([TWIRLS, READOUT]),
    "completeness, twirling, readout": MitigationSequence([CompletenessRescaling(), TWIRLS, READOUT]),
    "noise estimation, twirling, readout": MitigationSequence([NoiseEstimation(), TWIRLS, READOUT]),
    "linear ZNE, readout": MitigationSequence([LINEAR, READOUT]),
    "quadratic ZNE, readout": MitigationSequence([QUADRATIC, READOUT]),
    "linear ZNE, twirling, readout": MitigationSequence([LINEAR, TWIRLS, READOUT]),
    "quadratic ZNE, twirling, readout": MitigationSequence([QUADRATIC, TWIRLS, READOUT]),
    "all but decoupling": MitigationSequence(
        [NoiseEstimation(circuits=1), CompletenessRescaling(), QUADRATIC, TWIRLS, READOUT]
    ),
}
DRAWN = (
    "none",
    "readout",
    "linear ZNE",
    "twirling",
    "twirling, readout",
    "noise estimation, twirling, readout",
    "linear ZNE, twirling, readout",
)
"""Options in the chart of errors against shots."""
NOISY = ("none", "twirling, readout", "linear ZNE, twirling, readout")
"""Options that noisy pictures are shown to."""
LONGEST = "all but decoupling"
"""Nine times the circuits of twirling: it sees the first picture of each model."""
QUICK = ("none", "twirling, readout")
Kind = Literal["clean", "noisy"]


@dataclass(frozen=True)
class Task:
    """One option on one model and a few pictures of one kind."""

    option: str
    kind: Kind
    seed: int
    inputs: int


def tasks(quick: bool) -> list[Task]:
    """Every option on two clean pictures of each of five models; few options on noisy pictures."""
    if quick:
        return [Task(option, "clean", FIRST_SEED, 1) for option in QUICK]
    seeds = range(FIRST_SEED, FIRST_SEED + 5)
    return [Task(option, "clean", seed, 1 if option == LONGEST else 2) for seed in seeds for option in OPTIONS] + [
        Task(option, "noisy", seed, 1) for seed in seeds for option in NOISY
    ]


def run(task: Task) -> dict[str, Any]:
    """The maps of each picture under the option, without shot noise and at every number of shots, and what they cost."""
    model, data = trained(SUBJECT, task.seed)
    source = data.x_test if task.kind == "noisy" else hq.datasets.load("bars_and_stripes").amplitudes
    rng = np.random.default_rng(task.seed)
    x = source[rng.permutation(len(source))[: task.inputs]]
    counts: dict[str, int | None] = {EXACT: None} | {str(shots): shots for shots in SHOTS}
    found: dict[str, list[hq.Attribution]] = {name: [] for name in counts}
    for row, seed in zip(x, rng.integers(2**31, size=task.inputs), strict=True):
        engine, placement = hq.virtual(PROCESSOR, seed=int(seed)), None
        for name, shots in counts.items():
            prepared = hq.prepare(
                model,
                row,
                baseline=0,
                estimator=hq.ResolvedHadamardTest(),
                engine=engine,
                shots=shots,
                mitigation=OPTIONS[task.option],
                placement=placement,
            )
            placement = prepared.placement
            found[name].append(prepared.execute())
    exact = hq.integrated_gradients(model, x, baseline=0)
    cost = [a.cost for a in found[str(max(SHOTS))]]
    return {
        "accuracy": accuracies(model, data),
        "exact": exact.values,
        "maps": {
            name: {
                "values": [a.values for a in made],
                "stderr": [a.stderr for a in made],
                "gap": [float(a.completeness_gap) for a in made],
            }
            for name, made in found.items()
        },
        "cost": {
            "circuits": [one.circuits + one.mitigation_circuits for one in cost],
            "extra_shots": [one.mitigation_shots for one in cost],
            "variance_factor": [one.variance_factor for one in cost],
            "two_qubit_gates": [one.two_qubit_gates for one in cost],
        },
    }


def summarise(done: Sequence[Done[Task]]) -> Section:
    """Tables of nearness and of cost for each option, and charts against shots and against cost."""
    kinds = list(dict.fromkeys(d.task.kind for d in done))
    of = {kind: {o: [d for d in done if (d.task.kind, d.task.option) == (kind, o)] for o in OPTIONS} for kind in kinds}
    of = {kind: {option: mine for option, mine in options.items() if mine} for kind, options in of.items()}
    seeds = {d.task.seed: d.result["accuracy"] for d in done}
    pictures = ", ".join(f"{_count(of[kind]['none'])} {kind}" for kind in kinds)
    return Section(
        title="",
        question="",
        findings=tuple(line for kind in kinds for line in _findings(kind, of[kind])),
        not_claimed=(
            f"More than {pictures} pictures of {len(seeds)} models can show: "
            "density matrices of every variant take too long for hundreds of inputs, and small differences between options "
            "stay within their intervals.",
            "Anything about hardware: the virtual processor's noise has no memory, so that decoupling can only cost there.",
        ),
        accuracy=accuracy_table({SUBJECT: list(seeds.values())}),
        tables=tuple(table for kind in kinds for table in (_bias_table(kind, of[kind]), _shots_table(kind, of[kind]))),
        pictures=_pictures(of[kinds[0]], kinds[0]),
        cost=_cost_table(of[kinds[0]]),
        settings={
            "processor": f"virtual {PROCESSOR}, all noise of its calibration",
            "estimator": "resolved Hadamard test",
            "baseline": "zero",
            "models": f"{len(seeds)}, trained with seeds from {FIRST_SEED}; the options were set on others",
            "pictures": pictures,
            "shots of a map": ", ".join(f"{shots:,}" for shots in SHOTS),
        },
        assumptions={
            "shots": "of the map's own circuits; those of calibrations, one for every map, and of rescalings come on top",
            "intervals": "95%, bootstrap over models and pictures; they do not hold the spread between other choices of twirls",
        },
    )


_Of = Mapping[str, Sequence[Done[Task]]]
_MEASURES = {"error": errors, "cosine": cosines, "slope": slopes}


def _count(done: Sequence[Done[Task]]) -> str:
    return str(sum(d.task.inputs for d in done))


def _groups(done: Sequence[Done[Task]], name: str, measure: str = "error") -> list[FloatArray]:
    """A measure of every picture's map, a group a model; `name` is a number of shots or `EXACT`."""
    made = [
        (np.array(d.result["maps"][name]["values"]), np.array(d.result["exact"]), d.result["maps"][name]["gap"]) for d in done
    ]
    return [np.abs(gap) if measure == "gap" else _MEASURES[measure](values, exact) for values, exact, gap in made]


def _cell(done: Sequence[Done[Task]], name: str, measure: str = "error") -> str:
    return nested_text(_groups(done, name, measure), np.median)


def _compared(done: Sequence[Done[Task]], plain: Sequence[Done[Task]], name: str) -> Interval:
    """The median ratio of errors to those of the same pictures without correction, and its interval."""
    return _middle([a / b[: len(a)] for a, b in zip(_groups(done, name), _groups(plain, name), strict=True)])


def _findings(kind: Kind, of: _Of) -> list[str]:
    """Which options help alone, which together, and what the best one reaches."""
    most = str(max(SHOTS))
    ratios = {option: _compared(mine, of["none"], most) for option, mine in of.items() if option != "none"}
    texts = {option: f"{option} ({with_interval(*ratio, digits=2)})" for option, ratio in ratios.items()}
    better = [texts[option] for option, (_, ends) in ratios.items() if ends[1] < 1]
    worse = [texts[option] for option, (_, ends) in ratios.items() if ends[0] > 1]
    unclear = [texts[option] for option in texts if texts[option] not in better + worse]
    best = min(of, key=lambda option: float(np.median(np.concatenate(_groups(of[option], most)))))
    costs = of[best][0].result["cost"]
    return [
        f"{kind.capitalize()} pictures, {max(SHOTS):,} shots: the smallest median error is that of {best}, "
        f"{_cell(of[best], most)} with cosine {_cell(of[best], most, 'cosine')}, slope {_cell(of[best], most, 'slope')} and "
        f"completeness gap {_cell(of[best], most, 'gap')}, where no correction has {_cell(of['none'], most)}, "
        f"{_cell(of['none'], most, 'cosine')}, {_cell(of['none'], most, 'slope')} and {_cell(of['none'], most, 'gap')}; it "
        f"takes {costs['circuits'][0]} circuits a map in place of {of['none'][0].result['cost']['circuits'][0]}.",
        f"{kind.capitalize()} pictures, error over that without correction at {max(SHOTS):,} shots, median [95%]: smaller with "
        f"{'; '.join(better) or 'none'}. Larger with {'; '.join(worse) or 'none'}. Not told apart: "
        f"{'; '.join(unclear) or 'none'}.",
    ]


def _bias_table(kind: Kind, of: _Of) -> Table:
    measures = ("error", "cosine", "slope", "gap")
    return Table(
        f"What noise leaves, {EXACT}: {kind} pictures, medians with 95% intervals.",
        ("correction", "pictures", "relative L2 error", "cosine", "slope", "completeness gap"),
        tuple((option, _count(mine), *(_cell(mine, EXACT, measure) for measure in measures)) for option, mine in of.items()),
    )


def _shots_table(kind: Kind, of: _Of) -> Table:
    most = str(max(SHOTS))
    rows = (
        (option, *(_cell(mine, str(shots)) for shots in SHOTS), *(_cell(mine, most, m) for m in ("cosine", "slope", "gap")))
        for option, mine in of.items()
    )
    errors_at = (f"error, {shots:,} shots" for shots in SHOTS)
    last = (f"{measure}, {max(SHOTS):,} shots" for measure in ("cosine", "slope", "gap"))
    return Table(
        f"With shots: {kind} pictures, medians with 95% intervals.",
        ("correction", *errors_at, *last),
        tuple(rows),
    )


def _mean_cost(done: Sequence[Done[Task]], key: str) -> float:
    return float(np.mean([value for d in done for value in d.result["cost"][key]]))


def _cost_table(of: _Of) -> Table:
    rows = (
        (
            option,
            *(f"{_mean_cost(mine, key):,.0f}" for key in ("circuits", "two_qubit_gates", "extra_shots")),
            f"{_mean_cost(mine, 'variance_factor'):.1f}",
        )
        for option, mine in of.items()
    )
    return Table(
        f"Cost of one map at {max(SHOTS):,} shots, means: circuits in all, two-qubit gates of the largest as compiled, shots "
        "on top, and the variance over that of plain counts.",
        ("correction", "circuits", "two-qubit gates", "shots +", "variance"),
        tuple(rows),
    )


def _pictures(of: _Of, kind: Kind) -> tuple[Picture, ...]:
    lines = {option: {shots: _middle(_groups(of[option], str(shots))) for shots in SHOTS} for option in DRAWN if option in of}
    most, first = str(max(SHOTS)), {option: mine[0].result for option, mine in of.items()}
    maps = {
        option: tuple(np.array(first[option]["maps"][most][key][0]) for key in ("values", "stderr"))
        for option in ("none", "twirling", *NOISY[1:])
        if option in first
    }
    labels = {EXACT: EXACT, most: f"{max(SHOTS):,} shots"}
    priced = {option: {labels[name]: _middle(_groups(mine, name)) for name in labels} for option, mine in of.items()}
    costs = {option: {key: _mean_cost(mine, key) for key in ("circuits", "variance_factor")} for option, mine in of.items()}
    title = f"virtual {PROCESSOR}, {max(SHOTS):,} shots (simulated); crosses: 2 standard errors off or more"
    return (
        Picture(
            png(error_figure({f"{kind} pictures": lines}, width=7)),
            "Median error of maps against shots, a line a correction, with 95% intervals over models and pictures.",
            "Lines of the relative error against shots: they flatten where what the noise leaves is larger than shot noise",
            "noise_error",
        ),
        Picture(
            png(price_figure(priced, costs)),
            f"Left: median error without shot noise and at {max(SHOTS):,} shots, with 95% intervals. Right: what one "
            "map costs, circuits and the factor on the variance.",
            "A row for each correction: its error with intervals, and its cost",
            "noise_price",
        ),
        Picture(
            png(
                map_figure(
                    {name: (pair[0], pair[1]) for name, pair in maps.items()}, np.array(first["none"]["exact"][0]), title
                )
            ),
            "One picture's map raw, corrected, and exact; above each its relative error and the one its standard errors "
            "expect, which do not know of gate noise.",
            "Heat maps of one attribution side by side: raw, corrected, exact",
            "noise_maps",
        ),
    )


def _middle(groups: Sequence[FloatArray]) -> Interval:
    return float(np.median(np.concatenate(groups))), nested_interval(groups, np.median)


STUDY = Study(
    name="noise_mitigation",
    title="Gate noise corrected",
    question="What does each correction of gate noise, alone and together with others, do to maps of a noisy processor, "
    "and what does it cost?",
    task=Task,
    tasks=tasks,
    run=run,
    summarise=summarise,
)
main = STUDY.main
