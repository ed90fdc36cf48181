"""Mitigation: error, intervals and cost of whole pipelines on one's own models, data and engines.

How near to the exact map does each pipeline of estimator, engine and mitigation bring a measured one, do its 95% intervals
hold, and what does it cost?

The grid is a TOML plan (`--plan`, or `hattriq study plan.toml`) or options of the command; without either it is that of random
circuits with dense random inputs on virtual processors.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import hattriq_cirq as hq
from experiments.runner import figures
from experiments.runner.bootstrap import Interval, nested_estimate, with_interval
from experiments.runner.map_metrics import metric_of_maps
from experiments.runner.measured_maps import collect, measure
from experiments.runner.plan import Plan, add_plan_options, plan_of_options
from experiments.runner.study import Done, Findings, Study, done_by
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.identity import content_digest
from hattriq_cirq.foundation.reading import checksum
from hattriq_cirq.pipeline.mitigation import Mitigation
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png
from hattriq_cirq.workflows import values
from hattriq_cirq.workflows.generated_models import generate_model, is_generated
from hattriq_cirq.workflows.learn import PreparedLearning, prepare_learning
from hattriq_cirq.workflows.learning_campaign import Corrections

NONE = "none"  # mitigation that is none
EXACT = "exact probabilities"
#: Metrics of a map with the headings of their columns.
METRICS = {
    "error": "relative L2 error",
    "cosine": "cosine",
    "signs": "signs right",
    "gap": "completeness gap",
    "coverage": "coverage of 95%",
}
#: Costs of one map, calibrations included, and of a whole task.
_COSTS = ("circuits per map", "shots per map", "two-qubit gates")
_PRICED = ("circuits", "all shots", "two-qubit gates")
_JOIN = " + "  # between the selections of inputs, or the baselines, of one campaign
_SCOPE, _PIPELINE = ("model", "data", "inputs", "baseline"), ("engine", "estimator", "mitigation", "shots")
_COMMON = (
    "Errors of a learned model are common to all maps of its campaign and vary only between models, seeds and repeats: the "
    "intervals, which are over inputs too, are too narrow for few of them."
)
_DIGITS = 16  # of digests in the identity of a task
_LINES = 7  # largest number of lines or maps of a figure


@dataclass(frozen=True)
class Task:
    """Maps of some inputs by one pipeline.

    Args:
        estimator: Name of the estimator, or of a learned model.
        mitigation: Names of mitigations, or `none`.
        shots: Shots per input, of a learned model for all maps together; 0 for exact probabilities.
        seed: Random seed.
        repeat: Number of the run with this seed, from 0.
        inputs: Selection of inputs, measured together; of a learned model all selections.
        baseline: Name of the baseline; of a learned model all names.
        model: Text of a generated model, or the checksum of a file.
        data: Text of a data set, or a digest of the content of one from files.
        engine: Name of the engine; the file of a snapshot is replaced by its digest.
        given: Texts that name the model, the data and the engine, which may hold paths.
        device: Device that computes a virtual processor.
    """

    estimator: str
    mitigation: str
    shots: int
    seed: int
    repeat: int
    inputs: str
    baseline: str
    model: str = field(metadata={"reported": False})
    data: str = field(metadata={"reported": False})
    engine: str = field(metadata={"reported": False})
    given: tuple[str, str, str] = field(compare=False, metadata={"reported": False})
    device: str = field(default="cpu", compare=False, metadata={"reported": False})

    @property
    def run_seed(self) -> int:
        """Seed of counts and mitigations: `seed` for the first run, others for its repetitions."""
        return self.seed if self.repeat == 0 else int(np.random.SeedSequence([self.seed, self.repeat]).generate_state(1)[0])

    @property
    def is_learned(self) -> bool:
        """True for one campaign that serves all inputs and baselines."""
        return self.estimator in values.LEARNED

    @property
    def scopes(self) -> list[tuple[str, str]]:
        """Selections of inputs with the baseline of each."""
        return list(product(self.inputs.split(_JOIN), self.baseline.split(_JOIN)))


#: Random circuits, a hundred dense random inputs of each of five seeds and two sizes, on which nothing was tuned.
FULL = Plan(
    models=tuple(f"random:n={n},seed={seed},gates=mixed" for n in (3, 4) for seed in range(5)),
    data=("random_states:seed=1,samples=334",),
    inputs=("test:0:100",),
    engines=("virtual:weber", "virtual:willow_pink"),
    mitigations=(NONE, "readout", "twirl,readout", "zne,twirl,readout"),
    shots=(100_000,),
)
QUICK = Plan(
    models=("random:n=2,seed=7",),
    data=("random_states:seed=1",),
    inputs=("test:0:2",),
    engines=("virtual:weber",),
    mitigations=(NONE, "readout"),
    shots=(10_000,),
    repeats=2,
)


def tasks(quick: bool, chosen: argparse.Namespace) -> list[Task]:
    """Return the tasks of the plan that the command line gives, or of the study's own."""
    given = plan_of_options(chosen)
    if given is not None and quick:
        raise ValueError("--quick runs a small sample of the study's own plan; leave it out")
    return plan_tasks(given or (QUICK if quick else FULL))


def plan_tasks(plan: Plan) -> list[Task]:
    """Return all combinations of a plan, each once; every text is checked, and files are read, before anything runs.

    Raises:
        ValueError: A text names nothing, or inputs do not fit a model.
        FileNotFoundError: A file does not exist.
    """
    check_pipelines(plan)
    selected: dict[Task, None] = {}
    for model_text, data_text in product(plan.models, plan.data):
        model, model_name = find_model(model_text)
        data_text = _sized(data_text, model)
        data, data_name = _find_data(data_text, model)
        every = list(product(dict.fromkeys(plan.inputs), dict.fromkeys(plan.baselines)))
        for inputs, baseline in every:
            values.make_baseline(baseline, data, values.select_inputs(inputs, data), plan.seeds[0])
        together = (_JOIN.join(dict.fromkeys(plan.inputs)), _JOIN.join(dict.fromkeys(plan.baselines)))
        pairs = [(estimator, mitigation or NONE) for estimator, mitigation in product(plan.estimators, plan.mitigations)]
        pairs = [pair for pair in pairs if _fits(*pair)]
        rest = list(product(plan.engines, pairs, plan.shots, plan.seeds, range(plan.repeats)))
        for own in every:
            for engine, (estimator, mitigation), shots, seed, repeat in rest:
                scope = together if estimator in values.LEARNED else own  # one campaign for all of them
                names = (model_name, data_name, _engine_name(engine))
                given = (_place(model_text), data_text, engine)
                device = plan.device if engine.startswith("virtual:") else "cpu"
                task = Task(estimator, mitigation, shots, seed, repeat, *scope, *names, given=given, device=device)
                selected[task] = None
    return list(selected)


def _fits(estimator: str, mitigation: str) -> bool:
    """Return True if a mitigation can correct the circuits of an estimator, or the campaign of a learned model."""
    if estimator not in values.LEARNED:
        return not values.is_of_campaigns(mitigation)
    try:
        Corrections.of(_corrections(mitigation, 0))
    except ValueError:
        return False
    return True


def check_pipelines(plan: Plan) -> None:
    """Raise ValueError unless every text of a plan names an estimator, a mitigation, an engine, inputs or a baseline."""
    for estimator in plan.estimators:
        if estimator not in values.LEARNED and values.parse_estimator(estimator) is None:
            raise ValueError("estimator 'exact' runs no circuit and has no error; leave it out")
    for mitigation in plan.mitigations:
        _corrections(mitigation, 0)
        if not any(_fits(estimator, mitigation) for estimator in plan.estimators):
            raise ValueError(
                f"mitigation {mitigation!r} fits none of the estimators {', '.join(plan.estimators)}; leave it out"
            )
    if plan.device != "cpu" and not any(engine.startswith("virtual:") for engine in plan.engines):
        raise ValueError(f"device {plan.device!r} is for virtual processors, and no engine is one; leave it out")
    for engine in plan.engines:
        values.check_engine(engine)
        if engine.startswith("google:") and 0 in plan.shots:
            raise ValueError(f"engine {engine!r} counts shots and cannot give exact probabilities; take 0 out of shots")
    for inputs in plan.inputs:
        values.check_inputs(inputs)
    for baseline in plan.baselines:
        values.check_baseline(baseline)


def find_model(text: str) -> tuple[hq.Model, str]:
    """Return the model that a text names and what identifies it: the text of a generated one, the checksum of a file."""
    if is_generated(text):
        return generate_model(text), text
    if not Path(text).exists() and "=" in text:
        return generate_model(text), text  # raises an error that names the generated models
    file = values.find_model(text)
    return hq.Model.load(file), f"file {checksum(file)[:_DIGITS]}"


def _place(text: str) -> str:
    return text if is_generated(text) else str(values.find_model(text).resolve())


def _sized(text: str, model: hq.Model) -> str:
    """Return the text of a data set; random states without a number of qubits take that of the model."""
    name, _, options = text.partition(":")
    if name != "random_states" or "n_qubits=" in options:
        return text
    return f"{name}:n_qubits={model.n_qubits}" + (f",{options}" if options else "")


def _find_data(text: str, model: hq.Model) -> tuple[Dataset, str]:
    """Return a data set in the order of a model's columns and what identifies it: its text, or a digest if it is from files."""
    data = hq.datasets.load(text)
    name = text
    if "sha256" in data.details:
        content = (data.amplitudes, data.labels, data.train, data.test)
        name = f"{data.name} {str(content_digest(content))[:_DIGITS]}"
    matched, _ = data.for_model(model.contract)
    if matched.n_features != model.n_features:
        raise ValueError(f"the model has {model.n_features} features, {data.name} has {matched.n_features}; give other data")
    return matched, name


def _engine_name(text: str) -> str:
    """Return what identifies an engine: its text, in which the digest of a snapshot stands for its file."""
    snapshot = values.snapshot_file(text).get("snapshot")
    return text if snapshot is None else text.replace(snapshot["path"], f"snapshot {snapshot['sha256'][:_DIGITS]}")


def _mitigation(text: str, seed: int) -> Mitigation[Any] | None:
    return values.parse_mitigation("" if text == NONE else text, seed)


def _corrections(text: str, seed: int) -> list[Mitigation[Any] | str]:
    return values.parse_corrections("" if text == NONE else text, seed)


def run(task: Task, journal: Path) -> dict[str, Any]:
    """Measure the maps of a task, and compute them exactly; counts are kept in the journal as they arrive."""
    model, parts = _resolved(task)
    exact = np.concatenate([hq.integrated_gradients(model, x, baseline=baseline).values for x, baseline in parts])
    engine = values.parse_engine(task.given[2], task.run_seed, journal if task.shots else None, device=task.device)
    try:
        if task.is_learned:
            learned = _campaign(task, model, parts, engine).execute()
            level = collect([[hq.integrated_gradients(learned, x, baseline=baseline)] for x, baseline in parts])
            level["cost"] = level["cost"][:1]  # that of the campaign, which serves all maps
        else:
            ((x, baseline),) = parts
            estimator = values.parse_estimator(task.estimator)
            assert estimator is not None  # check_pipelines refuses it
            mitigation = _mitigation(task.mitigation, task.run_seed)
            options: dict[str, Any] = {"estimator": estimator, "baseline": baseline, "mitigation": mitigation}
            level = collect([[measure(model, x, engine, task.shots, **options)]])
        if engine.journal is not None:
            engine.journal.finish()
    finally:
        if engine.journal is not None:
            engine.journal.close()
    result = {"exact": exact, "maps": {_level(task): level}}
    return result if len(parts) == 1 else {**result, "parts": [len(x) for x, _ in parts]}


Part = tuple[Array, float | Array | hq.BaselineSet]


def _resolved(task: Task) -> tuple[hq.Model, list[Part]]:
    """Return the model of a task, and its inputs with their baseline; of a learned model all selections with all baselines."""
    model, name = find_model(task.given[0])
    data, data_name = _find_data(task.given[1], model)
    if (name, data_name, _engine_name(task.given[2])) != (task.model, task.data, task.engine):
        raise ValueError(f"a file of {', '.join(task.given)} has changed since the command was started; run it again")
    parts: list[Part] = []
    for inputs, baseline in task.scopes:
        indices = values.select_inputs(inputs, data)
        parts.append((data.amplitudes[indices], values.make_baseline(baseline, data, indices, task.seed)[1]))
    return model, parts


def _campaign(task: Task, model: hq.Model, parts: Sequence[Part], engine: Engine) -> PreparedLearning:
    """Return the campaign of a learned model, for all inputs with the first baseline."""
    strings, prior = values.LEARNED[task.estimator]
    return prepare_learning(
        model,
        engine=engine,
        shots=task.shots or None,
        inputs=np.concatenate([x for x, _ in parts]),
        baseline=0 if len(parts) > 1 else parts[0][1],
        strings=strings,
        prior=prior,
        mitigation=_corrections(task.mitigation, task.run_seed),
        seed=task.run_seed,
    )


def price(task: Task) -> dict[str, str]:
    """Return the cost of a task, whose circuits are compiled for it; a real processor is not asked."""
    if task.given[2].startswith("google:"):
        return dict.fromkeys(_PRICED, "?")
    key = (*task.given, task.inputs, task.baseline, task.estimator, task.mitigation, task.shots)
    if key not in _PRICES:
        model, parts = _resolved(task)
        engine: Engine = values.parse_engine(task.given[2], task.run_seed, device=task.device)
        found = None
        if task.is_learned:
            campaign = _campaign(task, model, parts, engine)
            circuits = campaign.campaign.circuits
            if task.shots:
                found = campaign.run_resources()
        else:
            ((x, baseline),) = parts
            options: dict[str, Any] = {"estimator": values.parse_estimator(task.estimator), "baseline": baseline}
            options["mitigation"] = _mitigation(task.mitigation, task.run_seed)
            found = hq.prepare(model, x, engine=engine, shots=task.shots or None, **options).run_resources()
        if found is not None:
            circuits = found.circuits + found.mitigation_circuits
        gates = "-" if found is None or found.routed is None else f"{found.routed.largest}"
        counts = (f"{circuits:,}", f"{found.shots:,}" if found is not None and task.shots else EXACT, gates)
        _PRICES[key] = dict(zip(_PRICED, counts, strict=True))
    return _PRICES[key]


_PRICES: dict[tuple[object, ...], dict[str, str]] = {}


def _level(task: Task) -> str:
    return str(task.shots) if task.shots else EXACT


Results = Sequence[Done[Any]]


def groups(done: Results, metric: str) -> list[FloatArray]:
    """Return a metric of every map, one group per input, whose values are those of its seeds and repeats."""
    of: dict[tuple[object, ...], list[FloatArray]] = {}
    for d in done:
        for i, runs in enumerate(metric_of_maps(d.result, _level(d.task), metric)):
            of.setdefault((*(getattr(d.task, name) for name in _SCOPE), i), []).append(runs)
    return [np.concatenate(runs) for runs in of.values()]


def _cost(done: Results) -> dict[str, float]:
    """Return the mean cost per input and run, calibrations included, and the gates of the largest circuit."""
    costs = [cost for d in done for cost in d.result["maps"][_level(d.task)]["cost"]]
    inputs = sum(len(d.result["exact"]) for d in done)
    totals = [sum(c[kind] + c[f"mitigation_{kind}"] for c in costs) / inputs for kind in ("circuits", "shots")]
    return dict(zip(_COSTS, (*totals, max(c["two_qubit_gates"] for c in costs)), strict=True))


def _shown(task: Task, name: str) -> str:
    """Return a setting of a task as tables show it: models, data and engines as the plan names them."""
    if name in ("model", "data", "engine"):
        text = task.given[("model", "data", "engine").index(name)]
        path = re.sub(r"/model\.json$", "", text)
        return Path(path).name if name == "model" and "/" in path else text
    return _level(task) if name == "shots" else str(getattr(task, name))


def _varying(done: Results) -> tuple[str, ...]:
    """Return the settings, besides inputs, seeds and repeats, that differ between tasks, and always the mitigation."""
    names = ("model", "data", "baseline", *_PIPELINE)
    return tuple(name for name in names if name == "mitigation" or len({getattr(d.task, name) for d in done}) > 1)


def _by_scope(done: Results) -> list[Done[Any]]:
    """Return results in which a campaign is one result per selection of inputs and baseline, with its share of the cost."""
    return [part for d in done for part in ([d] if len(d.task.scopes) == 1 else _split(d))]


def _split(done: Done[Any]) -> Iterator[Done[Any]]:
    """Yield the results of a campaign for each selection of inputs and each baseline."""
    task, level = done.task, _level(done.task)
    maps, exact = done.result["maps"][level], done.result["exact"]
    ends = np.cumsum([0, *done.result["parts"]]).tolist()
    for (inputs, baseline), start, end in zip(task.scopes, ends[:-1], ends[1:], strict=True):
        share, rows = (end - start) / ends[-1], slice(start, end)
        own = {name: maps[name][rows] for name in ("values", "stderr", "half_width", "gap")}
        own["cost"] = [
            {kind: value if kind == "two_qubit_gates" else value * share for kind, value in cost.items()}
            for cost in maps["cost"]
        ]
        part = replace(task, inputs=inputs, baseline=baseline)
        yield replace(done, task=part, result={**done.result, "exact": exact[rows], "maps": {level: own}})


def summarise(done: Results) -> Findings:
    """Return the table of pipelines, that of each model or data set if there are several, and figures."""
    done = _by_scope(done)
    varying = _varying(done)
    pipelines = tuple(name for name in varying if name in _PIPELINE)
    tables = [_table(done, pipelines, "all models and data sets" if varying != pipelines else "")]
    if varying != pipelines:
        tables.append(_table(done, varying, "each model, data set and baseline by itself"))
    engines = {d.task.given[2] for d in done}
    return Findings(
        findings=list(_findings(done, pipelines)),
        not_claimed=(
            "That other models, inputs or processors behave alike: the intervals are those of the inputs of this study.",
            "Errors that maps share between runs, such as those of a placement, vary only between the inputs.",
            *([_COMMON] if any(d.task.is_learned for d in done) else []),
            *(["Anything about hardware: everything was simulated."] if not any(map(_is_real, engines)) else []),
        ),
        tables=tables,
        pictures=_pictures(done, pipelines),
        settings={
            "models": _listed(done, "model"),
            "data sets": _listed(done, "data"),
            "engines": _listed(done, "engine"),
        },
        assumptions={
            "exact map": "of the model without noise, from the same baseline",
            "intervals in brackets": "95%, bootstrap over inputs and, within each, over seeds and repeats",
            "coverage": "share of the features whose interval(0.95) holds the exact value",
            "signs": "share of the features of at least a tenth of the largest exact value whose sign is right",
        },
    )


def _is_real(engine: str) -> bool:
    return engine.startswith("google:")


def _listed(done: Results, name: str) -> str:
    return ", ".join(dict.fromkeys(_shown(d.task, name) for d in done))


def _rows(done: Results, names: Sequence[str]) -> Iterator[tuple[list[str], Results, dict[str, Interval]]]:
    """Yield the settings, the tasks and the metrics of each pipeline."""
    for mine in done_by(done, names[0], *names[1:]).values():
        yield (
            [_shown(mine[0].task, name) for name in names],
            mine,
            {metric: nested_estimate(groups(mine, metric)) for metric in METRICS},
        )


def _table(done: Results, names: Sequence[str], scope: str) -> Table:
    rows = []
    for settings, mine, metrics in _rows(done, names):
        cost = _cost(mine)
        cells = [with_interval(*interval) for interval in metrics.values()]
        maps = str(sum(len(d.result["exact"]) for d in mine))
        rows.append((*settings, maps, *cells, *(f"{cost[kind]:,.0f}" for kind in _COSTS)))
    return Table(
        f"Maps against the exact ones{': ' * bool(scope)}{scope}. Means over inputs, seeds and repeats with 95% intervals, "
        "bootstrap over both. Circuits and shots are those of one map, its share of calibrations and campaigns included; gates "
        "are those of the largest compiled circuit.",
        (*names, "maps", *METRICS.values(), *_COSTS),
        tuple(rows),
    )


def _findings(done: Results, names: Sequence[str]) -> Iterator[str]:
    """Yield sentences on the best pipeline and on the intervals."""
    rows = list(_rows(done, names))
    order = sorted(rows, key=lambda row: row[2]["error"][0])
    for word, (settings, mine, metrics) in (("smallest", order[0]), ("largest", order[-1]))[: len(order)]:
        cost = _cost(mine)
        yield (
            f"The {word} relative L2 error is {with_interval(*metrics['error'])}, with {_named(names, settings)}: cosine "
            f"{with_interval(*metrics['cosine'])}, signs right {with_interval(*metrics['signs'])}, "
            f"{cost[_COSTS[0]]:,.0f} circuits and {cost[_COSTS[1]]:,.0f} shots per map."
        )
    counted = [row for row in rows if row[1][0].task.shots]
    if counted:
        low = min(counted, key=lambda row: row[2]["coverage"][0])
        held = sum(row[2]["coverage"][0] >= 0.93 for row in counted)
        yield (
            f"The 95% intervals hold at least 93% of the exact values for {held} of {len(counted)} pipelines; the least is "
            f"{with_interval(*low[2]['coverage'])}, with {_named(names, low[0])}."
        )


def _named(names: Sequence[str], settings: Sequence[str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, settings, strict=True))


def _pictures(done: Results, names: Sequence[str]) -> tuple[Picture, ...]:
    lines = tuple(name for name in names if name != "shots")
    estimates: dict[str, dict[str, Interval]] = {}
    costs: dict[str, dict[str, float]] = {}
    counts = list(dict.fromkeys(_level(d.task) for d in done))
    for settings, mine, metrics in _rows(done, (*lines, "shots")):
        label = " · ".join(settings[:-1])
        count = settings[-1] if settings[-1] == EXACT else f"{int(settings[-1]):,} shots"
        estimates.setdefault(label, {})[count] = metrics["error"]
        costs[label] = {kind: max(value, 0.5) for kind, value in _cost(mine).items()}
    first = done[0].task
    same = [d for d in done if all(getattr(d.task, n) == getattr(first, n) for n in (*_SCOPE, "seed", "repeat"))]
    level = _level(first)
    maps: dict[str, tuple[FloatArray, FloatArray]] = {}
    for d in same:
        if _level(d.task) == level and len(maps) < _LINES:
            stored = d.result["maps"][level]
            maps[" · ".join(_shown(d.task, n) for n in lines)] = (
                np.array(stored["values"][0][0]),
                np.array(stored["half_width"][0][0]),
            )
    title = f"{_shown(first, 'model')}, first of {first.inputs}, {level}{'' if level == EXACT else ' shots'}"
    pictures = [
        Picture(
            png(figures.cost_figure(estimates, costs)),
            "Relative L2 error of each pipeline with its 95% interval, one mark per number of shots, beside its cost at the "
            "last of them.",
            "Rows of errors with intervals, the smallest on top, beside circuits, shots and two-qubit gates",
            "errors_and_cost",
        ),
        Picture(
            png(figures.map_figure(maps, np.array(done[0].result["exact"][0]), title)),
            "One input's map by each pipeline and exact; above each its relative error, and the one that both parts of its own "
            "error predict. Crosses mark features outside their 95% intervals.",
            "Heat maps of one attribution side by side, measured by each pipeline and exact",
            "maps",
        ),
    ]
    if len(counts) > 1 and EXACT not in counts and len(estimates) <= _LINES:
        panel = {label: dict(zip(map(int, counts), by.values(), strict=True)) for label, by in estimates.items()}
        pictures.append(
            Picture(
                png(figures.error_figure({"all inputs": panel}, width=5.0)),
                "Error of maps against shots for each pipeline, with 95% intervals.",
                "Lines of the relative error against shots, one line per pipeline",
                "errors_against_shots",
            )
        )
    return tuple(pictures)


def files(done: Results) -> Mapping[str, str]:
    """Return two tables of numbers as CSV: one row per pipeline, model, data set and baseline, and one row per map."""
    done = _by_scope(done)
    names = ("model", "data", "baseline", *_PIPELINE)
    ends = [column for metric in METRICS for column in (metric, f"{metric} low", f"{metric} high")]
    table = [(*names, "maps", *ends, *_COSTS)]
    for settings, mine, metrics in _rows(done, names):
        cells = [repr(number) for value, ends_of in metrics.values() for number in (value, *ends_of)]
        maps = sum(len(d.result["exact"]) for d in mine)
        table.append((*settings, str(maps), *cells, *(repr(value) for value in _cost(mine).values())))
    own = [each.name for each in fields(Task) if each.compare]
    rows = [(*own, "input", *METRICS)]
    for d in done:
        measured = {metric: metric_of_maps(d.result, _level(d.task), metric)[:, 0] for metric in METRICS}
        for i in range(len(d.result["exact"])):
            numbers = (repr(float(measured[metric][i])) for metric in METRICS)
            rows.append((*(_shown(d.task, name) for name in own), str(i), *numbers))
    return {"table.csv": _csv(table), "maps.csv": _csv(rows)}


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


STUDY = Study(
    "mitigation",
    __doc__,
    tasks,
    run,
    summarise,
    options=add_plan_options,
    keeps_journals=True,
    price=price,
    files=files,
    shown=_shown,
)
