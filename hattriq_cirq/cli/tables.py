"""Tables that commands print, and the names that stand in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import hattriq_cirq as hq
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.display import clipped, printable
from hattriq_cirq.foundation.text import aligned, quantity
from hattriq_cirq.reporting.records import SCORES, Record

_NAME_LENGTH = 48  # characters of a name in a table


def class_names(label_names: Iterable[str]) -> tuple[str, str] | None:
    """Return the names of the classes -1 and +1; None where they have no other names."""
    minus, plus = label_names
    return None if (minus, plus) == ("-1", "+1") else (minus, plus)


def data_contract(data: Record) -> DataContract:
    """Return what the record of a data set of any version says about its form."""
    return DataContract(
        features=data["details"].get("features_given"),
        columns=data["details"].get("columns") or None,
        classes=class_names(data["label_names"]),
        image_shape=data["image_shape"],
    )


def feature_table(a: hq.Attribution, count: int) -> str:
    """Return the features of one input with the largest attribution as lines of text, with their names and errors.

    Args:
        a: Attribution of one input.
        count: Number of features, at most.
    """
    bits, contract, shape = (a.n_features - 1).bit_length(), a.contract, None if a.contract is None else a.contract.image_shape
    columns = () if contract is None else contract.columns or ()
    has_units = contract is not None and any(contract.units or ())
    low, high = a.interval()
    is_measured = bool((high > low).any())
    header = ["feature", "name" if columns else "bits", *(["unit"] if has_units else []), *(["row", "col"] if shape else [])]
    lead = len(header) - (2 if shape else 0)
    header += ["amplitude", "attribution", *(["95% interval"] if is_measured else []), "std. error"]
    rows = [header + (["systematic"] if a.systematic is not None else [])]
    for each in a.top(count):
        k = each.feature
        row = [str(k), clipped(each.name, _NAME_LENGTH) if columns else f"{k:0{bits}b}"]
        row += [clipped(each.unit, _NAME_LENGTH)] if has_units else []
        row += map(str, divmod(k, shape[1])) if shape else ()
        row += [f"{a.x[k]:+.5f}" if a.knows_input else "unknown", f"{each.value:+.6f}"]
        row += [f"[{low[k]:+.6f}, {high[k]:+.6f}]"] if is_measured else []
        row += [f"{a.stderr[k]:.1e}", *([] if a.systematic is None else [f"{a.systematic[k]:.1e}"])]
        rows.append(row)
    return aligned(rows, right=lead)


def derivative_table(gradient: hq.Gradient, index: int, count: int) -> str:
    """Return the largest derivatives of one input by real and imaginary parts as lines of text, with their names and errors.

    Args:
        gradient: Gradient of a batch.
        index: Number of the input.
        count: Number of derivatives, at most.
    """
    contract, n = gradient.contract or DataContract(), gradient.real.shape[-1]
    low, high = gradient.interval()
    derivatives = []
    for part, by, first in (("real", "c", 0), ("imag", "d", n)):
        columns = (getattr(gradient, part), getattr(low, part), getattr(high, part), getattr(gradient, f"{part}_stderr"))
        rows = zip(*(each[index].tolist() for each in columns), strict=True)
        derivatives += [(f"dF/d{by}_{k}", k, first + k, *row) for k, row in enumerate(rows)]
    shown = sorted(derivatives, key=lambda each: -abs(each[3]))[:count]
    is_measured = any(high > low for *_, low, high, _ in shown)
    header = ["derivative", "name", "value", *(["95% interval", "std. error"] if is_measured else [])]
    rows_of_text = [header + (["systematic"] if gradient.systematic is not None else [])]
    for text, k, place, value, least, most, stderr in shown:
        row = [text, clipped(contract.feature_name(k, n), _NAME_LENGTH), f"{value:+.6f}"]
        row += [f"[{least:+.6f}, {most:+.6f}]", f"{stderr:.1e}"] if is_measured else []
        row += [] if gradient.systematic is None else [f"{gradient.systematic[index][place]:.1e}"]
        rows_of_text.append(row)
    title = f"input {index}: the {len(shown)} largest of {2 * n} derivatives"
    return "\n".join([title, aligned(rows_of_text, right=2)])


def print_files(folder: Path) -> None:
    """Print the names of the files in a folder."""
    names = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    print(f"wrote {printable(folder)}{os.sep}: {', '.join(names)}")


def accuracy_table(rows: Iterable[Record]) -> str:
    """Return accuracies as lines of text."""
    lines = [f"{'accuracy':<22}{'train':>8}{'test':>8}"]
    for row in rows:
        train_text, test_text = ("-" if value is None else f"{value:.3f}" for value in (row["train"], row["test"]))
        note = f"  ({row['note']})" if row["note"] else ""
        lines.append(f"{row['classifier']:<22}{train_text:>8}{test_text:>8}{note}")
    return "\n".join(lines)


def print_scores(a: hq.Attribution, inputs: Mapping[str, Any]) -> None:
    """Print the scores and the completeness gap of each input, with errors of scores that were measured.

    Args:
        a: Attribution.
        inputs: Record of its inputs; of many inputs a summary is printed, and the first ones.
    """
    indices = inputs["indices"]
    labels = [f"{label:+d}" for label in inputs["labels"]] if "labels" in inputs else ["-"] * len(indices)
    if "summary" in inputs:
        print(inputs["summary"])
    title = "" if a.f_input_stderr is None else f"{'error':>9}"
    print(f"{'sample':>8}{'label':>7}{'F(input)':>12}{title}{'F(baseline)':>13}{title}{'gap':>11}{'std. error':>12}")
    a = a[: len(indices)]
    measured = [each for each in (a.f_input_stderr, a.f_baseline_stderr) if each is not None]
    texts = [[f"{error:>9.1e}" for error in own] for own in measured] or [[""] * len(a.f_input)] * 2
    columns = (indices, labels, a.f_input, texts[0], a.f_baseline, texts[1], a.completeness_gap, a.completeness_gap_stderr)
    for index, label, score, its, base, its_too, gap, error in zip(*columns, strict=True):
        print(f"{index:>8}{label:>7}{score:>+12.6f}{its}{base:>+13.6f}{its_too}{gap:>+11.1e}{error:>12.1e}")
    if inputs.get("count", 0) > len(indices):
        print(f"the first {len(indices)} of {inputs['count']} inputs are listed; {SCORES} holds all")


def learning_texts(record: Record) -> list[str]:
    """Return what the record of a learned model found, one sentence each; empty for another record."""
    if record.get("command") != "learn":
        return []
    tests = {
        "Does the fit describe the device? Of the held-out probes": record["held_out"],
        "Does the device compute the observable of the model? Of all probes": record["comparison"],
    }
    texts = [f"{question}, {test['verdict']} (p = {test['pvalue']:.2g})." for question, test in tests.items() if test]
    if not record["comparison"]:
        texts.append("The observable was not compared with that of the model, which is too large to be simulated here.")
    plan, maps = record["plan"], record["maps"]
    if maps:
        predicted = "" if plan is None else f" The shots alone were predicted to give {plan['error']:.3g} (root mean square)."
        median, most, cosine = (maps[name] for name in ("median_error", "percentile_90", "median_cosine"))
        texts.append(
            f"The maps of {quantity(maps['count'], 'test input')} differ from those of the simulated model by a median of "
            f"{median:.3g} of their norm, 90% of them by at most {most:.3g}; the median cosine is {cosine:.4f}.{predicted}"
        )
    return texts
