"""Runs of the command line as sections of a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import hattriq_cirq as hq
from hattriq_cirq.cli.pictures import GALLERY, TESTS, TRAINING, draw_gallery, draw_tests, draw_training
from hattriq_cirq.cli.records import how_to_continue
from hattriq_cirq.cli.run_folder import read_picture
from hattriq_cirq.cli.tables import data_contract, learning_texts
from hattriq_cirq.datasets.labels import class_names_of
from hattriq_cirq.execution.journal_records import JOURNAL
from hattriq_cirq.foundation.arrays import FloatArray, largest_first, normal_interval
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.learned import origin
from hattriq_cirq.reporting.document import FILE, Picture, Section, Table, assumption_texts, cost_table
from hattriq_cirq.reporting.maps import Maps
from hattriq_cirq.reporting.plotting import png
from hattriq_cirq.reporting.records import (
    GRADIENT,
    LEARNED,
    RESULT_OF,
    SCORES,
    Record,
    begun_command,
    model_file,
    read_record,
    training_run,
)
from hattriq_cirq.workflows.accuracies import Accuracy, table_of_accuracies

#: Largest completeness gap that is allowed where nothing was sampled.
TOLERANCE = 1e-9
_EXPECTED = "give the folder of a study, of one of its reports, or of `hattriq train`, `attribute`, `gradient` or `learn`"
_COEFFICIENTS = 12  # of a learned observable that are listed
_STANDARD_ERRORS = 5.0  # largest distance of a sampled gap from 0
_LEVEL = 0.95  # of intervals
_CAMPAIGN = "The campaign of the learned model, once for all inputs"
_NO_HARDWARE = "Anything about a quantum processor: everything was simulated."


def load_section(folder: Path) -> Section:
    """Return the section of a run or of a study.

    Args:
        folder: Folder of the run, of the study or of one report of the study.

    Returns:
        The section; the newest one of a study.

    Raises:
        FileNotFoundError: The folder does not exist, or one of its files is missing.
        ValueError: The folder holds nothing to report, or a damaged file.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; {_EXPECTED}")
    if (folder / FILE).is_file():
        return Section.load(folder)
    if (folder / "run.json").is_file():
        return run_section(folder)
    if reports := list(folder.glob(f"report-*/{FILE}")):
        return Section.load(max((file.parent for file in reports), key=lambda report: report.stat().st_mtime_ns))
    if (folder / JOURNAL).is_file() and not (folder / JOURNAL).stat().st_size:
        raise ValueError(f"{folder} holds a run that stopped at once; repeat the command that began it")
    if (folder / JOURNAL).is_file():
        raise ValueError(f"{folder} holds a run that is not finished; {how_to_continue(folder)}")
    if command := begun_command(folder):
        raise ValueError(f"{folder} holds a run that did not end; repeat its `hattriq {command}` to go on")
    if (folder / "tasks").is_dir():
        raise ValueError(
            f"{folder} holds results of a study but no report yet; finish it: "
            f"python -m experiments {folder.resolve().name} --out {folder.parent}, with the options or the plan it began with"
        )
    raise ValueError(f"{folder} holds nothing to report; {_EXPECTED}")


def run_section(folder: Path, tolerance: float = TOLERANCE) -> Section:
    """Return the section of a run of `hattriq train`, `attribute`, `gradient` or `learn`.

    Args:
        folder: Folder of the run.
        tolerance: Largest completeness gap that is allowed where nothing was sampled.

    Returns:
        The section. The accuracies of the run that trained the model stand beside its maps, if that run is where it was.
        Pictures that are missing or damaged are drawn again from the results.

    Raises:
        FileNotFoundError: A result is missing.
        ValueError: A file is damaged.
    """
    file, results = folder / "run.json", tuple(RESULT_OF.values())
    if not any((folder / name).is_file() for name in results):
        raise FileNotFoundError(f"{folder} holds a run.json and no {' or '.join(results)}; restore the folder from a copy")
    record = read_record(file)
    try:
        if record["command"] == "train":
            return _training(folder, record)
        if record["command"] == "learn":
            return _learning(folder, record, hq.LearnedModel.load(folder / LEARNED))
        if record["command"] == "gradient":
            return _gradient(record, hq.Gradient.load(folder / GRADIENT))
        return _attribution(folder, record, hq.Attribution.load(folder / "attribution.npz"), tolerance)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not as hattriq wrote it: {error!r}; repeat the run in another folder") from error


def _training(folder: Path, record: Record) -> Section:
    training, data = record["training"], record["data"]
    best = training["best_epoch"] + 1  # recorded as an index of the history, and shown as in the picture and the table
    numbers = (training["epochs"], best, f"{training['seconds']:.1f}")
    return Section(
        title=f"Training on {data['name']}",
        question=f"How well does a trained quantum model distinguish the classes? {data['summary']}",
        findings=(
            f"Training ran for {quantity(training['epochs'], 'epoch')} (stopped by {training['stopped']}); the parameters of "
            f"epoch {best} were kept.",
        ),
        not_claimed=("An accuracy beyond this split and this seed.", _NO_HARDWARE),
        accuracy=_accuracies(record),
        pictures=(_training_picture(folder, record),),
        cost=Table("Training, on this machine.", ("epochs", "best epoch", "seconds"), (numbers,)),
        settings={"data": data["spec"], **record["settings"]},
        assumptions={"model": record["model"], "loss": "logistic loss of the exact score"},
        provenance=_provenance(record),
    )


def _learning(folder: Path, record: Record, learned: hq.LearnedModel) -> Section:
    data, settings = record["data"], record["settings"]
    limits = [
        "A speed-up: where the list of strings is short enough to be learned, the observable can as a rule be computed too. "
        "The device adds what its own circuit computes."
    ]
    if not settings["engine"].startswith("google:"):
        limits.append(_NO_HARDWARE)
    limit = record["plan"] and {"predicted error of a map": f"{record['plan']['error']:.3g} of its norm"}
    return Section(
        title=f"Learned observable of a model of {data['name']}",
        question="Which observable does the processor compute for this model, so that maps of any input follow from it? "
        + data["summary"],
        findings=_learning_findings(record),
        not_claimed=tuple(limits),
        accuracy=_accuracies(record),
        pictures=(_tests_picture(folder, record),),
        tables=(_coefficients(learned),),
        cost=cost_table(record["cost"], "The campaign, once for all inputs"),
        settings={"data": data["spec"], "model": record["model"]["path"], **settings, **(limit or {})},
        assumptions={
            "model": record["model"]["repr"],
            "mitigation": learned.record.mitigation,
            "calibration": str(learned.record.calibration_id),
            "notes": " ".join(learned.record.notes),
        },
        provenance=_provenance(record),
    )


def _learning_findings(record: Record) -> tuple[str, ...]:
    """Return how much of a learned observable the device gave, and what its tests found."""
    learning = record["learning"]
    return (f"How much the device gave: {origin(learning['strings'], learning['prior'])}.", *learning_texts(record))


def _coefficients(learned: hq.LearnedModel) -> Table:
    """Return the table of the largest coefficients."""
    largest = largest_first(learned.coefficients)[:_COEFFICIENTS]
    stderr = np.sqrt(learned.covariance.diagonal())
    low, high = normal_interval(learned.coefficients, stderr, _LEVEL)
    texts = learned.strings.texts
    rows = [(texts[i], _interval_text(float(learned.coefficients[i]), low[i], high[i], "+.4f")) for i in largest]
    return Table(
        f"Largest of {quantity(len(texts), 'coefficient')} of the learned observable. Brackets are 95% intervals.",
        ("Pauli string", "coefficient"),
        tuple(rows),
    )


def _gradient(record: Record, gradient: hq.Gradient) -> Section:
    data, n = record["data"], gradient.real.shape[-1]
    contract, (low, high) = gradient.contract or DataContract(), gradient.interval()
    rows = []
    for i, sample in enumerate(record["inputs"]["indices"]):
        parts = (("c", gradient.real[i], low[i].real, high[i].real), ("d", gradient.imag[i], low[i].imag, high[i].imag))
        for by, values, least, most in parts:
            k = int(np.argmax(np.abs(values)))
            value = _interval_text(float(values[k]), least[k], most[k], "+.4f")
            rows.append((str(sample), f"dF/d{by}_{k}", contract.feature_name(k, n), value))
    limits = [] if record["settings"]["engine"].startswith("google:") else [_NO_HARDWARE]
    return Section(
        title=f"Gradients at inputs of {data['name']}",
        question=f"How does the score change with each amplitude x_k = c_k + i d_k? {data['summary']}",
        findings=tuple(record["notes"]),
        not_claimed=("That a large derivative makes a feature important: an attribution averages it along a path.", *limits),
        tables=(
            Table(
                "The largest derivative of each input by a real part of an amplitude, and by an imaginary part. Brackets are "
                "95% intervals, of both parts of the error.",
                ("sample", "derivative", "feature", "value"),
                tuple(rows),
            ),
        ),
        cost=cost_table(record["cost"]),
        settings={"data": data["spec"], "model": record["model"]["path"], **record["settings"]},
        assumptions={"gradient": "dF/dc_k = 2 Re(Mx)_k and dF/dd_k = 2 Im(Mx)_k"},
        provenance=_provenance(record),
    )


def _attribution(folder: Path, record: Record, a: hq.Attribution, tolerance: float) -> Section:
    data, settings = record["data"], record["settings"]
    minus, plus = data["label_names"]
    is_complete = np.abs(a.completeness_gap) <= tolerance + _STANDARD_ERRORS * a.completeness_gap_stderr
    verdict = "holds" if is_complete.all() else f"fails for {np.sum(~is_complete)} of {quantity(len(a), 'input')}"
    allowed = f"{tolerance:.0e}" + (f" plus {_STANDARD_ERRORS:g} standard errors" if a.completeness_gap_stderr.any() else "")
    caption = f"Inputs above their signed maps. Red pushes towards +1 ({plus}), blue towards -1 ({minus})."
    alt = f"Pictures of inputs of {data['name']}, and below each its attribution map in red and blue"
    gallery = read_picture(folder / GALLERY) or png(draw_gallery(a, record["inputs"].get("labels"), data))
    pictures = [Picture(gallery, caption, alt, "gallery")]
    used: dict[str, Any] = {"data": data["spec"], "model": record["model"]["path"]}
    limits = ["That a map explains the data: it explains the answers of this model."]
    trained = training_run(folder, record)
    if trained is None:
        used |= settings
        limits.append(f"How accurate the model is: the run that trained it is not at {record['model']['path']}.")
    else:
        is_learned = _serves_all(trained)
        pictures.append((_tests_picture if is_learned else _training_picture)(*trained))
        used |= {f"attribution: {name}": value for name, value in settings.items()}
        used |= {f"{'learning' if is_learned else 'training'}: {name}": value for name, value in trained[1]["settings"].items()}
    if not record["assumptions"]["engine"].startswith("google:"):
        limits.append(_NO_HARDWARE)
    return Section(
        title=f"Attribution maps of {data['name']}",
        question="How much does each feature, encoded in an amplitude, push the model's answer up or down? " + data["summary"],
        findings=(
            f"Completeness {verdict}: the values of a map sum to the score of the input minus the score of the baseline. The "
            f"largest gap of {quantity(len(a), 'input')} is {np.max(np.abs(a.completeness_gap)):.1e}; at most {allowed} is "
            "allowed.",
            *(_learning_findings(trained[1]) if trained is not None and _serves_all(trained) else ()),
        ),
        not_claimed=tuple(limits),
        accuracy=None if trained is None else _accuracies(trained[1]),
        pictures=tuple(pictures),
        tables=(_inputs(record, a, is_complete),),
        cost=cost_table(record["cost"], _CAMPAIGN if _serves_all(trained) else "Total of all inputs"),
        settings=used,
        assumptions={**assumption_texts(record["assumptions"]), "model": record["model"]["repr"]},
        provenance=_provenance(record),
        maps=_maps(record, a),
    )


def _maps(record: Record, a: hq.Attribution) -> Maps:
    """Return the maps of the listed inputs, with the names of the data set where the attribution has none."""
    data, inputs = record["data"], record["inputs"]
    if a.contract is None:
        a = replace(a, contract=data_contract(data))
    labels = class_names_of(inputs["labels"], data["label_names"]) if "labels" in inputs else None
    samples = [f"Input {index}" for index in inputs["indices"]]
    return Maps.of([a[: len(samples)]], samples=samples, labels=labels)


def _accuracies(record: Record) -> Table:
    rows = [Accuracy(**row) for row in record["accuracies"]]
    return table_of_accuracies(rows, record["data"]["train"], record["data"]["test"])


def _score(score: FloatArray, stderr: FloatArray | None) -> str:
    """Return a score as text, with its interval if it was measured."""
    if stderr is None:
        return f"{float(score):+.4f}"
    return _interval_text(float(score), *normal_interval(score, stderr, _LEVEL), "+.4f")


def _inputs(record: Record, a: hq.Attribution, is_complete: np.ndarray[Any, np.dtype[np.bool_]]) -> Table:
    """Return the table of inputs, each with its scores, its gap and its largest feature."""
    rows = []
    inputs = record["inputs"]
    listed = len(inputs["indices"])
    labels = [f"{label:+d}" for label in inputs["labels"]] if "labels" in inputs else ["-"] * listed
    for index, label, one, holds in zip(inputs["indices"], labels, a[:listed], is_complete[:listed], strict=True):
        ((feature, value),) = one.top(1)
        scores = (_score(one.f_input, one.f_input_stderr), _score(one.f_baseline, one.f_baseline_stderr))
        low, high = normal_interval(one.completeness_gap, one.completeness_gap_stderr, _LEVEL)
        gap = _interval_text(float(one.completeness_gap), low, high, ".1e")
        low, high = one.interval(_LEVEL)
        largest = _interval_text(value, low[feature], high[feature], "+.4f")
        verdict = "holds" if holds else "fails"
        rows.append((str(index), label, *scores, gap, verdict, str(feature), largest))
    errors = "Brackets are 95% intervals." if a.stderr.any() else "Nothing was sampled."
    if a.systematic is not None:
        sizes = f"standard errors at most {np.max(a.stderr):.1e}, systematic parts at most {np.max(a.systematic):.1e}"
        errors += f" Those of values include what noise and its correction may leave: {sizes}."
    if "summary" in inputs:
        errors += f" The first {listed} inputs are listed, and {SCORES} holds all. {inputs['summary']}."
    return Table(
        "Scores of input and baseline, the gap between their difference and the sum of the map, and the largest value of the "
        f"map. {errors}",
        ("sample", "label", "F(input)", "F(baseline)", "gap", "completeness", "largest at", "its value"),
        tuple(rows),
    )


def _interval_text(value: float, low: FloatArray, high: FloatArray, digits: str) -> str:
    return f"{value:{digits}}" + (f" [{low:{digits}}, {high:{digits}}]" if high > low else "")


def _serves_all(trained: tuple[Path, Record] | None) -> bool:
    """Return True for the run of a model that was learned."""
    return trained is not None and trained[1]["command"] == "learn"


def _provenance(record: Record) -> dict[str, str]:
    provenance = record["provenance"]
    return {"created (UTC)": provenance["created_utc"], **provenance["versions"]}


def _tests_picture(folder: Path, record: Record) -> Picture:
    file = folder / TESTS
    picture = read_picture(file)
    if picture is None:
        model = None if record["comparison"] is None else model_file(folder, record)
        learned = hq.LearnedModel.load(folder / LEARNED)
        picture = png(draw_tests(learned, None if model is None else hq.Model.load(model)))
    caption = "Outcomes of probes against predictions by the fit and by the exact model; red where the 95% interval misses it."
    return Picture(picture, caption, "Measured against predicted outcomes of probes, scattered about the diagonal", "tests")


def _training_picture(folder: Path, record: Record) -> Picture:
    curves = read_picture(folder / TRAINING) or png(draw_training(folder, record))
    caption = "Loss and accuracy on the training set after each epoch."
    return Picture(curves, caption, "Curves of " + caption[0].lower() + caption[1:], "training")
