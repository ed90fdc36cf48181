"""`hattriq explain`: why a model answers so, on one page, from a table or from a model that was trained or learned."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.cli.help_lists import DATA_SETS

if TYPE_CHECKING:
    from hattriq_cirq.cli.explained_tables import Choices

_TOP_MAX = 1000


@dataclass(frozen=True)
class Explain:
    """Explain answers: from a table of your own, or of a model that was trained or learned.

    Of a table (.csv, .tsv, .txt, .parquet, or .npz with X and y), three tenths of the rows are kept for the test. A quantum
    classifier of all classes is trained on the others, compared with logistic regression on the same rows, and its answers are
    attributed to the columns, by their names. Numbers, categories, dates, missing values, semicolons and decimal commas are
    understood, and what was done is said. The folder of such a run explains new rows: `hattriq explain RUN new.csv`.

    Of the folder of `hattriq train` or `hattriq learn`, the answers are explained at once: one sentence for each input, maps,
    the strongest pairs of features, the least change to the decision boundary, what correlations between qubits contribute, and
    where in the circuit the answer arises. Nothing runs on a processor.

    The page report.html holds everything; the numbers are beside it as CSV files. A run on a table that stops goes on with
    the same command, and does not train again.

    Args:
        source (SOURCE): A table, or a model.json or learned.npz, or the folder of a run.
        rows (ROWS): New rows or data set to explain with the model of a run (default: those of its training).
        out (DIR): New or empty folder, or the folder of this run if it stopped (default: named after the source).
        label (COLUMN): Column with the labels of a table (default: the one that looks like it, which is said).
        target (CLASS): Class whose probability is explained, of a table (default: the predicted class of each row).
        layers (N|auto): Number of layers of the circuit that is trained on a table.
        top (N): Number of features in a sentence.
        data (DATA): Data set with the inputs of a model, as listed above; the same as ROWS.
        what (PART,...): Parts: maps, interactions, counterfactual, orders, layers (default: all that the model has; of a table,
            maps). Of a table the other parts are those of the score of the class that is explained, before it becomes a
            probability, and a least change leads to the next class.
        inputs (SIDE[:FROM:TO]): Inputs of one side, all of test or train or a slice (default: test:0:3 of a model, test:0:8 of
            a table, all:0:20 of new rows).
        index (I,J,...): Inputs by their numbers in the whole data set or table, from 0.
        baseline (NAME): Baseline, as of `hattriq attribute` (default: zero); of a table mean or zero (default: mean).
        open: Open the page in a browser at the end.
        seed (N): Random seed for the split and the training of a table, and for the baseline sample:COUNT.
        device (NAME): Device that trains the classifier of a table, cpu, cuda or cuda:1.

    Examples:
        hattriq explain my.csv
        hattriq explain my.csv --label diagnosis --out runs/why
        hattriq explain runs/why new_patients.csv
        hattriq explain runs/digits --out runs/why-digits
        hattriq explain runs/digits --what maps,counterfactual --index 3,17 --out runs/two
        hattriq explain runs/learned --data digits:pair=3/5 --out runs/why-learned
    """

    help_lists: ClassVar = (DATA_SETS,)

    source: str
    rows: str | None = None
    _: KW_ONLY
    out: str | None = None
    label: str | None = None
    target: str | None = None
    layers: str = "auto"
    top: int = 5
    data: str | None = None
    what: str | None = None
    inputs: str | None = field(default=None, metadata={"alias": "index"})
    baseline: str | None = None
    open: bool = False
    seed: Seed = 0
    device: str = "cpu"

    def run(self) -> int:
        """Explain the answers, write the page and the numbers, and print the sentences that answer."""
        from hattriq_cirq.foundation.checks import as_count
        from hattriq_cirq.foundation.devices import Device
        from hattriq_cirq.foundation.display import printable
        from hattriq_cirq.reporting.records import RECORD
        from hattriq_cirq.workflows import values

        as_count(self.top, "--top", 1, _TOP_MAX)
        Device.of(self.device)
        if self.layers != "auto":
            number = int(self.layers) if self.layers.isascii() and self.layers.isdecimal() else self.layers
            as_count(number, "--layers", 1, 1000)
        if self.inputs:
            values.check_inputs(self.inputs)
        if self.rows is not None and self.data is not None:
            raise ValueError(f"the rows are {self.rows!r} and --data {self.data!r}; give one of both")
        source, rows = Path(self.source), self.data if self.rows is None else self.rows
        if self.device != "cpu" and not _is_table(source):
            raise ValueError(f"--device {self.device!r} trains the classifier of a table, and {source} is none; leave it out")
        is_earlier = source.is_dir() and (source / "classifier.json").is_file() and (source / RECORD).is_file()
        name = Path(rows) if rows is not None and Path(rows).is_file() else source
        out = Path(self.out if self.out is not None else _folder_name(name.stem or "table"))
        if is_earlier or _is_table(source):
            answers = self._explain_table(source, rows, out, is_earlier=is_earlier)
        else:
            answers = self._explain_model(source, rows, out)
        print(*answers, sep="\n")
        print(f"report: {printable(out / 'report.html')} (open it in a browser; it needs no other file and no network)")
        if self.open:
            import webbrowser

            if not webbrowser.open((out / "report.html").resolve().as_uri()):
                print("no browser was found that could be started here")
        return 0

    def _explain_table(self, source: Path, rows: str | None, out: Path, *, is_earlier: bool) -> list[str]:
        """Explain rows of a table, by a classifier that is trained on it or was trained before."""
        from hattriq_cirq.cli import explained_tables

        if rows is not None and "orders" in self._parts:
            raise ValueError(f"--what {self.what!r}: orders are of the test rows of a training; leave out ROWS")
        if self.baseline not in (None, "mean", "zero"):
            raise ValueError(f"--baseline {self.baseline!r} must be mean or zero for a table")
        if not is_earlier and rows is not None:
            raise ValueError(
                f"{source} is a table to train on; explain it first, and then its folder: hattriq explain RUN ROWS"
            )
        if not is_earlier:
            return explained_tables.explain_table(source, self._choices(out, "test:0:8"))
        if self.label is not None or self.layers != "auto":
            raise ValueError(f"{source} holds a classifier that is trained; --label and --layers are for the table")
        choices = self._choices(out, "test:0:8" if rows is None else "all:0:20")
        return explained_tables.explain_rows(source, None if rows is None else Path(rows), choices)

    def _choices(self, out: Path, inputs: str) -> Choices:
        from hattriq_cirq.cli.explained_tables import Choices

        baseline = self.baseline or "mean"
        chosen = self.inputs or inputs
        parts = self._parts or ("maps",)
        return Choices(out, self.label, self.layers, chosen, baseline, self.target, self.top, self.seed, self.device, parts)

    @property
    def _parts(self) -> tuple[str, ...]:
        """Parts that are asked for; none for those that the model has."""
        from hattriq_cirq.workflows.explain import PARTS

        chosen = tuple(self.what.split(",")) if self.what else ()
        if not (set(chosen) <= set(PARTS) and len(set(chosen)) == len(chosen)):
            raise ValueError(f"--what {self.what!r} must be names of {', '.join(PARTS)}, with commas between them, each once")
        return chosen

    def _explain_model(self, source: Path, rows: str | None, out: Path) -> list[str]:
        """Explain inputs of a model that was trained or learned: all parts, with pictures and CSV files."""
        from hattriq_cirq.cli import model_data, run_folder, tables
        from hattriq_cirq.reporting.html import write_report
        from hattriq_cirq.workflows import values
        from hattriq_cirq.workflows.explain import PARTS, Explanation, impossible_parts

        for option, given in (("--label", self.label), ("--target", self.target)):
            if given is not None:
                raise ValueError(f"{option} {given!r} is for a table, and {source} is none; leave it out")
        baseline_text = self.baseline or "zero"
        values.check_baseline(baseline_text)
        chosen = self._parts
        folder = run_folder.check_run(out)
        if not source.exists():
            raise FileNotFoundError(f"no file or folder {source}; give a table such as my.csv, or the folder of a run")
        path, model = model_data.load_form(source)
        _, data = model_data.load_data(rows or model_data.recorded_data(path), model, path)
        indices = values.select_inputs(self.inputs or "test:0:3", data)
        name, baseline = values.make_baseline(baseline_text, data, indices, self.seed)
        left_out = impossible_parts(model)
        parts = chosen or [part for part in PARTS if part not in left_out]
        explanation = Explanation.of(model, data, indices, parts, baseline, name)
        section = explanation.section()
        folder.mkdir(parents=True, exist_ok=True)
        explanation.save(folder)
        section.save(folder)
        write_report(folder / "report.html", section.title, [section])
        notes = [] if chosen else [f"note: {part} {why}" for part, why in left_out.items()]
        print(*explanation.answers(), *section.findings, *notes, sep="\n")
        tables.print_files(folder)
        return []


def _folder_name(source: str) -> str:
    """Return the name of the folder of an explanation; of one by an earlier explanation, its name with the next number."""
    earlier = re.fullmatch("(.*-explained)(?:-([0-9]+))?", source)
    return f"{source}-explained" if earlier is None else f"{earlier[1]}-{int(earlier[2] or 1) + 1}"


def _is_table(path: Path) -> bool:
    """Return True for a file of rows; an .npz without an array of features may be a learned model."""
    from hattriq_cirq.datasets.frame import FEATURE_ARRAYS, SUFFIXES
    from hattriq_cirq.foundation.array_files import array_names
    from hattriq_cirq.foundation.reading import FileError

    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        return False
    try:
        return path.suffix.lower() != ".npz" or not {*FEATURE_ARRAYS}.isdisjoint(array_names(path))
    except FileError:
        return False
