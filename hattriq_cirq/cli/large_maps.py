"""Maps of many inputs, part by part: neither the inputs nor the maps are in memory together.

The maps of each part are a file in the folder `parts`, complete or absent, so that a run that stopped goes on with the parts
that are missing. At the end they are put together, one after the other, and removed.
"""

from __future__ import annotations

import csv
import io
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

import hattriq_cirq as hq
from hattriq_cirq.cli.run_folder import RunFolder
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.progress import progress
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.reporting.records import ATTRIBUTION, SCORES

LISTED = 32  # inputs that run.json lists and commands print, of a large run
PART = 2**22  # numbers of the maps of a part, and of the largest run without parts
_COLUMNS = ("f_input", "f_baseline", "completeness_gap", "completeness_gap_stderr")


@dataclass(frozen=True)
class ScoreSummary:
    """Sums of the scores of inputs, which parts are added to.

    Args:
        count: Number of inputs.
        right: Number of inputs whose score has the sign of their label; None if it has no sign, or the labels are not known.
        largest_gap: Largest completeness gap by its absolute value.
        squared_gaps: Sum of the squares of the completeness gaps.
    """

    count: int = 0
    right: int | None = 0
    largest_gap: float = 0.0
    squared_gaps: float = 0.0

    def plus(self, a: hq.Attribution, labels: Array | None) -> ScoreSummary:
        """Return the sums with those of the inputs of a part, whose labels are None if they are not known."""
        gaps, has_sign = a.completeness_gap, not a.assumptions.head.startswith("sigmoid")
        right = None
        if self.right is not None and labels is not None and has_sign:
            right = self.right + int(np.sum(a.f_input * labels > 0))
        largest = max(self.largest_gap, float(np.abs(gaps).max()))
        return ScoreSummary(self.count + len(a), right, largest, self.squared_gaps + float(np.sum(gaps**2)))

    def __str__(self) -> str:
        root = np.sqrt(self.squared_gaps / self.count)
        text = f"{quantity(self.count, 'input')}: completeness gap at most {self.largest_gap:.1e}, root mean square {root:.1e}"
        if self.right is None:
            return text
        return f"{text}; {self.right / self.count:.1%} of the scores have the sign of their label"


def is_large(indices: Array, features: int) -> bool:
    """Return True for so many inputs that their maps are computed and written part by part."""
    return len(indices) * features > PART


def write_maps(
    folder: RunFolder, indices: Array, labels: Array | None, features: int, attribution: Callable[[Array], hq.Attribution]
) -> ScoreSummary:
    """Write the maps and the scores of many inputs into the folder of a run; finished parts are not computed again.

    Args:
        folder: Folder of the run.
        indices: (inputs,) Samples that are attributed.
        labels: (inputs,) Their labels, -1 or +1; None if they are not known.
        features: Number of features.
        attribution: Function that returns the attribution of samples, by their indices.

    Returns:
        The summary of the scores.
    """
    step = max(1, PART // features)
    bounds = [(start, min(start + step, len(indices))) for start in range(0, len(indices), step)]
    files = [_parts_of(folder.path) / f"{start}-{stop}.npz" for start, stop in bounds]
    done, warned = 0, set[str]()
    with progress("attribute inputs", "input", total=len(indices)) as advance:
        try:
            for file, (start, stop) in zip(files, bounds, strict=True):
                if not file.exists():
                    with _each_warning_once(warned):
                        attribution(indices[start:stop]).save(file)
                done = stop
                advance(stop - start)
        except BaseException as error:
            error.add_note(f"{done} of {quantity(len(indices), 'input')} are done; the same command goes on from there")
            raise
    folder.write(ATTRIBUTION, lambda file: hq.Attribution.join(files, file))
    summaries: list[ScoreSummary] = []
    folder.write(SCORES, lambda file: summaries.append(_write_scores(file, files, indices, labels)))
    return summaries[-1]


@contextmanager
def _each_warning_once(known: set[str]) -> Iterator[None]:
    """Pass on the warnings of a block whose texts are not known yet: those of a model are the same for each part."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for each in caught:
        if (text := str(each.message)) not in known:
            known.add(text)
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def remove_parts(folder: Path) -> None:
    """Remove the parts of a run whose results are written."""
    shutil.rmtree(_parts_of(folder), ignore_errors=True)


def _parts_of(folder: Path) -> Path:
    return folder / "parts"


def _write_scores(path: Path, files: Sequence[Path], indices: Array, labels: Array | None) -> ScoreSummary:
    """Write a table with one line per input, its number in the maps, its sample, its label and its scores, and sum these up."""
    summary = ScoreSummary()

    def write(file: IO[bytes]) -> None:
        nonlocal summary
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("input", "sample", "label", *_COLUMNS))
        for part in files:
            a, start = hq.Attribution.load(part), summary.count
            stop = start + len(a)
            own = None if labels is None else labels[start:stop]
            summary = summary.plus(a, own)
            known = [""] * len(a) if own is None else own.tolist()
            numbers = (getattr(a, name).tolist() for name in _COLUMNS)
            writer.writerows(zip(range(start, stop), indices[start:stop].tolist(), known, *numbers, strict=True))
        text.detach()

    write_new(path, write)
    return summary
